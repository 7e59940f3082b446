"""Polls of inboxes and heartbeats: what is judged of a workspace rather than of a delegation.

A poller goes on from its last row, so its polls and the rows of its inbox can be read side by side, a stretch at a
time: between the first and the last row of a stretch there must be every row that there is at the end (INV-90).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.history_text import line
from reports.model import Finding
from sim.history import Entry, Final, History, Row
from sim.invariants.delegations import view_of
from sim.worlds.load.groups import Circumstances, entries_of
from sim.worlds.load.packed import PackedFile, unpacked
from sim.worlds.load.records import Recorded, decoded
from sim.worlds.load.scope import Scope, judged
from sim.worlds.load.tally import FINDINGS_MAX, Tally
from sim.worlds.tables import decode_times

STRETCH_POLLS, STRETCH_ROWS = 20, 200
"""So much is judged at once: to each poll all the rows of its stretch are held."""
_PAST_S = 5.0
"""Rows so long after a poll's end need not be looked at for it."""


@dataclass(slots=True)
class Polled:
    """The polls of a workspace that one worker wrote down, or several, and where its poller stands.

    `begins`: there is a poll without a cursor before any row was given.
    """

    files: list[Path]
    cursor: str | None = None
    begins: bool = False
    begun_again: bool = False
    """The poller has forgotten its cursor: it is rightly given rows a second time."""

    def add(self, later: Polled) -> None:
        """Go on with what the next worker wrote down."""
        self.begun_again |= later.begun_again or (later.begins and self.cursor is not None)
        self.begins |= later.begins and self.cursor is None
        self.cursor = self.cursor if later.cursor is None else later.cursor
        self.files += later.files


class PollFiles:
    """The polls of each workspace, in the order in which they ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, PackedFile] = {}
        self._polled: dict[str, Polled] = {}

    def add(self, poll: Recorded) -> Sequence[Mapping[str, Any]]:
        """Keep a poll; the rows that it gave."""
        name = poll.workspace
        if name not in self._files:
            self._files[name] = PackedFile(self._folder / f"{name}.polls")
            self._polled[name] = Polled([self._files[name].path])
        self._files[name].add(tuple(poll))
        polled = self._polled[name]
        if poll.arguments["since"] is None:
            polled.begins |= polled.cursor is None
            polled.begun_again |= polled.cursor is not None
        rows = poll.said if poll.outcome == "ok" and poll.status == 200 and isinstance(poll.said, list) else []
        if rows:
            polled.cursor = rows[0]["id"] if poll.arguments["since"] is None else rows[-1]["id"]
        return rows

    def close(self) -> dict[str, Polled]:
        """By workspace; there will be no more polls."""
        for file in self._files.values():
            file.close()
        return self._polled


@dataclass(frozen=True, slots=True)
class Inbox:
    """The polls of one workspace, and the rows that its inbox has at the end, as JSON; both packed, in their order."""

    polls: tuple[Path, ...]
    rows: Path

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.stat().st_size for file in (*self.polls, self.rows))

    def judge(self, given: Circumstances) -> Tally:
        """Judge the polls, a stretch at a time."""
        tally = Tally()
        window: deque[dict[str, Any]] = deque()
        rows: Iterator[str] = unpacked(self.rows)
        for stretch in _stretches(Recorded(*poll) for file in self.polls for poll in unpacked(file)):
            _judge_stretch(stretch, rows, window, given, tally)
        return tally


def judge_heartbeats(beats: Sequence[Recorded], events: Sequence[Row], given: Circumstances) -> Tally:
    """Judge all heartbeats."""
    tally = Tally()
    entries = [entry for beat in beats for entry in entries_of(beat)]
    _judge("heartbeats", entries, {"structure_events": events}, given, tally)
    return tally


def _stretches(polls: Iterable[Recorded]) -> Iterator[list[Recorded]]:
    stretch: list[Recorded] = []
    rows = 0
    for poll in polls:
        stretch.append(poll)
        rows += len(poll.said) if isinstance(poll.said, list) else 0
        if len(stretch) >= STRETCH_POLLS or rows >= STRETCH_ROWS:
            yield stretch
            stretch, rows = [], 0
    if stretch:
        yield stretch


def _judge_stretch(
    stretch: Sequence[Recorded],
    rows: Iterator[str],
    window: deque[dict[str, Any]],
    given: Circumstances,
    tally: Tally,
) -> None:
    asked = [row["id"] for poll in stretch if isinstance(poll.said, list) for row in poll.said]
    cursors = [poll.arguments["since"] for poll in stretch if poll.arguments["since"] is not None]
    missing = {*asked, *cursors} - {row["id"] for row in window}
    last_s = max(poll.end_s or poll.began_s for poll in stretch)
    while missing and (text := next(rows, None)) is not None:
        row = decoded(text)
        decode_times([row])
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
