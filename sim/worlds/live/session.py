"""Playing scenarios live: the components that stay up between runs, and one run in a loop of its own."""

from __future__ import annotations

import asyncio
import shlex
import tempfile
import time
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from sim import interrupts
from sim.invariants.verdict import judge
from sim.scenario.model import Scenario
from sim.worlds.components import live_postgres, toxiproxy
from sim.worlds.components.run_record import RunRecord, record_of_this_process
from sim.worlds.components.toxiproxy import Toxiproxy
from sim.worlds.live.clock import ScaledLoop
from sim.worlds.live.foreign import Foreign
from sim.worlds.live.foreign_broker import ForeignBrokers
from sim.worlds.live.own_broker import OwnBrokers
from sim.worlds.live.under_test import Brokers
from sim.worlds.live.world import LiveWorld
from sim.worlds.run import Run

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LiveSession:
    """What stays up between runs. `play` may be called again and again."""

    brokers: Brokers
    toxiproxy: Toxiproxy
    folder: Path
    time_scale: float
    record: RunRecord

    def in_fork(self, name: str) -> LiveSession:
        """The same components in a forked process, which has a record and a folder `name` for logs of its own."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return replace(self, toxiproxy=self.toxiproxy.in_fork(), folder=folder, record=record_of_this_process())

    def play(self, scenario: Scenario) -> Run:
        """Make a world, play the scenario in it, judge it, take it down. Raises ComponentFailed, UnknownSetting."""
        began_s, cpu_s = time.perf_counter(), time.process_time()
        world, lasted_s = run_on_loop(self._play(scenario), self.time_scale)
        return Run(
            scenario=scenario,
            seed=1,
            history=world.history,
            judgement=judge(scenario, world.history),
            trace_hash="",
            virtual_s=lasted_s,
            cpu_s=time.process_time() - cpu_s,
            wall_s=time.perf_counter() - began_s,
            replay=f"fumble live {shlex.quote(scenario.path)}{self.brokers.options}",
        )

    async def _play(self, scenario: Scenario) -> tuple[LiveWorld, float]:
        world = LiveWorld(
            self.brokers.for_run(scenario, time_scale=self.time_scale, folder=self.folder, record=self.record),
            toxiproxy=self.toxiproxy,
            folder=self.folder,
            time_scale=self.time_scale,
            record=self.record,
        )
        try:
            await world.play()
            return world, world.now_s()
        finally:
            await world.close()


@contextmanager
def live_session(
    *,
    postgres: str,
    toxiproxy_at: str,
    time_scale: float,
    on_disk: bool = False,
    logs: Path | None = None,
    foreign: Foreign | None = None,
) -> Iterator[LiveSession]:
    """Everything that a live world needs, for the length of a block. Raises ComponentFailed.

    `on_disk`: there will be much to store. `logs`: a folder in which the logs of all processes stay; None: they are
    thrown away. `foreign`: the broker to play against; None: ours, with a database at `postgres`.
    """
    record = record_of_this_process()
    with ExitStack() as stack:
        temporary = stack.enter_context(_temporary_folder(record))
        folder = logs or Path(temporary)
        brokers: Brokers
        if foreign is None:
            server = stack.enter_context(live_postgres.obtained(postgres, record=record, on_disk=on_disk))
            brokers = OwnBrokers(server)
        else:
            brokers = ForeignBrokers(foreign)
        proxy = stack.enter_context(toxiproxy.obtained(toxiproxy_at, folder=folder, record=record))
        yield LiveSession(brokers, proxy, folder, time_scale, record)


@contextmanager
def _temporary_folder(record: RunRecord) -> Iterator[str]:
    """It is no longer noted when it is removed, whatever was the reason."""
    folder = tempfile.TemporaryDirectory(prefix="fumble-live-")
    with ExitStack() as noted:
        noted.enter_context(record.holding("folder", folder.name))
        try:
            yield folder.name
        finally:
            folder.cleanup()
            noted.close()


def run_on_loop(coroutine: Coroutine[Any, Any, T], time_scale: float) -> T:
    """Run it to its end on a loop of its own; if this is interrupted, it still cleans up."""
    loop = ScaledLoop(time_scale)
    task = loop.create_task(coroutine)
    try:
        return loop.run_until_complete(task)
    except BaseException:
        with interrupts.ignored():
            task.cancel()
            loop.run_until_complete(asyncio.wait([task]))
        raise
    finally:
        with interrupts.ignored():
            loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
