"""After a load: read what was written down, sort it by delegation with the broker's rows, judge, measure.

Whatever is missing (a worker's end, the tail of a file, the database) is named among the troubles, and what is there is
judged all the same.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from sim.history import Flags, Member
from sim.mcp_answers import task_of
from sim.worlds.components.processes import ComponentFailed
from sim.worlds.load import rows as tables
from sim.worlds.load.contacts import ContactFile
from sim.worlds.load.facts import Buckets, Sorter
from sim.worlds.load.groups import Circumstances
from sim.worlds.load.inboxes import PollFiles, judge_heartbeats, judge_inbox
from sim.worlds.load.judge import Tally, judge_buckets
from sim.worlds.load.listings import Listings
from sim.worlds.load.locust import Began
from sim.worlds.load.measures import Measures
from sim.worlds.load.records import SUFFIX, Recorded, Recorder, RecordFile
from sim.worlds.load.scope import judged
from sim.worlds.load.windows import Span, windows_of
from sim.worlds.tables import decode_times

ReadOn: TypeAlias = Callable[[Recorder, str, str | None], Awaitable[bool]]
"""Reads an inbox to its end from a cursor on, and writes down its polls; False if it cannot."""
HARNESS = "harness"


class Database(tables.Database, Protocol):
    """The broker's."""

    async def ask(self, query: str, *arguments: object) -> Sequence[Any]:
        """The rows of a query."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a load left behind. `workers`: how many files of records there must be."""

    folder: Path
    began: Began
    members: Mapping[str, Member]
    flags: Flags
    epoch: datetime
    duration_s: float
    ended_s: float
    spans: Sequence[Span]
    contacts: ContactFile
    workers: int
    aftermath_s: float
    listings: Listings | None = None
    """What tells of the broker's work, if its tables do not."""
    has_sequence: bool = True
    """Whether its tables say in which order rows became visible."""


@dataclass(slots=True)
class Conclusion:
    """What came of it."""

    measures: Measures
    tally: Tally = field(default_factory=Tally)
    ended_by_second: dict[int, dict[str, int]] = field(default_factory=dict)
    operations: int = 0
    troubles: list[str] = field(default_factory=list)
    broken: str = ""
    judging_s: float = 0.0
    states_unknown: int = 0
    """Accepted delegations of which nothing says how they ended."""


async def conclude(evidence: Evidence, database: Database | None, read_on: ReadOn) -> Conclusion:
    """Judge everything; without a database, what can be judged without."""
    return await _Concluding(evidence, database, read_on).conclude()


