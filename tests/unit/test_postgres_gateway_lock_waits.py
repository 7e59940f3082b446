"""Statements that wait for locks: the loop goes on, nothing polls, and the order of waking is a seeded choice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from typing import Any

import asyncpg
import pytest

from sim.worlds.components.postgres import EmbeddedPostgres

from .gateway_world import Bench, World, make_bench

ROWS = "INSERT INTO item (id) SELECT generate_series(1, 20)"
BUMP = "UPDATE item SET n = n + 1 WHERE id = $1"
SOON_S = 0.05


@pytest.fixture(scope="module")
def bench(postgres_server: EmbeddedPostgres) -> Iterator[Bench]:
    bench = make_bench(postgres_server, "gateway_locks")
    yield bench
    bench.backends.close()
    bench.database.close()


@pytest.fixture(params=[True, False], ids=["fast", "plain"])
def fast(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def holding(connection: Any, *ids: int) -> Any:
    """A transaction that has locked these rows."""
    transaction = connection.transaction()
    await transaction.start()
    for row in ids:
        await connection.execute(BUMP, row)
    return transaction


async def waiting(statement: Awaitable[Any]) -> asyncio.Task[Any]:
    """The statement, under way, seen not to be done; the loop was free meanwhile."""
    task = asyncio.ensure_future(statement)
    await asyncio.sleep(SOON_S)
    assert not task.done()
    return task


def test_a_row_lock_is_waited_for_until_the_holder_commits(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> None:
        a, b, c = [await world.connect() for _ in range(3)]
        held = await holding(a, 1)
        blocked = await waiting(b.execute(BUMP, 1))
        await c.execute(BUMP, 2)
        assert not blocked.done()
        await held.commit()
        assert await blocked == "UPDATE 1"
        assert await c.fetchval("SELECT n FROM item WHERE id = 1") == 2

    bench.play(story, fast=fast, seed_sql=ROWS)


def test_a_disconnected_holder_lets_the_waiter_go_on(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> None:
        a, b = [await world.connect() for _ in range(2)]
        await holding(a, 1)
        blocked = await waiting(b.execute(BUMP, 1))
        a.terminate()
        await blocked
        assert await b.fetchval("SELECT n FROM item WHERE id = 1") == 1

    bench.play(story, fast=fast, seed_sql=ROWS)


def test_a_chain_is_released_from_its_head(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> None:
        connections = [await world.connect() for _ in range(4)]
        held = [await holding(one, row) for row, one in enumerate(connections, 1)]
        tasks = [await waiting(connections[i].execute(BUMP, i)) for i in range(1, 4)]
        await held[0].commit()
        for i, task in enumerate(tasks, 1):
            await task
            assert not any(later.done() for later in tasks[i:])
            await held[i].commit()
        assert await connections[0].fetchval("SELECT sum(n) FROM item") == 7

    bench.play(story, fast=fast, seed_sql=ROWS)


@pytest.mark.parametrize("size", [2, 3])
def test_who_closes_a_cycle_is_the_victim_one_second_later(bench: Bench, fast: bool, size: int) -> None:
    async def story(world: World) -> str:
        loop = asyncio.get_running_loop()
        connections = [await world.connect() for _ in range(size)]
        held = [await holding(one, row) for row, one in enumerate(connections, 1)]
        survivors = [await waiting(connections[i].execute(BUMP, i + 2)) for i in range(size - 1)]
        started = loop.time()
        with pytest.raises(asyncpg.DeadlockDetectedError) as victim:
            await connections[-1].execute(BUMP, 1)
        assert 0.99 <= loop.time() - started < 1.5
        assert survivors[-1].done()
        for i in range(size - 2, -1, -1):
            await survivors[i]
            await held[i].commit()
        await held[-1].rollback()
        return str(victim.value.detail)

    details = {bench.play(story, fast=fast, seed_sql=ROWS) for _ in range(2)}
    assert len(details) == 1
    assert "Process 0 waits for ShareLock on transaction 0; blocked by process 0." in details.pop()


def test_waiters_for_one_row_each_get_their_turn(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> object:
        holder, *others = [await world.connect() for _ in range(5)]
        held = await holding(holder, 1)
        tasks = [await waiting(one.execute(BUMP, 1)) for one in others]
        await held.commit()
        await asyncio.gather(*tasks)
        return await holder.fetchval("SELECT n FROM item WHERE id = 1")

    assert bench.play(story, fast=fast, seed_sql=ROWS) == 5


def test_who_of_several_waiters_for_one_key_wins_depends_on_the_seed_only(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> tuple[str, ...]:
        holder, *others = [await world.connect() for _ in range(5)]
        held = holder.transaction()
        await held.start()
        insert = "INSERT INTO item (id, name) VALUES ($1, 'x')"
        await holder.execute(insert, 0)
        tasks = [await waiting(one.execute(insert, number)) for number, one in enumerate(others, 1)]
        await held.rollback()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        return tuple(type(result).__name__ for result in results)

    outcomes = {seed: bench.play(story, fast=fast, seed=seed) for seed in range(5)}
    assert outcomes == {seed: bench.play(story, fast=fast, seed=seed) for seed in range(5)}
    assert len(set(outcomes.values())) > 1
    assert all(sorted(set(one)) == ["UniqueViolationError", "str"] for one in outcomes.values())


@pytest.mark.parametrize("commits", [True, False])
def test_an_insert_waits_for_an_open_insert_of_the_same_key(bench: Bench, fast: bool, commits: bool) -> None:
    async def story(world: World) -> None:
        a, b, c = [await world.connect() for _ in range(3)]
        held = a.transaction()
        await held.start()
        await a.execute("INSERT INTO item (id, name) VALUES (1, 'x')")
        second = await waiting(b.execute("INSERT INTO item (id, name) VALUES (2, 'x')"))
        third = await waiting(
            c.execute("INSERT INTO item (id, name) VALUES ($1, 'x') ON CONFLICT (name) DO NOTHING", 3)
        )
        if commits:
            await held.commit()
            with pytest.raises(asyncpg.UniqueViolationError):
                await second
            assert await third == "INSERT 0 0"
        else:
            await held.rollback()
            outcome: Any = await asyncio.gather(second, third, return_exceptions=True)
            inserted, ignored = outcome
            ids = [r["id"] for r in await a.fetch("SELECT id FROM item")]
            if ids == [2]:
                assert (inserted, ignored) == ("INSERT 0 1", "INSERT 0 0")
            else:
                assert ids == [3] and ignored == "INSERT 0 1"
                assert isinstance(inserted, asyncpg.UniqueViolationError)

    bench.play(story, fast=fast)


def test_skip_locked_hands_out_each_job_once_and_never_waits(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> list[int]:
        taken: list[int] = []

        async def work(connection: Any) -> None:
            while True:
                async with connection.transaction():
                    job = await connection.fetchval(
                        "SELECT id FROM item WHERE n = 0 ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
                    )
                    if job is None:
                        return
                    await asyncio.sleep(0.001)
                    await connection.execute(BUMP, job)
                    taken.append(job)

        await asyncio.gather(*[work(await world.connect()) for _ in range(4)])
        return sorted(taken)

    assert bench.play(story, fast=fast, seed_sql=ROWS) == list(range(1, 21))


def test_session_advisory_locks_are_released_by_the_pool_reset(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> None:
        async with asyncpg.create_pool(**world.address, min_size=1, max_size=1) as pool:
            other = await world.connect()
            async with pool.acquire() as connection:
                await connection.execute("SELECT pg_advisory_lock($1)", 7)
                blocked = await waiting(other.execute("SELECT pg_advisory_lock(7)"))
            await blocked

    for _ in range(2):
        bench.play(story, fast=fast)


def test_preparing_a_statement_waits_for_a_table_lock(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> None:
        a, b = [await world.connect() for _ in range(2)]
        assert await b.fetch("SELECT name FROM item WHERE id = $1", 1) == []
        held = a.transaction()
        await held.start()
        await a.execute("LOCK TABLE item")
        blocked = await waiting(b.prepare("SELECT n FROM item WHERE id = $1"))
        await held.commit()
        statement = await blocked
        assert await statement.fetchval(1) is None

    for _ in range(2):
        bench.play(story, fast=fast)


def test_a_timeout_cancels_a_parked_statement_and_frees_those_behind_it(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> None:
        a, b, c = [await world.connect() for _ in range(3)]
        held = a.transaction()
        await held.start()
        await a.execute("LOCK TABLE item IN SHARE MODE")
        exclusive = await waiting(b.execute("LOCK TABLE item IN EXCLUSIVE MODE; SELECT 1", timeout=0.3))
        behind = await waiting(c.execute("LOCK TABLE item IN SHARE MODE; SELECT 1"))
        with pytest.raises(asyncio.TimeoutError):
            await exclusive
        await behind
        assert await b.fetchval("SELECT 1") == 1
        await held.commit()
        assert next(s.result for s in world.statements if s.connection == 2) == "57014"

    bench.play(story, fast=fast)


def test_a_client_that_vanishes_while_its_statement_waits_still_commits_it(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> None:
        a, b = [await world.connect() for _ in range(2)]
        held = await holding(a, 1)
        blocked = await waiting(b.execute(BUMP, 1))
        b._transport.abort()
        with pytest.raises(asyncpg.ConnectionDoesNotExistError):
            await blocked
        await held.commit()
        assert await a.fetchval("SELECT n FROM item WHERE id = 1") == 2

    bench.play(story, fast=fast, seed_sql=ROWS)


def test_a_reset_in_a_transaction_rolls_it_back(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> None:
        a, b = [await world.connect() for _ in range(2)]
        await holding(a, 1)
        a._transport.abort()
        await asyncio.sleep(SOON_S)
        assert await b.fetchval("SELECT n FROM item WHERE id = 1") == 0
        await b.execute(BUMP, 1)

    bench.play(story, fast=fast, seed_sql=ROWS)


def test_a_world_may_end_with_parked_and_open_sessions(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> None:
        a, b, c = [await world.connect() for _ in range(3)]
        await holding(a, 1)
        await holding(b, 2)
        for task in (await waiting(b.execute(BUMP, 1)), await waiting(c.execute(BUMP, 1))):
            task.add_done_callback(lambda t: t.cancelled() or t.exception())

    for _ in range(3):
        bench.play(story, fast=fast, seed_sql=ROWS)
    bench.database.reset()
    assert bench.database.query("SELECT count(*) FROM pg_locks WHERE NOT granted") == [("0",)]
    assert bench.database.query("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%'") == [("0",)]
