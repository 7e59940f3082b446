"""A broker in virtual time, for tests that go on with it step by step: a minute of waiting costs nothing."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import reference_impl
from fakes.agent import Agent, AgentSaw
from reference_impl.app import Broker
from reference_impl.config import Config
from sim.kernel import Simulation
from sim.kernel.postgres_gateway import Backends, Database, Gateway
from sim.scenario.behaviours import Behaviour
from sim.worlds import libraries
from sim.worlds.components.postgres import EmbeddedPostgres
from sim.worlds.http_client import Answer, Exchange

T = TypeVar("T")
NAME = "virtual_contract"


@dataclass(frozen=True, slots=True)
class Base:
    """What all brokers of a process share: a database, and connections to it."""

    database: Database
    backends: Backends


def base(server: EmbeddedPostgres) -> Base:
    server.create_database(NAME, Path(reference_impl.__file__).with_name("schema.sql").read_text())
    return Base(Database(server.socket_path, NAME), Backends(server.socket_path))


class VirtualBroker:
    """A broker on the node `broker`, its agents on nodes of their own; nothing happens between two steps."""

    def __init__(self, simulation: Simulation, deliveries: list[str | None]) -> None:
        self._simulation = simulation
        self.deliveries = deliveries
        """The delegation id of every message that an agent was given."""

    @property
    def now_s(self) -> float:
        """Virtual seconds since the world began."""
        return self._simulation.time_s

    def step(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it, and stop when it is done."""
        return self._simulation.run(work)

    def wait(self, duration_s: float) -> None:
        """Let virtual time pass."""
        self.step(asyncio.sleep(duration_s))

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """One request of a client."""
        return self.step(Exchange().request("broker", 8080, method, path, headers={}, body=body))


@contextlib.contextmanager
def virtual_broker(base: Base, members: Mapping[str, Behaviour | None], *, seed: int = 1) -> Iterator[VirtualBroker]:
    """`members`: workspace ids, with how the agent of each behaves; one that has none polls."""
    libraries.renew()
    rows = ", ".join(
        f"('{workspace}', 'w{number}', 'online', '{'push' if behaviour else 'poll'}', 'http://agent-{number}:9000/')"
        for number, (workspace, behaviour) in enumerate(members.items())
    )
    base.database.reset(f"INSERT INTO workspaces (id, name, status, delivery_mode, url) VALUES {rows}")
    deliveries: list[str | None] = []
    # Entropy begins anew with each step; ids must not.
    draw = random.Random(seed)

    def new_id() -> str:
        return str(uuid.UUID(int=draw.getrandbits(128), version=4))

    def observe(saw: AgentSaw) -> None:
        if saw.stage == "delivered":
            deliveries.append(saw.delegation_id)

    config = Config(
        database_url=f"postgresql://postgres:postgres@database:5432/{NAME}?sslmode=disable",
        host="0.0.0.0",
        environment="development",
        allow_loopback=True,
    )
    with Simulation(seed) as simulation:
        gateway = Gateway(base.backends, random=simulation.streams["schedule"], database=NAME)

        async def start() -> None:
            simulation.network.install(simulation.node("database"), 5432, gateway.protocol_factory)
            for number, behaviour in enumerate(members.values()):
                if behaviour is not None:
                    agent = Agent(f"agent-{number}", behaviours=[behaviour], observe=observe)
                    await simulation.node(agent.name).spawn(agent.start("0.0.0.0", 9000))
            broker = Broker(config, clock=_VirtualClock(), new_id=new_id)
            await simulation.node("broker").spawn(broker.start())

        try:
            simulation.run(start())
            yield VirtualBroker(simulation, deliveries)
        finally:
            gateway.close()
    libraries.forget()


class _VirtualClock:
    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time(), UTC)
