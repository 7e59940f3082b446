"""One load from its start to its verdict: users and faults, until everything has settled; then it is judged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from sim.history import FaultBegan, NodeChanged
from sim.invariants.verdict import Verdict
from sim.scenario.load import Load
from sim.scenario.model import Scenario
from sim.worlds.components.processes import ComponentFailed
from sim.worlds.faults import FaultEngine
from sim.worlds.load.catch_up import read_to_the_end
from sim.worlds.load.conclude import Conclusion, Evidence, conclude
from sim.worlds.load.gates import GateResult, results
from sim.worlds.load.locust import Began, Locust
from sim.worlds.load.measures import Sample
from sim.worlds.load.plan import plan_of
from sim.worlds.load.scope import DUPLICATES, LOSSES
from sim.worlds.load.windows import Span, spans_of
from sim.worlds.load.world import LoadWorld

SAMPLE_S = 0.5


@dataclass(frozen=True, slots=True)
class LoadRun:
    """A finished load, judged. `troubles` say what is missing in it; `broken`, which part failed under it.

    `deaths`: Locust's processes that ended before their time.
    """

    scenario: Scenario
    duration_s: float
    lasted_s: float
    workers: int
    conclusion: Conclusion
    gates: Sequence[GateResult]
    spans: Sequence[Span]
    samples: Sequence[Sample]
    troubles: Sequence[str]
    deaths: Sequence[str]
    broken: str

    @property
    def verdict(self) -> Verdict:
        """Failed for what was seen, inconclusive for what is missing, else passed."""
        others = [each for each in self.conclusion.tally.violations if each not in LOSSES | DUPLICATES]
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
    expected: int
    listen: tuple[str, int] | None
    seed: int
    samples: list[Sample] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    broken: str = ""
    _sampling: asyncio.Future[None] | None = None
    _locust: Locust | None = None
    _rests: bool = False
    """Whether nothing was under way at the last look; not known is no rest."""

    async def play(self) -> LoadRun:
        """All of it. Raises ComponentFailed for what fails before the load began."""
        await self.world.set_up()
        try:
            began = await self._start()
            await self.world.begin_at(asyncio.get_running_loop().time() - (time.monotonic() - began.monotonic_s))
            await self._go_on()
        finally:
            if self._locust is not None:
                self._locust.close()
        return await self._conclude(began)

    # --- while it goes on ----------------------------------------------------------------------------------------

    async def _start(self) -> Began:
        members = self.world.history.members
        workers = self.workers + self.expected
        plan = plan_of(
            self.load,
            members,
            folder=self.folder,
            duration_s=self.duration_s,
            seed=self.seed,
            workers=workers,
            dialect=self.world.dialect,
        )
        file = self.folder / "plan.json"
        plan.write(file)
        host, port = self.world.broker_address()
        users = sum(user["count"] for user in plan.users) + len(plan.arrivals) * workers
        self._locust = Locust(
            locustfile=self.locustfile,
            host=f"http://{host}:{port}",
            plan=file,
            shown=plan.shown.text(),
            folder=self.folder,
            users=users,
            duration_s=self.duration_s,
            workers=self.workers,
            expected=self.expected,
            listen=self.listen,
        )
        self._locust.start()
        return await self._locust.began()

    async def _go_on(self) -> None:
        """Until everything has settled, or something that takes part is broken."""
        faults = FaultEngine(self.scenario.faults, self.world, self.world.history, {})
        sampling = self._sampling = asyncio.ensure_future(self._sample())
        try:
            await self.world.as_long_as_well(self._until_settled(faults))
        except ComponentFailed as failure:
            self.broken = str(failure)
        finally:
            sampling.cancel()
            await asyncio.wait([sampling])

    async def _until_settled(self, faults: FaultEngine) -> None:
        assert self._locust is not None
        faults.arm()
        ending = asyncio.ensure_future(self._locust.ended())
        while not ending.done() and self.world.agent_gone() is None:
            await asyncio.wait([ending], timeout=0.2)
            try:
                self._check()
            except ComponentFailed:
                self._locust.stop()
                await ending
                raise
        if self.world.agent_gone() is not None:
            self._locust.stop()
            await ending
        faults.heal()
        await self._settle(faults)
        if (gone := self.world.agent_gone()) is not None:
            # The broker came to rest without it, so what it did until then can be judged.
            raise gone

    async def _settle(self, faults: FaultEngine) -> None:
        give_up_s = self.world.now_s() + self.world.settle_s
        rests_since_s: float | None = None
        while self.world.now_s() < give_up_s:
            await asyncio.sleep(SAMPLE_S)
            faults.heal()
            self._check()
            if not self._rests or faults.will_end():
                rests_since_s = None
            elif rests_since_s is None:
                rests_since_s = self.world.now_s()
            elif self.world.now_s() - max(rests_since_s, self.world.last_contact_s) >= self.world.quiet_s:
                return
        self.troubles.append(f"the system did not come to rest within {self.world.settle_s:g} s after the load")

    def _check(self) -> None:
        """Raises ComponentFailed if the broker or the database is gone by itself."""
        assert self._sampling is not None
        if self._sampling.done():
            self._sampling.result()
        if (gone := self.world.broker_is_gone()) is not None:
            now_s = self.world.now_s()
            # What it could not do any more is held against the run, and not against the broker.
            self.world.history.add(NodeChanged(now_s, "broker", "killed"))
            raise ComponentFailed(f"{gone}, {now_s:.1f} s after the load began")

    async def _sample(self) -> None:
        while True:
            waiting = await self.world.waiting()
            self._rests = waiting is not None and not waiting.under_way and not waiting.on_way
            if waiting is not None:
                self.samples.append(Sample(self.world.now_s(), waiting.under_way, waiting.queued))
            await asyncio.sleep(SAMPLE_S)

    # --- when it is over -----------------------------------------------------------------------------------------

    async def _conclude(self, began: Began) -> LoadRun:
        assert self._locust is not None
        world, history = self.world, self.world.history
        world.contacts.close()
        ended_s, spans = world.now_s(), spans_of(history.entries)
        evidence = Evidence(
            folder=self.folder,
            began=began,
            members=history.members,
            flags=history.flags,
            epoch=history.epoch or datetime.now(UTC),
            duration_s=self.duration_s,
            ended_s=ended_s,
            spans=spans,
            contacts=world.contacts,
            workers=self.workers + self.expected,
            aftermath_s=self.load.gates.recovery_s or 0.0,
            listings=world.listings,
            has_sequence=world.has_sequence,
        )
        conclusion = await conclude(evidence, world.database, partial(read_to_the_end, world))
        return LoadRun(
            scenario=self.scenario,
            duration_s=self.duration_s,
            lasted_s=ended_s,
            workers=self.workers + self.expected,
            conclusion=conclusion,
            gates=results(self.load.gates, conclusion.measures, conclusion.tally),
            spans=spans,
            samples=self.samples,
            troubles=[*self.troubles, *conclusion.troubles, *self._missing(conclusion.operations)],
            deaths=self._locust.deaths,
            broken=self.broken or conclusion.broken,
        )

    def _missing(self, operations: int) -> Iterator[str]:
        assert self._locust is not None
        requests = self._locust.requests()
        if requests is None:
            yield "Locust ended without saying what it counted"
        elif requests > operations:
            yield f"Locust counted {requests} requests, and only {operations} are written down"
        begun = {entry.fault for entry in self.world.history.entries if isinstance(entry, FaultBegan)}
        for fault in self.scenario.faults:
            if fault.name not in begun:
                yield f"fault {fault.name} never began"
