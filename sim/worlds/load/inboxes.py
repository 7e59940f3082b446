"""Polls of inboxes and heartbeats: what is judged of a workspace rather than of a delegation.

A poller goes on from its last row, so its polls and the rows of its inbox can be read side by side, a stretch at a
time: between the first and the last row of a stretch there must be every row that there is at the end (INV-90).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from reports.history_text import line
from reports.model import Finding
from sim.history import Entry, Final, History, Row
from sim.invariants.delegations import view_of
from sim.worlds.load.groups import Circumstances, entries_of
from sim.worlds.load.judge import FINDINGS_MAX, Tally
from sim.worlds.load.records import Recorded, read_operation
from sim.worlds.load.scope import Scope, judged
from sim.worlds.tables import decode_times

STRETCH = 20
"""Polls judged at once."""
_PAST_S = 5.0
"""Rows so long after a poll's end need not be looked at for it."""


class PollFiles:
    """The polls of each workspace, in the order in which they ended, and where each poller stands."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, IO[str]] = {}
        self.cursors: dict[str, str | None] = {}
        self.begun_again: set[str] = set()
        """Whose poller has forgotten its cursor: it is rightly given rows a second time."""

    def add(self, poll: Recorded) -> Sequence[Mapping[str, Any]]:
        """Keep a poll; the rows that it gave."""
        name = poll.workspace
        if name not in self._files:
            self._files[name] = (self._folder / f"{name}.polls").open("w", encoding="utf-8")
            self.cursors[name] = None
        self._files[name].write(poll.text + "\n")
        if poll.arguments["since"] is None and self.cursors[name] is not None:
            self.begun_again.add(name)
        rows = poll.said if poll.outcome == "ok" and poll.status == 200 and isinstance(poll.said, list) else []
        if rows:
            self.cursors[name] = rows[0]["id"] if poll.arguments["since"] is None else rows[-1]["id"]
        return rows

    def polls(self, name: str) -> Iterator[Recorded]:
        """The polls of a workspace, once all are there."""
        self._files[name].close()
        with (self._folder / f"{name}.polls").open(encoding="utf-8") as lines:
            for text in lines:
                yield read_operation(text.rstrip("\n"))


def judge_inbox(polls: Iterator[Recorded], rows: Iterator[str], given: Circumstances) -> Tally:
    """Judge the polls of one workspace against the rows of its inbox, both in their order."""
    tally = Tally()
    window: deque[dict[str, Any]] = deque()
    stretch: list[Recorded] = []
    for poll in polls:
        stretch.append(poll)
        if len(stretch) == STRETCH:
            _judge_stretch(stretch, rows, window, given, tally)
            stretch = []
    _judge_stretch(stretch, rows, window, given, tally)
    return tally


def judge_heartbeats(beats: Sequence[Recorded], events: Sequence[Row], given: Circumstances) -> Tally:
    """Judge all heartbeats."""
    tally = Tally()
    entries = [entry for beat in beats for entry in entries_of(beat)]
    _judge("heartbeats", entries, {"structure_events": events}, given, tally)
    return tally


def _judge_stretch(
    stretch: Sequence[Recorded],
    rows: Iterator[str],
    window: deque[dict[str, Any]],
    given: Circumstances,
    tally: Tally,
) -> None:
    if not stretch:
        return
    asked = [row["id"] for poll in stretch if isinstance(poll.said, list) for row in poll.said]
    cursors = [poll.arguments["since"] for poll in stretch if poll.arguments["since"] is not None]
    missing = {*asked, *cursors} - {row["id"] for row in window}
    last_s = max(poll.end_s or poll.began_s for poll in stretch)
    while missing and (text := next(rows, None)) is not None:
        row = json.loads(text)
        decode_times(row)
        window.append(row)
        missing.discard(row["id"])
        if (row["created_at"] - given.epoch).total_seconds() > last_s + _PAST_S:
            break
    entries = [entry for poll in stretch for entry in entries_of(poll)]
    _judge("inbox", entries, {"activity_logs": list(window)}, given, tally)
    reached = asked[-1] if asked else (cursors[-1] if cursors else None)
    if any(row["id"] == reached for row in window):
        while window[0]["id"] != reached:
            window.popleft()


def _judge(
    scope: Scope, entries: list[Entry], rows: Mapping[str, Sequence[Row]], given: Circumstances, tally: Tally
) -> None:
    entries.sort(key=lambda entry: entry.at_s)
    entries.append(Final(given.ended_s, rows, None, None))
    history = History(given.members, given.flags, entries, given.epoch)
    view = view_of(history)
    tally.groups += 1
    for invariant in judged(scope):
        for violation in invariant.check(view):
            tally.violations[violation.invariant] += 1
            if len(tally.findings) < FINDINGS_MAX:
                shown = tuple(line(history, index) for index in violation.entries if index < len(entries) - 1)
                tally.findings.append(
                    Finding(
                        invariant=violation.invariant,
                        subject=violation.subject,
                        sentence=violation.sentence,
                        lines=shown,
                    )
                )
