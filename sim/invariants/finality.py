"""Terminal is final (INV-34): once anybody was told `completed` or `failed`, nobody is ever told anything else.

A status is *told* by an answer (the listing, an idempotent hit, a checked task, a report that was accepted), by an
event, and by the final rows. Two different terminal states contradict each other in whatever order they were told; a
state that is not terminal contradicts one only if it was read after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim.history import Ok
from sim.invariants.calls import Call
from sim.invariants.delegations import View
from sim.invariants.messages import TERMINAL, TERMINAL_EVENTS, Delegation
from sim.invariants.violation import Violation
from sim.mcp_answers import task_of


@dataclass(frozen=True, slots=True)
class Told:
    """`status` was said by `by`; the asking began at position `asked` and the answer is at `index`."""

    status: str
    by: str
    asked: int
    index: int


def terminal_is_final(view: View) -> Iterator[Violation]:
    """INV-34."""
    listings = [call for call in view.calls.values() if call.invoke.action == "list" and call.status == 200]
    for each in view.delegations.values():
        told = list(_told(view, each, listings))
        first = min((this for this in told if this.status in TERMINAL), key=lambda this: this.index, default=None)
        if first is None:
            continue
        for this in told:
            if this.status == first.status or (this.status not in TERMINAL and this.asked <= first.index):
                continue
            yield Violation(
                "INV-34",
                f"{each.label} was {first.status} according to {first.by}, then {this.status} according to {this.by}",
                view.evidence(each, first.index, this.index),
                each.name,
            )
            break


def _told(view: View, each: Delegation, listings: list[Call]) -> Iterator[Told]:
    for call in listings:
        for status in listed_statuses(call, each.id):
            yield Told(status, f"the listing {call.op}", call.index, call.end_index or call.index)
    for call in each.calls:
        if call.status == 200 and "status" in call.body:
            yield Told(str(call.body["status"]), f"the answer of {call.op}", call.index, call.end_index or call.index)
    for call in each.reports:
        if call.status == 200:
            status = str(call.invoke.arguments["status"])
            yield Told(status, f"the accepted report {call.op}", call.index, call.end_index or call.index)
    for call in view.calls.values():
        if call.invoke.action == "check" and (task := task_of(call.body)).get("task_id") == each.id:
            if task["status"] == "not_found":
                continue
            status = "completed" if task["status"] == "delivered" else str(task["status"])
            yield Told(status, f"the check {call.op}", call.index, call.end_index or call.index)
    for event in each.broadcast_ends:
        if event.index is not None:
            yield Told(TERMINAL_EVENTS[event.name], f"the broadcast {event.name}", event.index, event.index)
    if view.final_index is not None:
        for event in each.recorded_ends:
            status = TERMINAL_EVENTS[event.name]
            yield Told(status, f"the recorded {event.name}", view.final_index, view.final_index)
        if each.status is not None:
            yield Told(each.status, "its final row", view.final_index, view.final_index)


def listed_statuses(call: Call, delegation_id: str) -> Iterator[str]:
    """The statuses that the answer of a `list` operation gives for a delegation; several entries are possible."""
    if isinstance(call.end, Ok) and isinstance(call.end.body, list):
        for entry in call.end.body:
            if isinstance(entry, dict) and str(entry.get("delegation_id")) == delegation_id:
                yield str(entry.get("status"))
