"""After a load: read what was written down, sort it by delegation with the broker's rows, judge, measure.

Whatever is missing (a worker's end, the tail of a file, the database) is named among the troubles, and what is there is
judged all the same.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from sim.history import Flags, Member
from sim.worlds.components.processes import ComponentFailed
from sim.worlds.load import rows as tables
from sim.worlds.load.contacts import ContactFile
from sim.worlds.load.facts import Buckets, RowSorter, buckets_in
from sim.worlds.load.groups import Circumstances
from sim.worlds.load.inboxes import Inbox, Polled, judge_heartbeats
from sim.worlds.load.judge import Bucket, Piece, judge_pieces
from sim.worlds.load.listings import Listings
from sim.worlds.load.locust import Began
from sim.worlds.load.measures import Measures
from sim.worlds.load.packed import PackedFile
from sim.worlds.load.processes import executor_for
from sim.worlds.load.records import SUFFIX, Recorded, Recorder, RecordFile
from sim.worlds.load.scope import judged
from sim.worlds.load.sorting import Sorted, place_the_rest, sort_records
from sim.worlds.load.tally import Tally
from sim.worlds.load.windows import Span, windows_of
from sim.worlds.tables import decode_times

ReadOn: TypeAlias = Callable[[Recorder, str, str | None], Awaitable[bool]]
"""Reads an inbox to its end from a cursor on, and writes down its polls; False if it cannot."""
HARNESS = "harness"
_ROWS = "rows.sorted"
"""The folder of what is streamed from the database."""


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
    written = [*evidence.folder.glob(f"*{SUFFIX}"), evidence.contacts.path]
    with executor_for(sum(file.stat().st_size for file in written)) as executor:
        return await _Concluding(evidence, database, read_on, executor).conclude()


class _Concluding:
    def __init__(self, evidence: Evidence, database: Database | None, read_on: ReadOn, executor: Executor) -> None:
        self._evidence = evidence
        self._database = database
        self._read_on = read_on
        self._executor = executor
        self._result = Conclusion(self._no_measures())
        self._sorted: list[Sorted] = []
        self._polled: dict[str, Polled] = {}
        self._inboxes: list[Inbox] = []
        self._given = Circumstances(
            members=evidence.members,
            flags=evidence.flags,
            epoch=evidence.epoch,
            ended_s=evidence.ended_s,
            spans=evidence.spans,
            rows_are_known=database is not None,
        )

    async def conclude(self) -> Conclusion:
        began_s = time.perf_counter()
        result, folder = self._result, self._evidence.folder
        self._sort_operations()
        await self._try(self._read_inboxes)
        await self._ask(self._read_what_all_share)
        aliases = {identity: group for each in self._sorted for identity, group in each.aliases.items()}
        unanswered = {op for each in self._sorted for op in each.unanswered}
        of_rows, of_rest = folder / _ROWS, folder / "rest.sorted"
        of_rows.mkdir()
        buckets = Buckets(of_rows / "buckets")
        sorter = RowSorter(buckets, self._evidence.members, aliases, unanswered)
        await self._ask(lambda database: tables.sort_delegate_rows(database, sorter))
        later = [each.later for each in self._sorted]
        rest = self._executor.submit(place_the_rest, later, self._evidence.contacts.path, of_rest, aliases)
        await self._ask(lambda database: tables.sort_other_rows(database, sorter))
        await self._ask(self._read_the_rest)
        if self._evidence.listings is not None:
            for identity, caller, entry in self._evidence.listings.known():
                sorter.state(identity, caller, entry)
        buckets.close()
        rest.result()
        folders = [*(each.later.parent for each in self._sorted), of_rows, of_rest]
        filled = buckets_in([each / "buckets" for each in folders])
        pieces: list[Piece] = [*self._inboxes, *map(Bucket, filled)]
        result.tally.add(judge_pieces(pieces, self._given, self._executor))
        for each in folders:
            shutil.rmtree(each)
        if self._evidence.listings is not None:
            self._note_what_listings_hide()
        if not result.measures.overall.answered:
            result.troubles.append("no operation was answered")
        result.judging_s = time.perf_counter() - began_s
        return result

    async def _ask(self, step: Callable[[Database], Awaitable[None]]) -> None:
        """Do what needs the database, while it is there."""
        database = self._database
        if database is not None and not self._result.broken:
            await self._try(lambda: step(database))

    async def _try(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except ComponentFailed as failure:
            self._result.broken = str(failure)
            self._given = replace(self._given, rows_are_known=False, polled=frozenset())

    def _sort_operations(self) -> None:
        files = sorted(self._evidence.folder.glob(f"*{SUFFIX}"))
        if len(files) < self._evidence.workers:
            self._result.troubles.append(
                f"only {len(files)} of {self._evidence.workers} workers wrote down what they did"
            )
        for done in [self._sorting(file) for file in files]:
            found = done.result()
            self._keep(found)
            self._result.operations += found.operations
            self._result.measures.merge(found.measures)
            self._result.troubles += found.troubles
        self._given = replace(self._given, hearts=_by_workspace(self._beats()))

    def _sorting(self, path: Path) -> Future[Sorted]:
        file = RecordFile(path, self._evidence.began.monotonic_s, self._evidence.began.unix_s)
        return self._executor.submit(sort_records, file, path.with_suffix(".sorted"), self._no_measures())

    def _keep(self, found: Sorted) -> None:
        self._sorted.append(found)
        for name, polled in found.polled.items():
            if name in self._polled:
                self._polled[name].add(polled)
            else:
                self._polled[name] = polled

    def _beats(self) -> list[Recorded]:
        return [beat for each in self._sorted for beat in each.beats]

    async def _read_inboxes(self) -> None:
        self._given = replace(self._given, polled=await self._read_inboxes_to_the_end())

    async def _read_what_all_share(self, database: Database) -> None:
        self._given = replace(
            self._given,
            workspaces=await _decoded(database, tables.WORKSPACES),
            announced=await _decoded(database, tables.ANNOUNCED),
        )

    async def _read_the_rest(self, database: Database) -> None:
        tally, given = self._result.tally, self._given
        if beats := self._beats():
            tally.add(judge_heartbeats(beats, await _decoded(database, tables.HEARTBEATS), given))
        if not self._evidence.has_sequence:
            tally.not_observed |= {each.id for each in judged("inbox")}
        for name, polled in self._polled.items() if self._evidence.has_sequence else ():
            self._inboxes.append(Inbox(tuple(polled.files), await self._inbox_rows(database, name)))
        for second, event, count in await database.ask(tables.ENDED_BY_SECOND, given.epoch):
            self._result.ended_by_second.setdefault(second, {})[event] = count

    async def _read_inboxes_to_the_end(self) -> frozenset[str]:
        """So that it can be said what each poller was given in all; the names of those of whom it can be said."""
        recorder = Recorder(self._evidence.folder, HARNESS)
        done = set()
        for name, polled in self._polled.items():
            if await self._read_on(recorder, name, polled.cursor):
                done.add(name)
            else:
                self._result.troubles.append(f"the inbox of {name} could not be read to its end")
        recorder.close()
        self._keep(self._sorting(self._evidence.folder / f"{HARNESS}{SUFFIX}").result())
        return frozenset(done - {name for name, polled in self._polled.items() if polled.begun_again})

    def _no_measures(self) -> Measures:
        windows = windows_of(self._evidence.spans, self._evidence.duration_s)
        return Measures(windows, aftermath_s=self._evidence.aftermath_s)

    def _note_what_listings_hide(self) -> None:
        tally = self._result.tally
        self._result.states_unknown = tally.unknown
        if tally.unknown:
            tally.not_observed |= {each.id for each in judged("delegation") if "statuses" in each.needs}
        else:
            # Not every group could be judged by these: one that is an unanswered request alone has no state.
            parts = {"statuses", "inbox"} if self._given.polled else {"statuses"}
            tally.not_observed -= {each.id for each in judged("delegation") if each.needs and each.needs <= parts}
        tally.not_observed |= {each.id for each in (*judged("inbox"), *judged("heartbeats"))}

    async def _inbox_rows(self, database: Database, name: str) -> Path:
        file = PackedFile(self._evidence.folder / _ROWS / f"{name}.inbox", together=100)
        query = tables.INBOX_ROWS.format(self._evidence.members[name].workspace_id)
        async for batch in database.stream(query):
            for (text,) in batch:
                file.add(text)
        file.close()
        return file.path


async def _decoded(database: Database, query: str) -> list[dict[str, Any]]:
    batches: AsyncIterator[Sequence[Any]] = database.stream(query)
    rows = [json.loads(row[0]) async for batch in batches for row in batch]
    decode_times(rows)
    return rows


def _by_workspace(beats: Sequence[Recorded]) -> dict[str, list[Recorded]]:
    found: dict[str, list[Recorded]] = {}
    for beat in sorted(beats, key=lambda beat: beat.began_s):
        found.setdefault(beat.workspace, []).append(beat)
    return found
