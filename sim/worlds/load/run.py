"""One load from its start to its verdict: play, settle, sort what is known by delegation, judge, measure."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from sim.scenario.load import Load
from sim.scenario.model import Scenario
from sim.worlds.components.processes import ComponentFailed
from sim.worlds.faults import FaultEngine
from sim.worlds.load import rows as tables
from sim.worlds.load.catch_up import read_to_the_end
from sim.worlds.load.facts import Buckets, Sorter
from sim.worlds.load.gates import GateResult, results
from sim.worlds.load.groups import Circumstances
from sim.worlds.load.inboxes import PollFiles, judge_heartbeats, judge_inbox
from sim.worlds.load.judge import Tally, judge_buckets
from sim.worlds.load.locust import Began, Locust
from sim.worlds.load.measures import Measures, Sample
from sim.worlds.load.plan import plan_of
from sim.worlds.load.records import SUFFIX, Recorded, RecordFile, Recorder
from sim.worlds.load.scope import DUPLICATES, LOSSES
from sim.worlds.load.windows import Span, spans_of, windows_of
from sim.worlds.load.world import LoadWorld

Verdict: TypeAlias = Literal["passed", "failed", "inconclusive"]
SAMPLE_S = 0.5
QUIET_AFTER_RETRY_S = 3.0
"""Beside the retry delay: what is still to come, comes in this time."""
_OPEN = """
SELECT (SELECT count(*) FROM activity_logs WHERE activity_type = 'delegation' AND method = 'delegate'
        AND status IN ('pending', 'dispatched') AND NOT recorded)::int,
       (SELECT count(*) FROM a2a_queue WHERE status = 'queued')::int,
       (SELECT count(*) FROM a2a_queue WHERE status = 'dispatched')::int"""


@dataclass(slots=True)
class LoadRun:
    """A finished load, judged. `troubles` say what is missing in it; `broken`, which part failed under it."""

    scenario: Scenario
    duration_s: float
    workers: int
    measures: Measures
    tally: Tally
    gates: Sequence[GateResult]
    spans: Sequence[Span]
    samples: Sequence[Sample]
    ended_by_second: dict[int, dict[str, int]]
    operations: int
    lasted_s: float
    troubles: list[str] = field(default_factory=list)
    deaths: Sequence[str] = ()
    broken: str = ""
    judging_s: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """Failed for what was seen, inconclusive for what is missing, else passed."""
        others = [each for each in self.tally.violations if each not in LOSSES | DUPLICATES]
        if others or self.deaths or any(gate.held is False for gate in self.gates):
            return "failed"
        return "inconclusive" if self.troubles or self.broken else "passed"


@dataclass(slots=True)
class LoadPlay:
    """Plays one load in a world that it takes down at the end."""

    scenario: Scenario
    load: Load
    world: LoadWorld
    folder: Path
    locustfile: Path
    duration_s: float
    workers: int
    seed: int
    samples: list[Sample] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    broken: str = ""
    _locust: Locust | None = None
    _on_way: int = 0

    async def play(self) -> LoadRun:
        """All of it. Raises ComponentFailed for what fails before the load began."""
        await self.world.set_up()
        began = await self._start()
        self.world.begin_at(asyncio.get_running_loop().time() - (time.monotonic() - began.monotonic_s))
        faults = FaultEngine(self.scenario.faults, self.world, self.world.history, {})
        sampling = asyncio.ensure_future(self._sample())
        try:
            await self.world.as_long_as_well(self._until_settled(faults))
        except ComponentFailed as failure:
            self.broken = str(failure)
        finally:
            sampling.cancel()
            assert self._locust is not None
            self._locust.close()
            await asyncio.wait([sampling])
        return await self._conclude(began)

    # --- while it goes on ----------------------------------------------------------------------------------------

    async def _start(self) -> Began:
        members = self.world.history.members
        plan = plan_of(
            self.load, members, folder=self.folder, duration_s=self.duration_s, seed=self.seed, workers=self.workers
        )
        file = self.folder / "plan.json"
        plan.write(file)
        host, port = self.world.broker_address()
        users = sum(user["count"] for user in plan.users) + len(plan.arrivals) * self.workers
        self._locust = Locust(
            self.locustfile, f"http://{host}:{port}", file, self.folder, users, self.duration_s, self.workers
        )
        self._locust.start()
        return await self._locust.began()

    async def _until_settled(self, faults: FaultEngine) -> None:
        assert self._locust is not None
        faults.arm()
        ending = asyncio.ensure_future(self._locust.ended())
        while not ending.done():
            await asyncio.wait([ending], timeout=0.2)
            if self.world.broker_has_ended():
                self._locust.close()
                await ending
                raise ComponentFailed(f"the broker ended by itself, {self.world.now_s():.1f} s after the load began")
        faults.heal()
        await self._settle(faults)

    async def _settle(self, faults: FaultEngine) -> None:
        quiet_s = self.world.history.flags.retry_delay_s + QUIET_AFTER_RETRY_S
        give_up_s = self.world.now_s() + self.scenario.settle_s
        rests_since_s: float | None = None
        while self.world.now_s() < give_up_s:
            await asyncio.sleep(SAMPLE_S)
            faults.heal()
            if self.world.broker_has_ended():
                raise ComponentFailed("the broker ended by itself while the system settled")
            latest = self.samples[-1] if self.samples else None
            if latest is None or latest.under_way or self._on_way or faults.will_end():
                rests_since_s = None
            elif rests_since_s is None:
                rests_since_s = self.world.now_s()
            elif self.world.now_s() - rests_since_s >= quiet_s:
                return

    async def _sample(self) -> None:
        while True:
            (row,) = await self.world.ask(_OPEN)
            self._on_way = row[2]
            self.samples.append(Sample(self.world.now_s(), row[0], row[1]))
            await asyncio.sleep(SAMPLE_S)

    # --- when it is over -----------------------------------------------------------------------------------------

    async def _conclude(self, began: Began) -> LoadRun:
        assert self._locust is not None
        judging_s = time.perf_counter()
        self.world.contacts.close()
        ended_s = self.world.now_s()
        spans = spans_of(self.world.history.entries)
        measures = Measures(windows_of(spans, self.duration_s), aftermath_s=self.load.gates.recovery_s or 0.0)
        buckets = Buckets(self.folder / "buckets")
        sorter = Sorter(buckets, self.folder / "later", self.world.history.members)
        polls, beats = PollFiles(self.folder), []
        operations = 0
        for operation in self._recorded(began):
            operations += 1
            measures.add(operation)
            if operation.action == "inbox":
                for row in polls.add(operation):
                    sorter.given(operation.workspace, row)
            elif operation.action == "heartbeat":
                beats.append(operation)
            else:
                sorter.operation(operation)
        self._compare_counts(operations)
        given = Circumstances(
            members=self.world.history.members,
            flags=self.world.history.flags,
            epoch=self.world.history.epoch or datetime.now(UTC),
            ended_s=ended_s,
            spans=spans,
            polled=frozenset(),
            workspaces=(),
            hearts=_by_workspace(beats),
        )
        tally, ended = Tally(), {}
        try:
            given = replace(given, polled=await self._catch_up(polls, sorter, began))
            given = replace(
                given, workspaces=await self._decoded(tables.WORKSPACES), announced=await self._decoded(tables.ANNOUNCED)
            )
            await tables.sort_rows(self.world, sorter)
            sorter.place_the_rest()
            for identity, contact in self.world.contacts.lines():
                sorter.by_id(identity, "contact", contact.rstrip("\n"))
            tally.add(judge_heartbeats(beats, await self._decoded(tables.HEARTBEATS), given))
            for name in polls.cursors:
                inbox = await self._texts(tables.INBOX_ROWS.format(given.members[name].workspace_id))
                tally.add(judge_inbox(polls.polls(name), iter(inbox), given))
            for second, event, count in await self.world.ask(tables.ENDED_BY_SECOND, given.epoch):
                ended.setdefault(second, {})[event] = count
        except ComponentFailed as failure:
            self.broken = self.broken or str(failure)
        tally.add(judge_buckets(buckets.close(), given, processes=os.cpu_count() or 1))
        shutil.rmtree(self.folder / "buckets")
        self._note_what_did_not_happen(measures)
        return LoadRun(
            scenario=self.scenario,
            duration_s=self.duration_s,
            workers=self.workers,
            measures=measures,
            tally=tally,
            gates=results(self.load.gates, measures, tally),
            spans=spans,
            samples=self.samples,
            ended_by_second=ended,
            operations=operations,
            lasted_s=ended_s,
            troubles=self.troubles,
            deaths=self._locust.deaths,
            broken=self.broken,
            judging_s=time.perf_counter() - judging_s,
        )

    def _recorded(self, began: Began) -> Iterator[Recorded]:
        files = sorted(self.folder.glob(f"*{SUFFIX}"))
        if len(files) < self.workers:
            self.troubles.append(f"only {len(files)} of {self.workers} workers wrote down what they did")
        for path in files:
            file = RecordFile(path, began.monotonic_s, began.unix_s)
            yield from file.operations()
            self.troubles += file.troubles

    def _compare_counts(self, operations: int) -> None:
        assert self._locust is not None
        totals = self._locust.totals()
        if totals is None:
            self.troubles.append("Locust ended without saying what it counted")
        elif totals["requests"] > operations:
            self.troubles.append(f"Locust counted {totals['requests']} requests, the records hold {operations}")

    async def _catch_up(self, polls: PollFiles, sorter: Sorter, began: Began) -> frozenset[str]:
        """Read every inbox that was polled to its end, so that it can be said what its poller was given."""
        recorder = Recorder(self.folder, "harness")
        names = list(polls.cursors)
        done = set()
        for name in names:
            if await read_to_the_end(self.world, recorder, name, polls.cursors[name]):
                done.add(name)
            else:
                self.troubles.append(f"the inbox of {name} could not be read to its end")
        recorder.close()
        file = RecordFile(self.folder / f"harness{SUFFIX}", began.monotonic_s, began.unix_s)
        for operation in file.operations():
            for row in polls.add(operation):
                sorter.given(operation.workspace, row)
        return frozenset(done)

    def _note_what_did_not_happen(self, measures: Measures) -> None:
        begun = {getattr(entry, "fault", "") for entry in self.world.history.entries}
        for fault in self.scenario.faults:
            if fault.name not in begun:
                self.troubles.append(f"fault {fault.name} never began")
        if not measures.overall.answered:
            self.troubles.append("no operation was answered")

    async def _decoded(self, query: str) -> list[dict[str, object]]:
        import json

        from sim.worlds.tables import decode_times

        found = []
        for text in await self._texts(query):
            row = json.loads(text)
            decode_times(row)
            found.append(row)
        return found

    async def _texts(self, query: str) -> list[str]:
        return [row[0] async for batch in self.world.stream(query) for row in batch]


def _by_workspace(beats: Sequence[Recorded]) -> dict[str, list[Recorded]]:
    found: dict[str, list[Recorded]] = {}
    for beat in sorted(beats, key=lambda beat: beat.began_s):
        found.setdefault(beat.workspace, []).append(beat)
    return found
