"""Playing loads: one after another, each in a loop and a world of its own."""

from __future__ import annotations

from pathlib import Path

from sim.scenario.load import Load
from sim.scenario.model import Scenario
from sim.worlds.live.foreign_broker import ForeignBroker
from sim.worlds.live.own_broker import OwnBroker
from sim.worlds.live.session import LiveSession, run_on_loop
from sim.worlds.load.run import LoadPlay, LoadRun
from sim.worlds.load.world import LoadWorld

LOCUSTFILE = "locustfile.py"


def play_load(
    session: LiveSession,
    scenario: Scenario,
    load: Load,
    *,
    locustfile: Path | None,
    duration_s: float,
    workers: int,
    expected: int,
    listen: tuple[str, int] | None,
    seed: int,
) -> LoadRun:
    """Make a world, play the load in it, judge it, take it down. Raises ComponentFailed, UnknownSetting."""
    folder = session.folder / f"load-{scenario.name}"
    number = 1
    while folder.exists():
        number += 1
        folder = session.folder / f"load-{scenario.name}-{number}"
    folder.mkdir()

    async def play() -> LoadRun:
        broker = session.brokers.for_run(scenario, time_scale=1.0, folder=session.folder, record=session.record)
        assert isinstance(broker, OwnBroker | ForeignBroker)
        world = LoadWorld(broker, load, toxiproxy=session.toxiproxy, folder=folder, record=session.record)
        file = locustfile or Path(scenario.path).with_name(LOCUSTFILE)
        try:
            return await LoadPlay(
                broker.scenario, load, world, folder, file, duration_s, workers, expected, listen, seed
            ).play()
        finally:
            await world.close()

    return run_on_loop(play(), 1.0)
