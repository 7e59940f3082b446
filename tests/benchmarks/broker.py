"""The reference broker as a service: delegations a second against a floor without logic, and memory when all wait.

Broker (or floor), clients with their agent, and Postgres with its default durability are processes of their own on
loopback. The ratio is of two rates of one run; rounds alternate, because a machine's speed drifts. A fleet delegates,
not one pair: rows of one workspace become visible in order (INV-90), so its writers wait for each other.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import asyncpg

from sim.scenario.behaviours import Hang, Reply
from sim.worlds.components.postgres import EmbeddedPostgres, embedded_postgres
from tests.benchmarks.figures import Figure
from tests.benchmarks.load import floor
from tests.benchmarks.load.client import COMPLETE_WITHIN_S, Accepted, CountingAgent, delegate_all
from tests.benchmarks.load.service import BROKER, FLOOR, Service, running

TITLE = "The reference broker on real sockets and a durable Postgres, against a floor without logic"

DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "autovacuum": "on"}
ROUNDS = 3
_LOOK_S = 0.02
FLEET = 32
_CALLERS = [str(uuid.UUID(int=number)) for number in range(1, FLEET + 1)]
_TARGETS = [str(uuid.UUID(int=number)) for number in range(FLEET + 1, 2 * FLEET + 1)]
_BROKER_DONE = "SELECT count(*) FROM activity_logs WHERE activity_type = 'a2a_receive' AND method = 'delegate_result'"
_WORKSPACES = """
INSERT INTO workspaces (id, name, status, delivery_mode, url)
SELECT id, id::text, 'online', CASE WHEN id = ANY ($2::uuid[]) THEN 'push' ELSE 'poll' END, $3
FROM unnest($1::uuid[] || $2::uuid[]) AS id"""


@dataclass(frozen=True, slots=True)
class Round:
    """One service under load: completed delegations a second, and how long accepting took."""

    rate: float
    accepted: Accepted


def measure(quick: bool) -> list[Figure]:
    """Rates, latencies, their ratio, and memory with many delegations under way."""
    delegations, waiting = (60, 100) if quick else (1500, 10_000)
    with embedded_postgres(listen_tcp=True, on_disk=True, settings=DURABLE) as server:
        brokers, floors = [], []
        for number in range(1 if quick else ROUNDS):
            brokers.append(asyncio.run(_broker_round(server, f"broker_{number}", delegations)))
            floors.append(asyncio.run(floor_round(server, f"floor_{number}", delegations)))
        memory_bytes = asyncio.run(_memory_while_waiting(server, "waiting", waiting))
    ratio = median(broker.rate / floor.rate for broker, floor in zip(brokers, floors, strict=True))
    return [
        *_told("broker", brokers),
        *_told("floor", floors),
        Figure("broker against floor", ratio, "times", at_least=0.75),
        Figure(
            f"memory with {waiting:,} delegations under way",
            memory_bytes / 1e6 if memory_bytes else None,
            "MB",
            at_most=600,
            note="" if memory_bytes else "needs /proc",
        ),
    ]


def _told(who: str, rounds: list[Round]) -> list[Figure]:
    return [
        Figure(f"{who}: accepted and completed", median(each.rate for each in rounds), "/s"),
        *(
            Figure(
                f"{who}: accepted, p{percent}",
                1e3 * median(each.accepted.percentile_s(percent) for each in rounds),
                "ms",
            )
            for percent in (50, 99)
        ),
    ]


async def _broker_round(server: EmbeddedPostgres, database: str, count: int) -> Round:
    server.create_database(database)
    async with CountingAgent([Reply("done")]).serve() as agent_url, _broker(server, database, agent_url) as broker:
        return await _round(server, database, broker.port, done=_BROKER_DONE, count=count)


async def floor_round(server: EmbeddedPostgres, database: str, count: int) -> Round:
    """The floor under load, with a database of its own."""
    server.create_database(database, floor.SCHEMA)
    async with CountingAgent([Reply("done")]).serve() as agent_url:
        environment = {"DATABASE_URL": server.dsn(database), "AGENT_URL": agent_url}
        async with running(FLOOR, environment) as service:
            return await _round(server, database, service.port, done=floor.DONE, count=count)


async def _round(server: EmbeddedPostgres, database: str, port: int, *, done: str, count: int) -> Round:
    connection = await asyncpg.connect(server.dsn(database))
    begun_s = perf_counter()
    accepted = await delegate_all(port, _CALLERS, _TARGETS, count=count)
    for _ in range(round(COMPLETE_WITHIN_S / _LOOK_S)):
        if await connection.fetchval(done) == count:
            break
        await asyncio.sleep(_LOOK_S)
    else:
        raise TimeoutError(f"not all of {count} delegations completed within {COMPLETE_WITHIN_S} s")
    rate = count / (perf_counter() - begun_s)
    await connection.close()
    return Round(rate, accepted)


async def _memory_while_waiting(server: EmbeddedPostgres, database: str, count: int) -> int | None:
    """The most memory that the broker had with `count` requests open at an agent that does not answer, in bytes."""
    server.create_database(database)
    agent = CountingAgent([Hang()], wanted=count)
    async with agent.serve() as agent_url, _broker(server, database, agent_url) as broker:
        await delegate_all(broker.port, _CALLERS, _TARGETS, count=count)
        await asyncio.wait_for(agent.reached.wait(), COMPLETE_WITHIN_S)
        return broker.memory_bytes()


@asynccontextmanager
async def _broker(server: EmbeddedPostgres, database: str, agent_url: str) -> AsyncIterator[Service]:
    async with running(BROKER, _broker_environment(server.dsn(database))) as broker:
        connection = await asyncpg.connect(server.dsn(database))
        await connection.execute(_WORKSPACES, _CALLERS, _TARGETS, agent_url)
        await connection.close()
        yield broker


def _broker_environment(database_url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "PORT": "0",
        "BROKER_MIGRATE": "1",
        "BROKER_ENV": "development",
        "BROKER_ALLOW_LOOPBACK": "1",
    }
