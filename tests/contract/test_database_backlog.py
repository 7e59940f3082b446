"""More work than the database can do: what is begun is finished, and what cannot be waited for ends in time."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from reference_impl.store import Store
from sim.kernel import Simulation
from tests.contract.database import Database
from tests.contract.queue_steps import HELLO, NO_SWEEP
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, World, until, world

LIMIT_S = 5.0
WORK_S = 1.0


class NoDatabase(Store):
    """A store whose work needs no database, and whose lost connections are counted."""

    lost = 0

    async def _connect(self) -> Any:
        store = self

        class Connection:
            def is_closed(self) -> bool:
                return False

            def terminate(self) -> None:
                store.lost += 1

        return Connection()


def played(coroutine: Any) -> None:
    """Run it in virtual time."""
    with Simulation(1, horizon_s=3600.0) as simulation:
        simulation.run(coroutine)


async def some_work(_connection: Any) -> None:
    await asyncio.sleep(WORK_S)


def test_a_backlog_longer_than_the_limit_is_worked_off_at_full_speed() -> None:
    """Asked for half a second apart and done in one: each waits longer than the one before, the last a minute."""

    async def play() -> None:
        store, loop = NoDatabase("", timeout_s=LIMIT_S, size=1), asyncio.get_running_loop()
        began_s, asked = loop.time(), []
        for _ in range(60):
            asked.append(asyncio.create_task(store.persist(some_work)))
            await asyncio.sleep(WORK_S / 2)
        await asyncio.gather(*asked)
        assert loop.time() - began_s < 61 * WORK_S
        assert store.lost == 0

    played(play())


def test_who_cannot_wait_is_told_in_time_and_what_is_begun_is_finished() -> None:
    async def play() -> None:
        store, loop = NoDatabase("", timeout_s=LIMIT_S, size=1), asyncio.get_running_loop()
        ended = {"done": 0, "late": 0}

        async def ask() -> None:
            began_s = loop.time()
            try:
                await store.run(some_work)
                ended["done"] += 1
            except TimeoutError:
                ended["late"] += 1
            assert loop.time() - began_s <= LIMIT_S

        asked = []
        for _ in range(60):
            asked.append(asyncio.create_task(ask()))
            await asyncio.sleep(WORK_S / 2)
        began_s = loop.time()
        await asyncio.gather(*asked)
        assert ended["done"] >= 30 and ended["late"] >= 20 and store.lost == 0
        assert loop.time() - began_s < LIMIT_S

    played(play())


def test_a_deadline_ends_the_wait() -> None:
    async def play() -> None:
        store, loop = NoDatabase("", timeout_s=LIMIT_S, size=1), asyncio.get_running_loop()
        began_s, first = loop.time(), asyncio.create_task(store.persist(some_work))
        others = [asyncio.create_task(store.persist(some_work, deadline_s=loop.time() + 2.5)) for _ in range(4)]
        ends = await asyncio.gather(first, *others, return_exceptions=True)
        assert [type(end) for end in ends] == [type(None), type(None), TimeoutError, TimeoutError, TimeoutError]
        assert loop.time() - began_s < 3.0
        await store.run(some_work)  # no place was lost on the way

    played(play())


OTHERS = [str(uuid.UUID(int=number)) for number in range(1, 21)]


async def many_are_executed(it: World) -> None:
    """Twenty delegations, just accepted."""
    await asyncio.gather(*(it.delegate() for _ in OTHERS))


async def many_are_drained(it: World) -> None:
    """Twenty agents that were busy, each with a message that waits, and just now are not."""
    await it.rows.executemany(
        "INSERT INTO workspaces (id, name, status, url, delivery_mode, active_tasks) "
        "VALUES ($1, $2, 'online', $3, 'push', 1)",
        [(each, f"other {each[-2:]}", it.bob.url) for each in OTHERS],
    )
    for each in OTHERS:
        assert (await it.post(f"/workspaces/{each}/a2a", HELLO))[0] == 202
    await asyncio.gather(*(it.post("/registry/heartbeat", {"workspace_id": each}) for each in OTHERS))


@pytest.mark.parametrize("backlog", [many_are_executed, many_are_drained])
def test_who_asks_during_a_backlog_does_not_wait_for_it(backlog: Any, database: Database) -> None:
    """With one connection, which all that is done in the background wants as well."""

    async def play() -> None:
        async with world(database, database_pool_size=1, **NO_SWEEP) as it:

            async def read_s() -> float:
                began_s = it.time_s
                assert (await it.get(f"/workspaces/{ANN}/activity?type=a2a_receive&since_secs=60"))[0] == 200
                return it.time_s - began_s

            async def all_there() -> bool | None:
                return len(it.bob.requests) == len(OTHERS) or None

            await read_s()
            alone_s = await read_s()
            await backlog(it)
            began_s = it.time_s
            during_s = await read_s()
            await until(all_there)
            assert during_s < 3 * alone_s
            assert it.time_s - began_s > 20 * alone_s

    in_virtual_time(database, play())
