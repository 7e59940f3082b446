"""Terminal is final (INV-34): once anybody was told `completed` or `failed`, nobody is ever told anything else.

A status is *told* by an answer (the listing, an idempotent hit, a checked task, a report that was accepted), by an
event, and by the final rows. Two different terminal states contradict each other in whatever order they were told; a
state that is not terminal contradicts one only if it was read after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from sim.history import Ok
from sim.invariants.calls import Call
from sim.invariants.delegations import View
from sim.invariants.messages import TERMINAL, TERMINAL_EVENTS, Delegation
from sim.invariants.violation import Violation


class Told(NamedTuple):
    """`status` was said by a `kind` of source, `name`; the asking began at position `asked`, its answer is `at`."""

    status: str
    kind: str
    name: str
    asked: int
    at: int

    @property
    def by(self) -> str:
        """Who said it."""
        return f"{self.kind} {self.name}".rstrip()


@dataclass(slots=True)
class _Answers:
    """What listings and checks say of each delegation, by its id."""

    listed: dict[str, list[tuple[str, Call]]] = field(default_factory=dict)
    checked: dict[str, list[Call]] = field(default_factory=dict)


def terminal_is_final(view: View) -> Iterator[Violation]:
    """INV-34."""
    answers = _answers(view)
    for each in view.delegations.values():
        told = list(_told(view, each, answers))
        first = min((this for this in told if this.status in TERMINAL), key=lambda this: this.at, default=None)
        if first is None:
            continue
        for this in told:
            if this.status == first.status or (this.status not in TERMINAL and this.asked <= first.at):
                continue
            yield Violation(
                "INV-34",
                f"{each.label} was {first.status} according to {first.by}, then {this.status} according to {this.by}",
                view.evidence(each, first.at, this.at),
                each.name,
            )
            break


def _answers(view: View) -> _Answers:
    answers = _Answers()
    for call in view.calls_of("list"):
        if isinstance(call.end, Ok) and call.end.status == 200 and isinstance(call.end.body, list):
            for entry in call.end.body:
                if isinstance(entry, dict):
                    about = answers.listed.setdefault(str(entry.get("delegation_id")), [])
                    about.append((str(entry.get("status")), call))
    for call in view.calls_of("check"):
        if call.task:
            answers.checked.setdefault(str(call.task["task_id"]), []).append(call)
    return answers


def _told(view: View, each: Delegation, answers: _Answers) -> Iterator[Told]:
    for status, call in answers.listed.get(each.id, ()):
        yield Told(status, "the listing", call.op, call.index, call.end_index or call.index)
    for call in each.calls:
        if call.status == 200 and "status" in call.body:
            yield Told(str(call.body["status"]), "the answer of", call.op, call.index, call.end_index or call.index)
    for call in each.reports:
        if call.status == 200:
            status = str(call.invoke.arguments["status"])
            yield Told(status, "the accepted report", call.op, call.index, call.end_index or call.index)
    for call in answers.checked.get(each.id, ()):
        if call.task["status"] == "not_found":
            continue
        status = "completed" if call.task["status"] == "delivered" else str(call.task["status"])
        yield Told(status, "the check", call.op, call.index, call.end_index or call.index)
    for event in each.broadcast_ends:
        if event.index is not None:
            yield Told(TERMINAL_EVENTS[event.name], "the broadcast", event.name, event.index, event.index)
    if view.final_index is not None:
        for event in each.recorded_ends:
            status = TERMINAL_EVENTS[event.name]
            yield Told(status, "the recorded", event.name, view.final_index, view.final_index)
        if each.status is not None:
            yield Told(each.status, "its final row", "", view.final_index, view.final_index)
