"""Contract tests in virtual time: a minute of waiting costs nothing, and every instant is exact.

Everything of a test runs on one simulated machine that reaches the real Postgres over the simulated network. What the
seed draws are the latencies: 5 to 20 microseconds a segment on the machine itself, up to half a millisecond to the
database.
"""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from sim.kernel import Simulation
from sim.kernel.postgres_gateway import Gateway
from sim.worlds import libraries
from tests.contract.agents import Behaviour
from tests.contract.database import NODE, PORT, Database
from tests.contract.served import Served
from tests.contract.world import world

T = TypeVar("T")
HORIZON_S = 10 * 24 * 3600.0
"""A test that waits longer has hung."""


@contextlib.contextmanager
def simulation(database: Database, *, seed: int = 1) -> Iterator[Simulation]:
    """A simulated machine and the database, with nothing running yet."""
    libraries.renew()
    with Simulation(seed, horizon_s=HORIZON_S) as made:
        gateway = Gateway(database.backends, random=made.streams["schedule"], database=database.name)

        async def plug_in() -> None:
            made.network.install(made.node(NODE), PORT, gateway.protocol_factory)

        try:
            made.run(plug_in())
            yield made
        finally:
            gateway.close()
    libraries.forget()


def in_virtual_time(database: Database, work: Coroutine[Any, Any, T], *, seed: int = 1) -> T:
    """What `asyncio.run` is in real time."""
    with simulation(database, seed=seed) as made:
        return made.run(work)


@contextlib.contextmanager
def stepped(database: Database, *behaviours: Behaviour, **settings: Any) -> Iterator[Served]:
    """Like `world`, for what is not written as a coroutine; nothing happens, and no time passes, between two steps."""
    with simulation(database) as made:
        opened = world(database, *behaviours, **settings)
        it = made.run(opened.__aenter__())
        try:
            yield Served(it, made.run)
        finally:
            made.run(opened.__aexit__(None, None, None))
