"""idle_in_transaction_session_timeout acts in virtual time: it frees the locks of silent clients."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg
import pytest

from sim.kernel.postgres_gateway import Backends, Database, Gateway
from sim.kernel.postgres_gateway.idle_limit import limit_s
from sim.kernel.simulation import Simulation
from sim.worlds.components.postgres import EmbeddedPostgres

from .gateway_world import SCHEMA

Connect = Callable[..., Coroutine[Any, Any, Any]]


@pytest.fixture(scope="module")
def socket_path(postgres_server: EmbeddedPostgres) -> str:
    postgres_server.create_database("idle_limit", SCHEMA)
    return postgres_server.socket_path


def play(socket_path: str, main: Callable[[Connect], Coroutine[Any, Any, Any]]) -> Any:
    backends, database = Backends(socket_path), Database(socket_path, "idle_limit")
    database.reset("INSERT INTO item (id) VALUES (1)")
    gateway = Gateway(backends, random=random.Random(1))

    async def connect(limit: str) -> Any:
        return await asyncpg.connect(
            host="harness", user="postgres", password="x", database="idle_limit", ssl=False,
            server_settings={"idle_in_transaction_session_timeout": limit},
        )  # fmt: skip

    async def serve() -> Any:
        await asyncio.get_running_loop().create_server(gateway.protocol_factory, "0.0.0.0", 5432)
        return await main(connect)

    with Simulation(1) as simulation:
        try:
            return simulation.run(serve())
        finally:
            gateway.close()
            backends.close()
            database.close()


def test_a_silent_transaction_is_ended_and_its_locks_are_free(socket_path: str) -> None:
    async def main(connect: Connect) -> float:
        silent, other = await connect("10s"), await connect("10s")
        await silent.transaction().start()
        await silent.execute("UPDATE item SET n = 1 WHERE id = 1")
        before_s = asyncio.get_running_loop().time()
        await other.execute("UPDATE item SET n = 2 WHERE id = 1")
        waited_s = asyncio.get_running_loop().time() - before_s
        await asyncio.sleep(1)
        assert silent.is_closed()
        assert await other.fetchval("SELECT n FROM item") == 2
        return waited_s

    assert play(socket_path, main) == pytest.approx(10, abs=0.01)


def test_who_goes_on_in_time_is_left_alone(socket_path: str) -> None:
    async def main(connect: Connect) -> int:
        connection = await connect("10000")
        async with connection.transaction():
            for _ in range(5):
                await connection.execute("UPDATE item SET n = n + 1 WHERE id = 1")
                await asyncio.sleep(9)
        await asyncio.sleep(60)  # idle, but not in a transaction
        number: int = await connection.fetchval("SELECT n FROM item")
        return number

    assert play(socket_path, main) == 5


@pytest.mark.parametrize(("value", "seconds"), [("10s", 10), ("250", 0.25), ("250ms", 0.25), ("2min", 120), ("0", 0)])
def test_values_are_read_as_postgres_reads_them(value: str, seconds: float) -> None:
    assert limit_s(value) == pytest.approx(seconds)
