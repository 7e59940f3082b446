"""Statements through the gateway: results, errors, transactions, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from sim.worlds.components.postgres import EmbeddedPostgres

from .gateway_world import Bench, World, make_bench


@pytest.fixture(scope="module")
def bench(postgres_server: EmbeddedPostgres) -> Iterator[Bench]:
    bench = make_bench(postgres_server, "gateway_statements")
    yield bench
    bench.backends.close()
    bench.database.close()


@pytest.fixture(params=[True, False], ids=["fast", "plain"])
def fast(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_pool_with_transactions_and_concurrent_work(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> list[int]:
        async with asyncpg.create_pool(**world.address, min_size=1, max_size=4) as pool:

            async def add(n: int) -> None:
                async with pool.acquire() as connection, connection.transaction():
                    await connection.execute("INSERT INTO item (id, name) VALUES ($1, $2)", n, f"i{n}")
                    await asyncio.sleep(0.01)
                    await connection.execute("UPDATE item SET n = n + id WHERE id = $1", n)

            await asyncio.gather(*(add(n) for n in range(20)))
            return [row["n"] for row in await pool.fetch("SELECT n FROM item ORDER BY id")]

    for _ in range(3):
        assert bench.play(story, fast=fast) == list(range(20))


def test_an_error_in_a_transaction_rolls_it_back_and_leaves_the_connection_usable(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> None:
        connection = await world.connect()
        with pytest.raises(asyncpg.UniqueViolationError, match="item_pkey"):
            async with connection.transaction():
                await connection.execute("INSERT INTO item (id) VALUES ($1)", 1)
                await connection.execute("INSERT INTO item (id) VALUES ($1)", 1)
        assert await connection.fetchval("SELECT count(*) FROM item") == 0
        with pytest.raises(asyncpg.UndefinedTableError):
            await connection.fetch("SELECT * FROM nothing WHERE id = $1", 1)
        with pytest.raises(asyncpg.PostgresSyntaxError):
            await connection.execute("SELEC 1; SELECT 2")
        assert await connection.fetchval("SELECT $1::int", 7) == 7

    bench.play(story, fast=fast)


def test_savepoints_cursors_many_rows_and_enums(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> None:
        connection = await world.connect()
        await connection.executemany("INSERT INTO log (what) VALUES ($1)", [("x" * 50,)] * 5000)
        assert await connection.fetchval("SELECT max(id) FROM log") == 5000
        async with connection.transaction():
            rows = [row async for row in connection.cursor("SELECT id FROM log ORDER BY id", prefetch=700)]
            assert [row["id"] for row in rows] == list(range(1, 5001))
            with pytest.raises(asyncpg.NotNullViolationError):
                async with connection.transaction():
                    await connection.execute("INSERT INTO item (id) VALUES (NULL)")
            await connection.execute("INSERT INTO felt VALUES (1, $1)", "sad")
        assert await connection.fetchval("SELECT mood FROM felt") == "sad"
        big = "y" * 3_000_000
        assert await connection.fetchval("SELECT $1::text", big) == big

    bench.play(story, fast=fast)


def test_sequences_restart_and_rows_vanish_between_worlds(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> int:
        connection = await world.connect()
        await connection.execute("INSERT INTO parent VALUES (1); INSERT INTO item (id, parent) VALUES (1, 1)")
        assert await connection.fetchval("SELECT count(*) FROM felt") == 1
        return int(await connection.fetchval("INSERT INTO log (what) VALUES ('x') RETURNING id"))

    seed = "INSERT INTO felt VALUES (9, 'ok'); INSERT INTO log (what) VALUES ('seed')"
    assert [bench.play(story, fast=fast, seed_sql=seed) for _ in range(3)] == [2, 2, 2]


def test_session_state_does_not_leak_to_the_next_lease(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> tuple[object, ...]:
        connection = await world.connect()
        seen = (
            await connection.fetchval("SHOW work_mem"),
            await connection.fetchval("SELECT to_regclass('mine')::text"),
            await connection.fetchval("SELECT pg_try_advisory_lock(5)"),
        )
        await connection.execute("SET work_mem = '7MB'")
        await connection.execute("CREATE TEMP TABLE mine (a int)")
        await connection.fetch("SELECT * FROM mine WHERE a = $1", 1)
        connection.terminate()
        await asyncio.sleep(0.01)
        other = await world.connect()
        assert await other.fetchval("SELECT pg_try_advisory_lock(5)") is True
        return seen

    first = bench.play(story, fast=fast)
    assert first == ("4MB", None, True)
    assert bench.play(story, fast=fast) == first


def test_ddl_is_seen_by_statements_that_were_prepared_before(bench: Bench, fast: bool) -> None:
    async def columns(connection: Any) -> int:
        statement = await connection.prepare("SELECT * FROM changing")
        await statement.fetch()  # until a Sync, preparing holds a lock on the table
        return len(statement.get_attributes())

    async def story(world: World) -> None:
        connection, other = await world.connect(), await world.connect()
        await connection.execute("CREATE TABLE changing (a int)")
        assert await columns(connection) == 1
        await other.execute("ALTER TABLE changing ADD b int")
        third = await world.connect()
        for one in (connection, other, third):
            assert await columns(one) == 2
        transaction = other.transaction()
        await transaction.start()
        await other.execute("ALTER TABLE changing ADD c int")
        assert await columns(other) == 3
        await transaction.rollback()
        assert await columns(other) == 2
        await connection.execute("DROP TABLE changing")
        with pytest.raises(asyncpg.UndefinedTableError):
            await third.prepare("SELECT * FROM changing")

    bench.play(story, fast=fast)
    bench.play(story, fast=fast)


def test_preparing_fails_in_a_failed_transaction_however_well_known_the_statement_is(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> None:
        connection = await world.connect()
        await (await connection.prepare("SELECT n FROM item")).fetch()
        transaction = connection.transaction()
        await transaction.start()
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.execute("SELECT 1 / 0")
        with pytest.raises(asyncpg.InFailedSQLTransactionError):
            await connection.prepare("SELECT n FROM item")
        await transaction.rollback()
        await connection.prepare("SELECT n FROM item")

    bench.play(story, fast=fast)


def test_preparing_takes_the_snapshot_of_a_repeatable_read_transaction(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> None:
        reader, writer = await world.connect(), await world.connect()
        await (await reader.prepare("SELECT what FROM log")).fetch()
        async with reader.transaction(isolation="repeatable_read"):
            statement = await reader.prepare("SELECT what FROM log")
            await writer.execute("INSERT INTO log (what) VALUES ('later')")
            assert await statement.fetch() == []
        async with reader.transaction():
            statement = await reader.prepare("SELECT what FROM log")
            await writer.execute("INSERT INTO log (what) VALUES ('later')")
            assert len(await statement.fetch()) == 2

    bench.play(story, fast=fast)


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("SELECT now()", "now()"),
        ("SELECT id FROM item WHERE name = CURRENT_TIMESTAMP::text", "current_timestamp"),
        ("SELECT pg_catalog.clock_timestamp ()", "clock_timestamp"),
        ("INSERT INTO log (what) VALUES (gen_random_uuid()::text)", "gen_random_uuid"),
        ("SELECT random()", "random()"),
        ("SELECT random(1, 6)", "random()"),
        ("SELECT pg_sleep(1)", "pg_sleep"),
        ("SELECT i.xmin FROM item i", "i.xmin"),
        ("SELECT 'now'::timestamptz", "'now'::timestamptz"),
        ("SET statement_timeout = 100", "statement_timeout"),
        ("SELECT set_config('lock_timeout', '5', true)", "lock_timeout"),
        ("LISTEN news", "listen"),
        ("COPY item FROM STDIN", "copy"),
        ("DO $$ BEGIN PERFORM pg_sleep(1); END $$", "pg_sleep"),
    ],
)
def test_refused_statements_name_the_reason_and_abort_the_transaction(
    bench: Bench, fast: bool, sql: str, named: str
) -> None:
    async def story(world: World) -> None:
        connection = await world.connect()
        for run in (connection.execute, connection.fetch):
            transaction = connection.transaction()
            await transaction.start()
            with pytest.raises(asyncpg.FeatureNotSupportedError, match="fumble: ") as refused:
                await run(sql)
            assert named in str(refused.value)
            with pytest.raises(asyncpg.InFailedSQLTransactionError):
                await connection.execute("SELECT 1")
            await transaction.rollback()
        assert await connection.fetchval("SELECT 5") == 5

    bench.play(story, fast=fast)


def test_words_in_literals_comments_and_quoted_names_are_allowed(bench: Bench) -> None:
    async def story(world: World) -> object:
        connection = await world.connect()
        return await connection.fetchval("SELECT 'now() random()' AS \"ctid\" -- pg_sleep(1)")

    assert bench.play(story) == "now() random()"


def test_refused_settings_at_start_up(bench: Bench) -> None:
    async def story(world: World) -> None:
        with pytest.raises(asyncpg.PostgresError, match="statement_timeout is refused"):
            await world.connect(server_settings={"statement_timeout": "5"})
        connection = await world.connect(server_settings={"application_name": "mine"})
        assert await connection.fetchval("SHOW application_name") == "mine"

    bench.play(story)


def test_a_start_up_that_the_server_refuses(bench: Bench) -> None:
    async def story(world: World) -> None:
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            await asyncpg.connect(**{**world.address, "database": "not_there"})

    bench.play(story)


def test_ssl_is_declined_and_the_session_goes_on_in_the_clear(bench: Bench) -> None:
    async def story(world: World) -> object:
        connection = await asyncpg.connect(**{**world.address, "ssl": "prefer"})
        return await connection.fetchval("SELECT 3")

    assert bench.play(story) == 3


def test_statement_names_of_a_second_world_do_not_collide(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> list[str]:
        connection = await world.connect()
        await connection.fetch("SELECT id FROM item WHERE id = $1", 1)
        await connection.fetch("SELECT name FROM item WHERE id = $1", 1)
        with pytest.raises(asyncpg.InvalidSQLStatementNameError) as unknown:
            await connection.execute("EXECUTE no_such")
        return [str(unknown.value), connection.get_server_pid()]

    assert bench.play(story, fast=fast) == bench.play(story, fast=fast)


def test_what_the_tap_sees(bench: Bench, fast: bool) -> None:
    async def story(world: World) -> list[tuple[int, str, str]]:
        async with asyncpg.create_pool(**world.address, min_size=1, max_size=1) as pool:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("INSERT INTO item (id) VALUES ($1)", 1)
            with pytest.raises(asyncpg.UniqueViolationError):
                await pool.execute("INSERT INTO item (id) VALUES ($1)", 1)
            with pytest.raises(asyncpg.UndefinedTableError):
                await pool.fetch("SELECT * FROM nothing")
        assert [s.result for s in world.statements if s.failed] == ["23505", "42P01"]
        return [(s.connection, s.kind, s.result) for s in world.statements]

    reset = (1, "select", "RESET")
    assert bench.play(story, fast=fast) == [
        (1, "begin", "BEGIN"), (1, "insert", "INSERT 0 1"), (1, "commit", "COMMIT"), reset,
        (1, "insert", "23505"), reset, (1, "select", "42P01"), reset,
    ]  # fmt: skip