class _Concluding:
    def __init__(self, evidence: Evidence, database: Database | None, read_on: ReadOn) -> None:
        self._evidence = evidence
        self._database = database
        self._read_on = read_on
        windows = windows_of(evidence.spans, evidence.duration_s)
        self._result = Conclusion(Measures(windows, aftermath_s=evidence.aftermath_s))
        self._buckets = Buckets(evidence.folder / "buckets")
        self._sorter = Sorter(self._buckets, evidence.folder / "later", evidence.members)
        self._polls = PollFiles(evidence.folder)
        self._beats: list[Recorded] = []
        self._accepted: list[str] = []
        self._seen_elsewhere: set[str] = set()
        """Invariants by which not every group can be judged: one that is an unanswered request alone has no state."""
        self._given = Circumstances(
            members=evidence.members,
            flags=evidence.flags,
            epoch=evidence.epoch,
            ended_s=evidence.ended_s,
            spans=evidence.spans,
        )

    async def conclude(self) -> Conclusion:
        began_s = time.perf_counter()
        result = self._result
        self._sort_operations()
        self._given = replace(self._given, hearts=_by_workspace(self._beats))
        try:
            polled = await self._read_inboxes_to_the_end()
            self._given = replace(self._given, polled=polled, rows_are_known=self._database is not None)
            if self._database is not None:
                await self._sort_rows(self._database)
            elif self._evidence.listings is not None:
                self._sort_states(self._evidence.listings)
        except ComponentFailed as failure:
            result.broken = str(failure)
            self._given = replace(self._given, rows_are_known=False, polled=frozenset())
        self._sorter.place_the_rest()
        for identity, contact in self._evidence.contacts.lines():
            self._sorter.by_id(identity, "contact", contact)
        result.tally.add(judge_buckets(self._buckets.close(), self._given, processes=os.cpu_count() or 1))
        result.tally.not_observed -= self._seen_elsewhere
        shutil.rmtree(self._evidence.folder / "buckets")
        if not result.measures.overall.answered:
            result.troubles.append("no operation was answered")
        result.judging_s = time.perf_counter() - began_s
        return result

    def _sort_operations(self) -> None:
        for operation in self._recorded():
            self._result.operations += 1
            self._result.measures.add(operation)
            if operation.action == "inbox":
                self._sort_poll(operation)
            elif operation.action == "heartbeat":
                self._beats.append(operation)
            else:
                self._sorter.operation(operation)
                if self._evidence.listings is not None and (identity := _accepted_id(operation)) is not None:
                    self._accepted.append(identity)

    def _sort_poll(self, poll: Recorded) -> None:
        for row in self._polls.add(poll):
            self._sorter.given(poll.workspace, row)

    async def _sort_rows(self, database: Database) -> None:
        self._given = replace(
            self._given,
            workspaces=await _decoded(database, tables.WORKSPACES),
            announced=await _decoded(database, tables.ANNOUNCED),
        )
        await tables.sort_rows(database, self._sorter)
        tally, given = self._result.tally, self._given
        if self._beats:
            tally.add(judge_heartbeats(self._beats, await _decoded(database, tables.HEARTBEATS), given))
        if not self._evidence.has_sequence:
            tally.not_observed |= {each.id for each in judged("inbox")}
        for name in self._polls.cursors if self._evidence.has_sequence else ():
            inbox = await _texts(database, tables.INBOX_ROWS.format(given.members[name].workspace_id))
            tally.add(judge_inbox(self._polls.polls(name), iter(inbox), given))
        for second, event, count in await database.ask(tables.ENDED_BY_SECOND, given.epoch):
            self._result.ended_by_second.setdefault(second, {})[event] = count

    def _sort_states(self, listings: Listings) -> None:
        unknown = set(self._accepted)
        for identity, caller, entry in listings.known():
            unknown.discard(identity)
            self._sorter.by_id(identity, "state", json.dumps([caller, entry]))
        self._result.states_unknown = len(unknown)
        if not unknown:
            parts = {"statuses", "inbox"} if self._given.polled else {"statuses"}
            self._seen_elsewhere = {each.id for each in judged("delegation") if each.needs and each.needs <= parts}
        else:
            self._result.tally.not_observed |= {each.id for each in judged("delegation") if "statuses" in each.needs}
        self._result.tally.not_observed |= {each.id for each in (*judged("inbox"), *judged("heartbeats"))}

    def _recorded(self) -> Iterator[Recorded]:
        files = sorted(self._evidence.folder.glob(f"*{SUFFIX}"))
        if len(files) < self._evidence.workers:
            self._result.troubles.append(
                f"only {len(files)} of {self._evidence.workers} workers wrote down what they did"
            )
        for path in files:
            file = self._opened(path)
            yield from file.operations()
            self._result.troubles += file.troubles

    async def _read_inboxes_to_the_end(self) -> frozenset[str]:
        """So that it can be said what each poller was given in all; the names of those of whom it can be said."""
        recorder = Recorder(self._evidence.folder, HARNESS)
        done = set()
        for name, cursor in list(self._polls.cursors.items()):
            if await self._read_on(recorder, name, cursor):
                done.add(name)
            else:
                self._result.troubles.append(f"the inbox of {name} could not be read to its end")
        recorder.close()
        for poll in self._opened(self._evidence.folder / f"{HARNESS}{SUFFIX}").operations():
            self._sort_poll(poll)
        return frozenset(done - self._polls.begun_again)

    def _opened(self, path: Path) -> RecordFile:
        return RecordFile(path, self._evidence.began.monotonic_s, self._evidence.began.unix_s)


async def _decoded(database: Database, query: str) -> list[dict[str, Any]]:
    rows = [json.loads(text) for text in await _texts(database, query)]
    for row in rows:
        decode_times(row)
    return rows


async def _texts(database: Database, query: str) -> list[str]:
    batches: AsyncIterator[Sequence[Any]] = database.stream(query)
    return [row[0] async for batch in batches for row in batch]


def _accepted_id(operation: Recorded) -> str | None:
    """The delegation that the answer of an operation names."""
    said = operation.said if operation.outcome == "ok" and isinstance(operation.said, dict) else {}
    key, document = ("task_id", task_of(said)) if operation.action == "mcp" else ("delegation_id", said)
    identity = document.get(key) if operation.action in ("delegate", "mcp") else None
    return None if identity is None else str(identity)


def _by_workspace(beats: Sequence[Recorded]) -> dict[str, list[Recorded]]:
    found: dict[str, list[Recorded]] = {}
    for beat in sorted(beats, key=lambda beat: beat.began_s):
        found.setdefault(beat.workspace, []).append(beat)
    return found
