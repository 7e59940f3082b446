"""Terminal effects (INV-30 to INV-33): what the caller is told, once, and where its poller finds it.

Delegate row, result row, ledger row, inbox row and event of an outcome are one transaction (decisions, §4), so at the
end all of them are there or none. Broadcasts come after the commit and may be lost with the broker, never doubled.
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.history import Row
from sim.invariants.delegations import View
from sim.invariants.messages import Delegation, delegation_id_in
from sim.invariants.violation import Violation


def one_result_and_one_event(view: View) -> Iterator[Violation]:
    """INV-30."""
    for each in view.delegations.values():
        wanted = 1 if each.terminal else 0
        counted = (
            ("terminal result rows", len(each.terminal_results), wanted),
            ("terminal events recorded", len(each.recorded_ends), wanted),
            ("terminal events broadcast", len(each.broadcast_ends), min(wanted, len(each.broadcast_ends))),
        )
        for what, count, right in counted:
            if count != right:
                yield Violation(
                    "INV-30",
                    f"{each.label} ended {each.status or 'unknown'} with {count} {what} instead of {right}",
                    view.evidence(each, *(event.index for event in each.broadcast_ends), final=True),
                    each.name,
                )


def one_inbox_row(view: View) -> Iterator[Violation]:
    """INV-31."""
    told = view.history.flags.inbox_push
    for each in view.delegations.values():
        right = 1 if told and each.terminal else 0
        if len(each.inbox_rows) != right:
            why = "" if told else " and inbox rows are switched off"
            yield Violation(
                "INV-31",
                f"{each.label} is {each.status}{why}: {each.source} must have {right} inbox rows of it, "
                f"there are {len(each.inbox_rows)}",
                view.evidence(each, final=True),
                each.name,
            )


def inbox_row_says_how_it_ended(view: View) -> Iterator[Violation]:
    """INV-32."""
    for each in view.delegations.values():
        if not each.terminal:
            continue
        right = "ok" if each.status == "completed" else "error"
        for row in each.inbox_rows:
            for fault in _misstatements(view, each, row, right):
                yield Violation(
                    "INV-32",
                    f"The inbox row of {each.label}, which ended {each.status}, {fault}",
                    view.evidence(each, final=True),
                    each.name,
                )


def poller_is_given_it(view: View) -> Iterator[Violation]:
    """INV-33; without the database every terminal delegation of a polled inbox is looked for."""
    inboxes = (view.final.inbox if view.final else None) or {}
    given: dict[tuple[str, str], int] = {}
    for name, items in inboxes.items():
        for item in items:
            if item.get("method") == "delegate_result" and (delegation_id := delegation_id_in(item)) is not None:
                given[name, delegation_id] = given.get((name, delegation_id), 0) + 1
    has_rows = "rows" in view.observed
    for each in view.delegations.values():
        if each.source is None or each.source not in inboxes:
            continue
        right = len(each.inbox_rows) if has_rows else int(each.terminal and view.history.flags.inbox_push)
        count = given.get((each.source, each.id), 0)
        if count != right:
            yield Violation(
                "INV-33",
                f"The poller of {each.source} was given the result of {each.label} {count} times instead of {right}",
                view.evidence(each, final=True),
                each.name,
            )


def _misstatements(view: View, each: Delegation, row: Row, right: str) -> Iterator[str]:
    if row.get("status") != right:
        yield f"says {row.get('status')} instead of {right}"
    if right == "error" and not row.get("error_detail"):
        yield "does not say why"
    owner = view.names.get(str(row.get("workspace_id")))
    if owner != each.source:
        yield f"belongs to {owner or 'an unknown workspace'} instead of {each.source}"
    for column in ("request_body", "response_body"):
        body = row.get(column)
        if not isinstance(body, dict) or body.get("delegation_id") != each.id:
            yield f"does not name the delegation in its {column}"
