"""One group of facts as a history, judged: the small end of judging a large load."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sim.history import (
    Entry,
    Fail,
    Final,
    Flags,
    History,
    Info,
    Invoke,
    Member,
    Ok,
    Row,
)
from sim.invariants.delegations import view_of
from sim.invariants.violation import Invariant, Violation
from sim.worlds.load.contacts import contacts_in
from sim.worlds.load.facts import Fact
from sim.worlds.load.records import Recorded, decoded, read_operation
from sim.worlds.load.windows import Span, spans_about
from sim.worlds.tables import decode_times

MARGIN_S = 60.0
"""Faults so long before and after what a group tells of are part of its history."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What all groups of a load share. `rows_are_known`: all that the broker had stored was read.

    `polled`: workspaces of which is known all that their pollers were given. `hearts`: heartbeats by workspace, in
    order of their beginning. `announced`: events of a fallback that name no delegation.
    """

    members: Mapping[str, Member]
    flags: Flags
    epoch: datetime
    ended_s: float
    spans: Sequence[Span]
    rows_are_known: bool = True
    polled: frozenset[str] = frozenset()
    workspaces: Sequence[Row] = ()
    hearts: Mapping[str, Sequence[Recorded]] = field(default_factory=dict)
    announced: Sequence[Row] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of one group."""

    history: History
    violations: Sequence[Violation]
    not_observed: frozenset[str]
    accepted: int
    statuses: Sequence[str]


def judge_group(facts: Sequence[Fact], given: Circumstances, invariants: Sequence[Invariant]) -> Judged:
    """Judge the facts of one group by every invariant that they can answer."""
    history = history_of(facts, given)
    view = view_of(history)
    # Of what pollers were given only ids are kept: how a caller was told is not to be seen in it.
    observed = view.observed if given.rows_are_known else view.observed - {"told"}
    violations: list[Violation] = []
    not_observed = []
    for invariant in invariants:
        if invariant.needs <= observed:
            violations.extend(invariant.check(view))
        else:
            not_observed.append(invariant.id)
    return Judged(
        history,
        violations,
        frozenset(not_observed),
        sum(each.accepted for each in view.delegations.values()),
        [each.status or "unknown" for each in view.delegations.values()],
    )


def history_of(facts: Sequence[Fact], given: Circumstances) -> History:
    """The history that the facts of a group make, its entries in the order of their times."""
    entries: list[Entry] = []
    rows: dict[str, list[Row]] = {
        "activity_logs": [],
        "delegations": [],
        "structure_events": list(given.announced),
        "a2a_queue": [],
        "workspaces": given.workspaces,  # type: ignore[dict-item]
    }
    inbox: dict[str, list[Row]] = {}
    listing: dict[str, list[Row]] = {}
    targets: set[str] = set()
    for kind, table, value in facts:
        if kind == "row":
            row = decoded(value)
            decode_times(row)
            rows[table].append(row)
        elif kind == "contact":
            entries.extend(contacts_in(value))
        elif kind == "given":
            workspace, row = decoded(value)
            inbox.setdefault(workspace, []).append(row)
        elif kind == "state":
            workspace, row = decoded(value)
            listing.setdefault(workspace, []).append(row)
        else:
            operation = read_operation(value)
            entries.extend(entries_of(operation))
            if (target := operation.arguments.get("target")) is not None:
                targets.add(target)
    rows["activity_logs"].sort(key=_seq)
    rows["structure_events"].sort(key=_seq)
    inboxes = {name: inbox.get(name, []) for name in given.polled}
    from_s = min((entry.at_s for entry in entries), default=0.0)
    to_s = max((entry.at_s for entry in entries), default=given.ended_s)
    for target in targets & given.hearts.keys():
        for beat in beats_about(given.hearts[target], from_s, to_s):
            entries.extend(entries_of(beat))
    for span in spans_about(given.spans, from_s - MARGIN_S, to_s + MARGIN_S):
        entries.extend(span.entries)
    entries.sort(key=_at)
    entries.append(Final(given.ended_s, rows if given.rows_are_known else None, inboxes or None, listing or None))
    return History(given.members, given.flags, entries, given.epoch)


def entries_of(operation: Recorded) -> Iterator[Entry]:
    """An operation as entries of a history."""
    arguments = dict(operation.arguments)
    yield Invoke(operation.began_s, operation.op, operation.action, operation.workspace, arguments)
    if operation.end_s is None:
        return
    if operation.outcome == "ok":
        yield Ok(operation.end_s, operation.op, operation.status or 0, operation.said)
    elif operation.outcome == "fail":
        yield Fail(operation.end_s, operation.op, str(operation.said))
    else:
        yield Info(operation.end_s, operation.op, str(operation.said), operation.status)


def beats_about(beats: Sequence[Recorded], from_s: float, to_s: float) -> Iterator[Recorded]:
    """The heartbeats that may be a workspace's last word at some time of a span.

    That is all since the last acknowledged one before it, and one unacknowledged one of before that says that the
    workspace is free: such a one may always be late.
    """
    first = bisect_right(beats, from_s, key=lambda beat: beat.began_s)
    known = first - 1
    while known >= 0 and not (beats[known].status == 200 and (beats[known].end_s or to_s) <= from_s):
        known -= 1
    for beat in beats[: max(known, 0)]:
        if beat.status != 200 and beat.outcome != "fail" and not beat.arguments["active_tasks"]:
            yield beat
            break
    for beat in beats[max(known, 0) :]:
        if beat.began_s > to_s:
            break
        yield beat


def _seq(row: Any) -> int:
    return int(row["seq"])


def _at(entry: Entry) -> float:
    return entry.at_s
