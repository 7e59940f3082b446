"""Reports (INV-18, INV-35, INV-98): whoever is a party may say how it ended, once, and nobody else may.

A report that is answered 200 was accepted; 404 and 409 refused it. What an agent records is known by an id that the
agent made, so nobody else's work may hide behind it.
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.invariants.calls import Call
from sim.invariants.delegations import View
from sim.invariants.messages import TERMINAL, Delegation
from sim.invariants.violation import Violation


def only_parties_end_it(view: View) -> Iterator[Violation]:
    """INV-18."""
    reports = _reports(view)
    for each in view.delegations.values():
        if each.source is None or each.target is None:
            continue
        for report in reports.get(each.id, ()):
            if report.status == 200 and report.invoke.workspace not in (each.source, each.target):
                yield Violation(
                    "INV-18",
                    f"{each.label} was reported {report.invoke.arguments['status']} by {report.invoke.workspace}, "
                    f"who is no party of it, and {report.op} was accepted",
                    view.evidence(each, *report.entries),
                    each.name,
                )
        for call in each.calls:
            if call.invoke.action == "record" and call.status == 202 and not _is_about(call, each):
                yield Violation(
                    "INV-18",
                    f"{call.op} of {call.invoke.workspace} to {call.invoke.arguments['target']} was recorded under "
                    f"the id of {each.label}",
                    view.evidence(each, *call.entries),
                    each.name,
                )


def repeated_report_changes_nothing(view: View) -> Iterator[Violation]:
    """INV-35: what a report says after one was accepted is not stored, unless somebody had said the same before."""
    for each in view.delegations.values():
        accepted = [report for report in each.reports if report.status == 200]
        late = [report for report in accepted if any(_before(earlier, report) for earlier in accepted)]
        in_time = {str(report.invoke.arguments.get("text")) for report in each.reports if report not in late}
        in_time.update(request.text for request in each.requests if request.text)
        stored = each.result_text if each.status == "completed" else each.detail
        for report in late:
            text = str(report.invoke.arguments.get("text"))
            if text == stored and text not in in_time:
                yield Violation(
                    "INV-35",
                    f"{each.label} was reported {each.status} before, and {report.op} replaced what was stored "
                    f"by {text[:80]!r}",
                    view.evidence(each, *report.entries, final=True),
                    each.name,
                )


def open_work_can_be_reported(view: View) -> Iterator[Violation]:
    """INV-98."""
    reports = _reports(view)
    for each in view.delegations.values():
        for report in reports.get(each.id, ()):
            said = report.body.get("status")
            if report.status == 409 and isinstance(said, str) and said not in TERMINAL:
                refused = f"because it is {said}"
            elif report.status == 404 and _was_known(each, report):
                refused = "as unknown"
            else:
                continue
            yield Violation(
                "INV-98",
                f"{each.label} was reported {report.invoke.arguments['status']} by {report.invoke.workspace}, "
                f"and {report.op} was refused {refused}",
                view.evidence(each, *report.entries),
                each.name,
            )


def _reports(view: View) -> dict[str, list[Call]]:
    """All reports on each delegation, refused ones too."""
    found: dict[str, list[Call]] = {}
    for call in view.calls_of("report"):
        if (each := view.asked_by.get(call.invoke.arguments["delegation"])) is not None:
            found.setdefault(each.id, []).append(call)
    return found


def _is_about(call: Call, each: Delegation) -> bool:
    return (call.invoke.workspace, call.invoke.arguments["target"]) == (each.source, each.target)


def _before(earlier: Call, later: Call) -> bool:
    return earlier.end_index is not None and earlier.end_index < later.index


def _was_known(each: Delegation, report: Call) -> bool:
    """The reporter is a party, the work had been accepted before, and it is still stored."""
    stored = bool(each.delegate_rows) or each.ledger is not None
    accepted = any(call.status in (200, 202) and _before(call, report) for call in each.calls)
    return stored and accepted and report.invoke.workspace in (each.source, each.target)
