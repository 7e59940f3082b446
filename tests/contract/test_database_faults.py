"""The database fails at every single message of a delegation, in every way; nothing is lost or done twice."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from reference_impl.store import Connection, Store
from tests.contract.agents import after, says
from tests.contract.database import Database
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, World, world

LONG_S = 600.0


async def check_terminal_once(it: World, d: str) -> str:
    """Everything that a finished delegation has, it has exactly once, and all of it agrees."""
    status = await it.settled(d)
    assert await it.kinds(d) == [
        ("delegation", "delegate", status),
        ("delegation", "delegate_result", status),
        ("a2a_receive", "delegate_result", "ok" if status == "completed" else "error"),
    ]
    assert await it.rows.fetchval("SELECT status FROM delegations WHERE delegation_id = $1", d) == status
    events = [name for name, _ in await it.events(d)]
    terminal = "DELEGATION_COMPLETE" if status == "completed" else "DELEGATION_FAILED"
    assert events.count(terminal) == 1
    assert len(set(events)) == len(events)
    return status


async def messages_of_one_delegation(it: World) -> int:
    it.wire.messages = 0
    _, body = await it.delegate()
    await it.settled(body["delegation_id"])
    await asyncio.sleep(1)
    return it.wire.messages


def test_a_happy_delegation_takes_few_round_trips(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            fresh = await messages_of_one_delegation(it)
            warm = await messages_of_one_delegation(it)
            assert fresh <= 22
            assert warm <= 13

    in_virtual_time(database, play())


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("fault", ["lose", "ack", "hush"])
def test_a_fault_at_any_message(database: Database, fault: str, key: str | None) -> None:
    async def play_at(at: int) -> bool:
        async with world(database) as it:
            told = await it.watch()
            it.wire.arm(at, fault)
            asking = asyncio.create_task(it.delegate(**({"idempotency_key": key} if key else {})))
            if fault == "hush":
                await asyncio.sleep(2.5 * it.config.database_timeout_s)
                it.wire.heal()
            status, body = await asking
            if status == 503:
                assert key is not None
                await asyncio.sleep(1.5 * it.config.recovery_interval_s)
                ids = [row[0] for row in await it.rows.fetch("SELECT DISTINCT delegation_id FROM activity_logs "
                                                             "WHERE delegation_id IS NOT NULL")]  # fmt: skip
                assert len(ids) <= 1
            else:
                assert status == 202
                ids = [body["delegation_id"]]
            for d in ids:
                ended = await check_terminal_once(it, d)
                assert len(it.bob.requests) <= 1
                assert it.bob.requests or ended == "failed"
                # Told once, although the commit may have been tried more than once.
                await asyncio.sleep(60)
                end = "DELEGATION_COMPLETE" if ended == "completed" else "DELEGATION_FAILED"
                assert [event["event"] for event in told].count(end) == 1
                await check_terminal_once(it, d)
            contacts = await it.rows.fetchval("SELECT count(*) FROM activity_logs WHERE workspace_id = $1", BOB)
            assert contacts >= len(it.bob.requests)
            return it.wire.struck

    async def play() -> None:
        # A key makes a difference only where the delegation is stored.
        for at in itertools.count(1) if key is None else range(1, 5):
            try:
                if not await play_at(at):
                    break
            except AssertionError as error:
                raise AssertionError(f"message {at}: {error}") from error
        assert at > (20 if key is None else 3)

    in_virtual_time(database, play())


def test_a_refused_delegation_that_was_stored_after_all_is_executed(database: Database) -> None:
    """The acknowledgement of the insert is lost: 503, but the row is there, and the client may ask again."""

    async def play() -> None:
        async with world(database) as it:
            it.wire.arm(2, "ack")  # 1 prepares the statement
            assert await it.delegate(idempotency_key="k") == (503, {"error": "idempotency check unavailable"})
            status, body = await it.delegate(idempotency_key="k")
            assert (status, body["idempotent_hit"]) == (200, True)
            assert await check_terminal_once(it, body["delegation_id"]) == "completed"
            assert len(it.bob.requests) == 1

    in_virtual_time(database, play())


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
def test_a_lost_connection_hides_no_other_error(database: Database, error: type[BaseException]) -> None:
    async def play() -> None:
        async with world(database) as it:
            store = await Store.open(it.config.database_url, timeout_s=5.0, size=1)

            async def work(connection: Connection) -> None:
                await connection.execute("BEGIN")
                it.wire.break_all()
                await asyncio.sleep(0.1)
                raise error

            with pytest.raises(error):
                await store.run(work)
            assert await store.run(lambda connection: connection.fetchval("SELECT 1")) == 1
            await store.close()

    in_virtual_time(database, play())


def test_a_long_silence_ends_nothing_and_hangs_nothing(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(60, says("patient"))) as it:
            _, body = await it.delegate()
            await it.bob.contacted.wait()
            it.wire.silence()
            patience_s = it.config.database_timeout_s
            with it.takes(patience_s):
                _, untracked = await it.delegate()
            assert untracked["warning"] == "delegation dispatched but status tracking unavailable"
            with it.takes(patience_s):
                assert (await it.delegate(idempotency_key="k"))[0] == 503
            with it.takes(patience_s):
                assert (await it.get(f"/workspaces/{ANN}/delegations"))[0] == 503
            await asyncio.sleep(LONG_S)
            assert len(it.bob.requests) == 1
            it.wire.heal()
            assert await check_terminal_once(it, body["delegation_id"]) == "completed"
            # Refused at the first gate, long ago; only now can its rows be written.
            d = untracked["delegation_id"]
            assert await it.settled(d) == "failed"
            assert len(await it.kinds(d)) == 3
            assert len(it.bob.requests) == 1

    in_virtual_time(database, play())


def test_stopping_does_not_wait_for_a_silent_database(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(3600, says("never"))) as it:
            _, body = await it.delegate()
            await it.settled(body["delegation_id"], "dispatched")
            it.wire.silence()
            with it.takes(it.config.grace_s + 1):
                await it.broker.stop()
            it.wire.heal()
            await it.restart()
            assert await check_terminal_once(it, body["delegation_id"]) == "failed"
            assert (await it.events(body["delegation_id"]))[-1][1]["error"] == (
                "delivery_unknown: broker restarted while the request was in flight"
            )

    in_virtual_time(database, play())


def test_what_was_never_sent_is_executed_after_a_restart(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            it.bob.stop()
            _, body = await it.delegate()
            d = body["delegation_id"]
            await it.settled(d)
            for statement in (
                "DELETE FROM activity_logs WHERE NOT (activity_type = 'delegation' AND method = 'delegate')",
                "UPDATE activity_logs SET status = 'pending', error_detail = NULL",
                "UPDATE delegations SET status = 'queued', error_detail = NULL",
                "DELETE FROM structure_events WHERE event_type <> 'DELEGATION_SENT'",
            ):
                await it.rows.execute(statement)
            await it.bob.start()
            await it.restart()
            assert await check_terminal_once(it, d) == "completed"
            assert len(it.bob.requests) == 1

    in_virtual_time(database, play())


def test_a_broker_waits_for_its_database_at_start(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await it.broker.stop()
            it.wire.refusing = True
            starting = asyncio.create_task(it.restart())
            await asyncio.sleep(LONG_S)
            assert not starting.done()
            it.wire.heal()
            await starting
            _, body = await it.delegate()
            assert await it.settled(body["delegation_id"]) == "completed"

    in_virtual_time(database, play())
