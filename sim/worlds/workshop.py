"""What one worker process keeps between worlds (warm backends, a database, imported code), and how it plays a run."""

from __future__ import annotations

import gc
import shlex
import time
from dataclasses import replace
from pathlib import Path

import reference_impl
from reference_impl.config import Config
from sim.invariants.verdict import judge
from sim.kernel import OutsideFailure, Simulation, SimulationHang
from sim.kernel.postgres_gateway import Backends, Database, GatewayError
from sim.scenario.model import Scenario
from sim.worlds import libraries
from sim.worlds.components.postgres import EmbeddedPostgres
from sim.worlds.run import Run
from sim.worlds.simulated import BROKER_PORT, DATABASE_PORT, SimulatedWorld

HORIZON_S = 30 * 24 * 3600.0

_SCHEMA = Path(reference_impl.__file__).with_name("schema.sql")


class Workshop:
    """What one worker process needs to make worlds, for as long as it lives."""

    def __init__(self, server: EmbeddedPostgres, database: str, *, core: int | None = None) -> None:
        """`core`: run this process and its backends there, which makes a round trip eight times cheaper."""
        server.create_database(database, _SCHEMA.read_text())
        self.config = Config(
            database_url=f"postgresql://postgres:postgres@database:{DATABASE_PORT}/fumble?sslmode=disable",
            host="0.0.0.0",
            port=BROKER_PORT,
            environment="development",
            allow_loopback=True,
        )
        self.database_name = database
        self.backends = Backends(server.socket_path, core=core)
        self.database = Database(server.socket_path, database, core=core)
        # What is imported by now stays: a collection between worlds looks at nothing but the last world.
        gc.collect()
        gc.freeze()
        gc.disable()

    def play(self, scenario: Scenario, seed: int) -> Run:
        """Make a world, play the scenario in it, judge it, throw it away. A world that hangs is a failed run.

        Raises `UnknownSetting`, and what the harness itself does wrong.
        """
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        run = self._play(scenario, seed)
        # Nothing holds the world any more: what it left behind dies here, and not in the middle of the next one.
        libraries.forget()
        gc.collect(0)
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
        return replace(run, cpu_s=cpu_s, wall_s=wall_s)

    def _play(self, scenario: Scenario, seed: int) -> Run:
        hang = ""
        with Simulation(seed, horizon_s=HORIZON_S) as simulation:
            world = SimulatedWorld(simulation, scenario, self)
            try:
                simulation.run(world.play())
            except SimulationHang as error:
                hang = str(error)
            except OutsideFailure as failure:
                raise GatewayError(str(failure)) from None
            finally:
                world.close()
            judgement = judge(scenario, world.history)
            return Run(
                scenario=scenario,
                seed=seed,
                history=world.history,
                judgement=replace(judgement, verdict="failed") if hang else judgement,
                trace_hash=simulation.trace_hash(),
                virtual_s=simulation.time_s,
                cpu_s=0.0,
                wall_s=0.0,
                replay=f"fumble replay {shlex.quote(scenario.path)} --seed {seed}",
                hang=hang,
            )
