"""Playing scenarios live: the components that stay up between runs, and one run in a loop of its own."""

from __future__ import annotations

import shlex
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sim.invariants.verdict import judge
from sim.scenario.model import Scenario
from sim.worlds.components import live_postgres, toxiproxy
from sim.worlds.components.live_postgres import LivePostgres
from sim.worlds.components.toxiproxy import Toxiproxy
from sim.worlds.live.clock import ScaledLoop
from sim.worlds.live.world import LiveWorld
from sim.worlds.run import Run


@dataclass(frozen=True, slots=True)
class LiveSession:
    """What stays up between runs. `play` may be called again and again."""

    postgres: LivePostgres
    toxiproxy: Toxiproxy
    folder: Path
    time_scale: float

    def play(self, scenario: Scenario) -> Run:
        """Make a world, play the scenario in it, judge it, take it down. Raises ComponentFailed, UnknownSetting."""
        began_s, cpu_s = time.perf_counter(), time.process_time()
        loop = ScaledLoop(self.time_scale)
        try:
            world, lasted_s = loop.run_until_complete(self._play(scenario))
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
        return Run(
            scenario=scenario,
            seed=1,
            history=world.history,
            judgement=judge(scenario, world.history),
            trace_hash="",
            virtual_s=lasted_s,
            cpu_s=time.process_time() - cpu_s,
            wall_s=time.perf_counter() - began_s,
            replay=f"fumble live {shlex.quote(scenario.path)}",
        )

    async def _play(self, scenario: Scenario) -> tuple[LiveWorld, float]:
        world = LiveWorld(
            scenario,
            postgres=self.postgres,
            toxiproxy=self.toxiproxy,
            folder=self.folder,
            time_scale=self.time_scale,
        )
        try:
            await world.play()
            return world, world.now_s()
        finally:
            await world.close()


@contextmanager
def live_session(*, postgres: str, toxiproxy_at: str, time_scale: float, seed: int = 1) -> Iterator[LiveSession]:
    """Everything that a live world needs, for the length of a block. Raises ComponentFailed."""
    with (
        tempfile.TemporaryDirectory(prefix="fumble-live-") as folder,
        live_postgres.obtained(postgres) as server,
        toxiproxy.obtained(toxiproxy_at, folder=Path(folder), seed=seed) as (proxy, _),
    ):
        yield LiveSession(server, proxy, Path(folder), time_scale)
