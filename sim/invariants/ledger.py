"""The ledger (INV-36 to INV-40): one row a delegation that says the same as the activity rows, and says enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from sim.history import Ok
from sim.invariants.delegations import View
from sim.invariants.messages import TERMINAL, Delegation
from sim.invariants.violation import Violation

PREVIEW_BYTES_MAX = 4096

REACHABLE: Mapping[str, frozenset[str]] = {
    "queued": frozenset({"dispatched", "in_progress", "completed", "failed", "stuck"}),
    "dispatched": frozenset({"in_progress", "completed", "failed", "stuck"}),
    "in_progress": frozenset({"completed", "failed", "stuck"}),
    "stuck": frozenset({"completed", "failed"}),
    "completed": frozenset(),
    "failed": frozenset(),
}
"""The matrix of contract, §3.2 (P2), closed over steps that nobody saw."""

_AGREEING: Mapping[str, frozenset[str]] = {
    "pending": frozenset({"queued"}),
    "dispatched": frozenset({"dispatched", "in_progress", "stuck"}),
    "queued": frozenset({"queued", "dispatched", "stuck"}),
    "completed": frozenset({"completed"}),
    "failed": frozenset({"failed"}),
}
"""Ledger states that may stand beside a state of the delegate row; others of the row are not judged."""


def completed_keeps_its_text(view: View) -> Iterator[Violation]:
    """INV-36."""
    for each in view.delegations.values():
        if each.ledger is None or each.ledger["status"] != "completed":
            continue
        preview = each.ledger["result_preview"] or ""
        if len(preview.encode("utf-8", "surrogatepass")) > PREVIEW_BYTES_MAX:
            what = f"has a preview of more than {PREVIEW_BYTES_MAX} bytes in the ledger"
        elif not preview and (said := _said(each)):
            what = f"is completed in the ledger without a preview of its text {said[:80]!r}"
        else:
            continue
        yield Violation("INV-36", f"{each.label} {what}", view.evidence(each, final=True), each.name)


def failed_says_why(view: View) -> Iterator[Violation]:
    """INV-37."""
    for each in view.delegations.values():
        rows = [("delegate", row) for row in each.delegate_rows]
        if each.ledger is not None:
            rows.append(("ledger", each.ledger))
        for kind, row in rows:
            if row["status"] == "failed" and not row["error_detail"]:
                yield Violation(
                    "INV-37",
                    f"{each.label} is failed and its {kind} row does not say why",
                    view.evidence(each, final=True),
                    each.name,
                )


def ledger_agrees(view: View) -> Iterator[Violation]:
    """INV-38."""
    if not view.history.flags.ledger:
        return
    for each in view.delegations.values():
        if not each.delegate_rows:
            continue
        ledger = each.ledger["status"] if each.ledger is not None else None
        status = str(each.delegate_rows[-1]["status"])
        allowed = _AGREEING.get(status)
        if status == "queued" and view.may_poll(each.target):
            allowed = frozenset({"queued", "stuck"})
        if allowed is None or ledger in allowed or (ledger is None and each.key_reused):
            continue
        says = "has no ledger row" if ledger is None else f"is {ledger} in the ledger"
        yield Violation(
            "INV-38",
            f"{each.label} is {status} in its delegate row and {says}",
            view.evidence(each, final=True),
            each.name,
        )


def switched_off_is_unwritten(view: View) -> Iterator[Violation]:
    """INV-39."""
    count = len(view.rows.get("delegations", ()))
    if count and not view.history.flags.ledger:
        yield Violation(
            "INV-39",
            f"The ledger is switched off and has {count} rows",
            () if view.final_index is None else (view.final_index,),
            "ledger",
        )


def ledger_follows_its_matrix(view: View) -> Iterator[Violation]:
    """INV-40; steps out of a terminal state are INV-34's."""
    listed = _listed(view)
    for each in view.delegations.values():
        seen = listed.get(each.id, [])
        if each.ledger is not None and view.final_index is not None:
            seen.append((each.ledger["status"], view.final_index, view.final_index))
        for status, _asked, index in seen:
            if status not in REACHABLE:
                yield Violation(
                    "INV-40",
                    f"{each.label} is {status!r} in the ledger, which is no state of it",
                    view.evidence(each, index),
                    each.name,
                )
        for (before, _asked, index), (after, asked, later_index) in pairwise(seen):
            if before == after or asked <= index or before in TERMINAL or before not in REACHABLE:
                continue
            if after in REACHABLE and after not in REACHABLE[before]:
                yield Violation(
                    "INV-40",
                    f"The ledger row of {each.label} went from {before} to {after}",
                    view.evidence(each, index, later_index),
                    each.name,
                )


def _said(each: Delegation) -> str:
    """What the agent or the reporting party said, as far as the run saw it."""
    for request in each.requests:
        if request.answered and request.replied and request.text:
            return request.text
    for report in each.reports:
        if report.status == 200 and report.invoke.arguments.get("text"):
            return str(report.invoke.arguments["text"])
    return each.result_text


def _listed(view: View) -> dict[str, list[tuple[str, int, int]]]:
    """By delegation: each state of the ledger that a listing told, with where it was asked for and answered."""
    found: dict[str, list[tuple[str, int, int]]] = {}
    for call in view.calls_of("list"):
        if isinstance(call.end, Ok) and isinstance(call.end.body, list):
            for entry in call.end.body:
                if isinstance(entry, dict) and entry.get("_ledger"):
                    state = (str(entry["status"]), call.index, call.end_index or call.index)
                    found.setdefault(str(entry.get("delegation_id")), []).append(state)
    return found
