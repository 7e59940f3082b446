"""What the database itself makes sure of: the words a status may be, what is unique, and how the ledger moves."""

from __future__ import annotations

import asyncpg
import pytest

from tests.contract.database import Database
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, POLLY, World, world

LEDGER_WORDS = ("queued", "dispatched", "in_progress", "completed", "failed", "stuck")


async def recorded(it: World) -> None:
    order = {"target_id": BOB, "task": "t", "delegation_id": "d-1"}
    assert (await it.post(f"/workspaces/{ANN}/delegations/record", order))[0] == 202


@pytest.mark.parametrize("report", ["completed", "failed"])
@pytest.mark.parametrize("row", ["pending", "dispatched", "queued", "in_progress", "stuck", "completed", "failed"])
@pytest.mark.parametrize("ledger", LEDGER_WORDS)
def test_the_ledger_ends_once_and_stays_as_it_ended(database: Database, row: str, ledger: str, report: str) -> None:
    """Every pair of states, though no broker leaves some of them: the delegate row decides, the ledger follows."""
    ends = ("completed", "failed")

    async def play() -> None:
        async with world(database) as it:
            await recorded(it)
            await it.rows.execute("UPDATE activity_logs SET status = $1", row)
            await it.rows.execute("UPDATE delegations SET status = $1", ledger)
            before = await it.one("SELECT * FROM delegations")
            status, answer = await it.post(f"/workspaces/{BOB}/delegations/d-1/update", {"status": report})
            stays = row in ends
            assert (status, answer["status"]) == (409 if stays and row != report else 200, row if stays else report)
            assert await it.status("d-1") == (row if row in ends else report)
            after = await it.one("SELECT * FROM delegations")
            if row in ends or ledger in ends:
                assert after == before
            else:
                assert (after["status"], after["updated_at"] > before["updated_at"]) == (report, True)

    in_virtual_time(database, play())


INSERT_ITEM = f"""
INSERT INTO a2a_queue (id, workspace_id, body, enqueued_at, idempotency_key, status)
VALUES ($1, '{BOB}', '{{}}', $2, 'k', '%s')
"""


@pytest.mark.parametrize(
    ("table", "column", "words"),
    [
        ("delegations", "status", LEDGER_WORDS),
        ("a2a_queue", "status", ("queued", "dispatched", "completed", "dropped", "failed")),
        ("workspaces", "delivery_mode", ("push", "poll")),
        ("workspaces", "status", ("provisioning", "awaiting_agent", "online", "offline", "degraded", "failed",
                                  "removed", "paused", "hibernating", "hibernated")),
    ],
)  # fmt: skip
def test_a_status_is_one_of_its_words(database: Database, table: str, column: str, words: tuple[str, ...]) -> None:
    async def play() -> None:
        async with world(database) as it:
            await recorded(it)
            await it.rows.execute(INSERT_ITEM % "queued", it.new_id(), it.now)
            for word in words:
                await it.rows.execute(f"UPDATE {table} SET {column} = $1", word)
            for word in ("", "pending", "received", "QUEUED", "Push"):
                with pytest.raises(asyncpg.CheckViolationError):
                    await it.rows.execute(f"UPDATE {table} SET {column} = $1", word)
            with pytest.raises(asyncpg.NotNullViolationError):
                await it.rows.execute(f"UPDATE {table} SET {column} = NULL")

    in_virtual_time(database, play())


@pytest.mark.parametrize(
    ("first", "second", "fits"),
    [
        ("queued", "queued", False),
        ("queued", "dispatched", False),
        ("dispatched", "queued", False),
        ("completed", "queued", True),
        ("dropped", "queued", True),
        ("failed", "dispatched", True),
        ("completed", "completed", True),
    ],
)
def test_a_message_waits_once_at_a_time(database: Database, first: str, second: str, fits: bool) -> None:
    async def play() -> None:
        async with world(database) as it:
            await it.rows.execute(INSERT_ITEM % first, it.new_id(), it.now)
            if not fits:
                with pytest.raises(asyncpg.UniqueViolationError):
                    await it.rows.execute(INSERT_ITEM % second, it.new_id(), it.now)
            else:
                await it.rows.execute(INSERT_ITEM % second, it.new_id(), it.now)

    in_virtual_time(database, play())


def test_the_ledger_survives_its_workspaces_and_their_rows_do_not(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            _, body = await it.delegate()
            await it.settled(body["delegation_id"])
            await it.post(f"/workspaces/{BOB}/activity", {"activity_type": "agent_log"})
            await it.rows.execute(INSERT_ITEM % "queued", it.new_id(), it.now)
            await it.rows.execute("DELETE FROM workspaces WHERE id <> $1", POLLY)
            counts = {table: await it.rows.fetchval(f"SELECT count(*) FROM {table}") for table in it.tables}
            assert (counts["delegations"], counts["activity_logs"], counts["a2a_queue"]) == (1, 0, 0)

    in_virtual_time(database, play())
