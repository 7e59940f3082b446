"""The inbox cursor (INV-90 to INV-92): who goes on from the last row is given every row once, only their own.

Rows have a total order, `(created_at, seq)`. A row that becomes visible behind a cursor is lost to that poller for
ever (H43, D27); so between the cursor and the last row of an answer there must be every row that there is at the end.
"""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from sim.history import Ok, Row
from sim.invariants.calls import Call
from sim.invariants.delegations import View
from sim.invariants.violation import Violation

WINDOW_S = 600
"""How far back a poll without a cursor reads (contract, §2.7)."""
PAGE_ROWS = 100
"""So many rows an answer has at most, unless more are asked for."""

Place: TypeAlias = tuple[Any, int]


@dataclass(frozen=True, slots=True)
class _Poll:
    """A poll that was answered with rows; `own` is the id of the workspace whose inbox it is."""

    call: Call
    own: str
    since: str | None
    rows: Sequence[Row]

    @property
    def given(self) -> list[str]:
        """The ids of its own rows, in the order in which they came to be if the broker keeps its promise."""
        ids = [str(row["id"]) for row in self.rows if str(row["workspace_id"]) == self.own]
        return ids if self.since is not None else ids[::-1]


def polls_skip_and_repeat_nothing(view: View) -> Iterator[Violation]:
    """INV-90."""
    # A query of its own may ask for less than all.
    polls = [poll for poll in _polls(view) if poll.call.invoke.arguments.get("query") is None]
    rows = view.rows.get("activity_logs", ()) if polls else ()
    places = {str(row["id"]): (row["created_at"], row["seq"]) for row in rows}
    for poll in polls:
        known = [row_id for row_id in poll.given if row_id in places]
        faults = []
        if any(places[one] >= places[next_] for one, next_ in itertools.pairwise(known)):
            faults.append("has rows in another order than they came, or twice")
        if poll.since in places and any(places[row_id] <= places[poll.since] for row_id in known):
            faults.append("has rows that are not past its cursor")
        if known:
            skipped = _between(view, poll, places, known) - set(known)
            if skipped:
                faults.append(f"skips {len(skipped)} of the rows before its last one")
        for fault in faults:
            yield _violation(view, "INV-90", poll.call, f"answered with {len(poll.given)} rows, {fault}")


def foreign_cursors_give_nothing(view: View) -> Iterator[Violation]:
    """INV-91."""
    calls = view.calls_of("inbox")
    rows = view.rows.get("activity_logs", ()) if calls else ()
    owners = {str(row["id"]): view.names.get(str(row["workspace_id"])) for row in rows}
    given: set[tuple[str, str]] = set()
    for poll in _polls(view):
        if any(str(row["workspace_id"]) != poll.own for row in poll.rows):
            yield _violation(view, "INV-91", poll.call, "was given rows of another workspace")
        given.update((poll.call.invoke.workspace, row_id) for row_id in poll.given)
    for call in calls:
        since = call.invoke.arguments.get("since")
        if since is None:
            continue
        owner = owners.get(since)
        if call.status == 410 and owner == call.invoke.workspace:
            yield _violation(view, "INV-91", call, "was answered 410, though the cursor's row is its own and is there")
        foreign = owner != call.invoke.workspace and (call.invoke.workspace, since) not in given
        if call.status == 200 and foreign:
            yield _violation(view, "INV-91", call, "was answered 200 to a cursor that is no row of its own")


def senseless_parameters_are_refused(view: View) -> Iterator[Violation]:
    """INV-92; an error of the broker is no answer to the question, so it is excused where anything was disturbed."""
    for call in view.calls_of("inbox"):
        query = call.invoke.arguments.get("query")
        if not query or call.status in (None, 400):
            continue
        if call.status >= 500 and any(each.overlaps(call.invoke.at_s, call.end_s) for each in view.disturbances):
            continue
        # What comes twice counts as it comes first, and what is empty as absent.
        given = dict(reversed(parse_qsl(query)))
        for name, sensible in _SENSIBLE.items():
            if name in given and not sensible(given[name]):
                what = f"has {name} {given[name]!r} and was answered {call.status} instead of 400"
                yield _violation(view, "INV-92", call, what)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _is_time(text: str) -> bool:
    """An RFC 3339 timestamp, which has a date, a time and an offset."""
    try:
        return _TIMESTAMP.fullmatch(text) is not None and datetime.fromisoformat(text.upper()).tzinfo is not None
    except ValueError:
        return False


_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_SENSIBLE: Mapping[str, Callable[[str], bool]] = {
    "since_secs": lambda text: re.fullmatch("0*[1-9][0-9]*", text) is not None,
    "source": lambda text: text in ("canvas", "agent"),
    "peer_id": _is_uuid,
    "before_ts": _is_time,
}


def _polls(view: View) -> Iterator[_Poll]:
    for call in view.calls_of("inbox"):
        end = call.end
        if isinstance(end, Ok) and end.status == 200 and isinstance(end.body, list):
            own = view.history.members[call.invoke.workspace].workspace_id
            yield _Poll(call, own, call.invoke.arguments.get("since"), end.body)


def _between(view: View, poll: _Poll, places: Mapping[str, Place], known: Sequence[str]) -> set[str]:
    """The rows that lie between where the poll began to read and its last row; from its first row on if unsure."""
    first, last = places[known[0]], places[known[-1]]
    window_s: float | None = None
    if poll.since is not None:
        first = places.get(poll.since, first)
    elif len(poll.given) < PAGE_ROWS:
        window_s = poll.call.end_s - WINDOW_S
    found = set()
    for row in view.rows.get("activity_logs", ()):
        place = places[str(row["id"])]
        if str(row["workspace_id"]) != poll.own or row["activity_type"] != "a2a_receive" or place > last:
            continue
        at_s = view.seconds(row["created_at"])
        in_window = window_s is not None and at_s is not None and at_s >= window_s
        if place > first or in_window:
            found.add(str(row["id"]))
    return found


def _violation(view: View, invariant: str, call: Call, what: str) -> Violation:
    more = () if view.final_index is None else (view.final_index,)
    return Violation(
        invariant, f"{call.op}, a poll of {call.invoke.workspace}'s inbox, {what}", (*call.entries, *more), call.op
    )
