"""Groups of facts as a history, judged: the small end of judging a large load.

Groups may share a history if the same faults were about: each is then excused for what it would be excused for alone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter, itemgetter
from typing import NamedTuple

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
from sim.worlds.load.records import Recorded, decoded_all
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


class Group(NamedTuple):
    """The facts of one group, and what its history needs of others: heartbeats of `targets`, and `spans`.

    `name` is empty if all that is known of it is that agents were asked something. `entries` are of clients and agents;
    of a listing only what it told of this group is `listed`. `states`: what listings told in the end, where there are
    no rows. Rows are still JSON.
    """

    name: str
    entries: Sequence[Entry]
    listed: Sequence[Recorded]
    given: Sequence[tuple[str, Row]]
    states: Sequence[tuple[str, Row]]
    rows: Sequence[tuple[str, str]]
    targets: Set[str]
    from_s: float
    to_s: float
    spans: Sequence[Span]


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of groups that share a history."""

    history: History
    violations: Sequence[Violation]
    not_observed: frozenset[str]
    accepted: int
    unknown: int
    """Of the accepted delegations, those of which nothing says how they ended."""
    statuses: Sequence[str]


def group_of(facts: Sequence[Fact], given: Circumstances) -> Group:
    """Facts that belong together."""
    entries: list[Entry] = []
    listed: list[Recorded] = []
    polled: list[tuple[str, Row]] = []
    states: list[tuple[str, Row]] = []
    rows: list[tuple[str, str]] = []
    contacts: list[str] = []
    targets: set[str] = set()
    for _, kind, table, value in facts:
        if kind == "row":
            rows.append((table, value))
        elif kind == "operation":
            operation = Recorded(*value)
            entries += entries_of(operation)
            if (target := operation.arguments.get("target")) is not None:
                targets.add(target)
        elif kind == "contact":
            contacts.append(value)
        elif kind == "given":
            name, method, delegation_id = value
            polled.append((name, {"method": method, "request_body": {"delegation_id": delegation_id}}))
        elif kind == "state":
            states.append(value)
        else:
            listed.append(Recorded(*value))
    entries += contacts_in(contacts)
    times = [entry.at_s for entry in entries]
    times += (at_s for listing in listed for at_s in (listing.began_s, listing.end_s) if at_s is not None)
    from_s, to_s = (min(times), max(times)) if times else (0.0, given.ended_s)
    spans = tuple(spans_about(given.spans, from_s - MARGIN_S, to_s + MARGIN_S))
    return Group(facts[0][0], entries, listed, polled, states, rows, targets, from_s, to_s, spans)


def judge_groups(groups: Sequence[Group], given: Circumstances, invariants: Sequence[Invariant]) -> Judged:
    """Judge groups of the same spans, as one history, by every invariant that they can answer."""
    history = history_of(groups, given)
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
        sum(each.accepted and each.status is None for each in view.delegations.values()),
        [each.status or "unknown" for each in view.delegations.values()],
    )


def history_of(groups: Sequence[Group], given: Circumstances) -> History:
    """The history that groups make, its entries in the order of their times."""
    entries = [entry for group in groups for entry in group.entries]
    for listing in _together([listing for group in groups for listing in group.listed]):
        entries += entries_of(listing)
    from_s, to_s = min(group.from_s for group in groups), max(group.to_s for group in groups)
    for target in sorted({target for group in groups for target in group.targets} & given.hearts.keys()):
        for beat in beats_about(given.hearts[target], from_s, to_s):
            entries += entries_of(beat)
    for span in groups[0].spans:
        entries += span.entries
    entries.sort(key=_at)
    inboxes: dict[str, list[Row]] = {name: [] for name in sorted(given.polled)}
    for group in groups:
        for name, row in group.given:
            if name in inboxes:
                inboxes[name].append(row)
    states: dict[str, list[Row]] = {}
    for group in groups:
        for name, row in group.states:
            states.setdefault(name, []).append(row)
    rows = _rows(groups, given) if given.rows_are_known else None
    entries.append(Final(given.ended_s, rows, inboxes or None, states or None))
    return History(given.members, given.flags, entries, given.epoch)


def _together(listings: Sequence[Recorded]) -> Iterable[Recorded]:
    """What one listing told of several groups is one answer."""
    found: dict[str, Recorded] = {}
    for part in listings:
        first = found.get(part.op)
        found[part.op] = part if first is None else first._replace(said=[*first.said, *part.said])
    return found.values()


def _rows(groups: Sequence[Group], given: Circumstances) -> dict[str, Sequence[Row]]:
    texts: dict[str, list[str]] = {
        table: [] for table in ("activity_logs", "delegations", "structure_events", "a2a_queue")
    }
    for group in groups:
        for table, text in group.rows:
            texts[table].append(text)
    rows = {table: decoded_all(of_table) for table, of_table in texts.items()}
    for of_table in rows.values():
        decode_times(of_table)
    rows["structure_events"] += given.announced
    rows["activity_logs"].sort(key=_seq)
    rows["structure_events"].sort(key=_seq)
    return {**rows, "workspaces": given.workspaces}


def entries_of(operation: Recorded) -> tuple[Entry, ...]:
    """An operation as entries of a history."""
    op, action, workspace, arguments, _due_s, began_s, outcome, end_s, status, said = operation
    begun = Invoke(began_s, op, action, workspace, arguments)
    if end_s is None:
        return (begun,)
    if outcome == "ok":
        return begun, Ok(end_s, op, status or 0, said)
    if outcome == "fail":
        return begun, Fail(end_s, op, str(said))
    return begun, Info(end_s, op, str(said), status)


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


_seq = itemgetter("seq")
_at = attrgetter("at_s")
