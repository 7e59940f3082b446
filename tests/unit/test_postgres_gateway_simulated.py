"""The gateway on the simulated loop: real lock waits and deadlocks in virtual time, the same in every run."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from typing import Any

import asyncpg
import pytest

from sim.kernel.postgres_gateway import Backends, Database, Gateway
from sim.kernel.simulation import Simulation
from sim.worlds.components.postgres import EmbeddedPostgres

from .gateway_world import SCHEMA

ROWS = "INSERT INTO item (id) SELECT generate_series(1, 5)"
Outcome = tuple[str, list[str], float]


def transfers(backends: Backends, database: Database, seed: int, *, fast: bool, clean: bool = False) -> Outcome:
    """Eight transactions that update two of five rows each, a random while apart: trace, results, virtual seconds."""
    vars(asyncpg.connection)["_uid"] = 0
    (database.physically_clean if clean else database.reset)(ROWS)
    draw = random.Random(seed)
    gateway = Gateway(backends, random=random.Random(seed), fast=fast)

    async def transfer(pool: Any) -> str:
        try:
            async with pool.acquire() as connection, connection.transaction():
                for _ in range(2):
                    await connection.execute("UPDATE item SET n = n + 1 WHERE id = $1", draw.randrange(1, 6))
                    await asyncio.sleep(draw.random())
        except asyncpg.DeadlockDetectedError:
            return "deadlock"
        return "done"

    async def main() -> list[str]:
        await asyncio.get_running_loop().create_server(gateway.protocol_factory, "0.0.0.0", 5432)
        pool = await asyncpg.create_pool(
            host="harness", user="postgres", password="x", database="simulated", ssl=False, min_size=1, max_size=4
        )
        results = await asyncio.gather(*(transfer(pool) for _ in range(8)))
        assert await pool.fetchval("SELECT sum(n) FROM item") == 2 * results.count("done")
        await pool.close()
        return results

    with Simulation(seed) as simulation:
        try:
            results = simulation.run(main())
        finally:
            gateway.close()
        return simulation.trace_hash(), results, simulation.time_s


def outcomes(socket_path: str, **options: bool) -> list[Outcome]:
    backends, database = Backends(socket_path), Database(socket_path, "simulated")
    try:
        return [transfers(backends, database, seed, **options) for seed in range(6)]
    finally:
        backends.close()
        database.close()


@pytest.fixture(scope="module")
def socket_path(postgres_server: EmbeddedPostgres) -> str:
    postgres_server.create_database("simulated", SCHEMA)
    return postgres_server.socket_path


def test_a_seed_gives_one_trace_with_and_without_shortcuts_and_whatever_ran_before(socket_path: str) -> None:
    first = outcomes(socket_path, fast=True)
    assert outcomes(socket_path, fast=False) == first
    assert outcomes(socket_path, fast=True, clean=True) == first
    assert len({trace for trace, *_ in first}) == len(first)
    assert any("deadlock" in results for _, results, _ in first)


def test_another_process_with_another_hash_seed_sees_the_same(socket_path: str) -> None:
    here = outcomes(socket_path, fast=True)
    script = f"import json; from {__name__} import outcomes; print(json.dumps(outcomes({socket_path!r}, fast=True)))"
    printed = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert [tuple(one) for one in json.loads(printed.stdout)] == here
