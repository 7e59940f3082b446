"""GET /workspaces/:id/activity: filters, refusals and the cursor."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from tests.contract.agents import says
from tests.contract.database import Database
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, NOBODY, POLLY, World, world

NOON = datetime(2025, 11, 1, 12, tzinfo=UTC)
"""Two months before a simulation begins."""


async def seed(it: World, count: int) -> list[str]:
    """Rows for polly, two to an instant, in the order of their sequence."""
    ids = [f"00000000-0000-4000-8000-0000000001{number:02d}" for number in range(count)]
    for number, row_id in enumerate(ids):
        await it.rows.execute(
            "INSERT INTO activity_logs (id, workspace_id, source_id, activity_type, method, created_at) "
            "VALUES ($1, $2, $3, $4, 'm', $5)",
            row_id,
            POLLY,
            [None, ANN][number % 2],
            ["a2a_receive", "delegation"][number // 3 % 2],
            NOON + timedelta(seconds=number // 2),
        )
    return ids


@pytest.mark.parametrize(
    ("query", "status", "error"),
    [
        ("source=nobody", 400, "source must be 'canvas' or 'agent'"),
        ("peer_id=x", 400, "peer_id must be a UUID"),
        ("since_secs=abc", 400, "since_secs must be a positive integer"),
        ("since_secs=0", 400, "since_secs must be a positive integer"),
        ("since_secs=-5", 400, "since_secs must be a positive integer"),
        ("before_ts=yesterday", 400, "before_ts must be an RFC 3339 timestamp"),
        ("before_ts=2026-01-01T00:00:00", 400, "before_ts must be an RFC 3339 timestamp"),
        ("before_ts=2026-01-01", 400, "before_ts must be an RFC 3339 timestamp"),
        ("before_ts=2026-W01-4T00:00:00Z", 400, "before_ts must be an RFC 3339 timestamp"),
        ("before_ts=20260101T000000Z", 400, "before_ts must be an RFC 3339 timestamp"),
        ("before_ts=2026-01-01T24:00:01Z", 400, "before_ts must be an RFC 3339 timestamp"),
        ("since_secs=1.5", 400, "since_secs must be a positive integer"),
        ("source=", 200, ""),
        ("before_ts=0001-01-01T00:00:00%2B14:00", 400, "before_ts must be an RFC 3339 timestamp"),
        (f"since_id={NOBODY}", 410, "since_id cursor not found"),
        ("since_id=junk", 410, "since_id cursor not found"),
    ],
)
def test_an_invalid_parameter_is_refused(database: Database, query: str, status: int, error: str) -> None:
    async def play() -> None:
        async with world(database) as it:
            got, body = await it.get(f"/workspaces/{POLLY}/activity?{query}")
            assert got == status
            assert status == 200 or body["error"].startswith(error)

    in_virtual_time(database, play())


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [5, 4, 3, 2, 1, 0]),
        ("limit=2", [5, 4]),
        ("limit=junk", [5, 4, 3, 2, 1, 0]),
        ("type=a2a_receive", [2, 1, 0]),
        ("source=canvas", [4, 2, 0]),
        ("source=agent&type=delegation", [5, 3]),
        (f"peer_id={ANN}", [5, 3, 1]),
        (f"peer_id={BOB}", []),
        ("since_secs=60", []),
        (f"before_ts={quote((NOON + timedelta(seconds=1)).isoformat())}", [1, 0]),
        ("before_ts=2025-11-01t12:00:01.000000001z", [1, 0]),
        ("limit=0", [5, 4, 3, 2, 1, 0]),
        ("limit=-1", [5, 4, 3, 2, 1, 0]),
        ("since_secs=9999999999999", []),
        ("since_id={0}", [1, 2, 3, 4, 5]),
        ("since_id={1}&limit=2", [2, 3]),
        ("since_id={1}&type=delegation", [3, 4, 5]),
        ("since_id={5}", []),
        ("type=%00%ED%A0%80", []),
    ],
)
def test_filters_and_order(database: Database, query: str, expected: list[int]) -> None:
    async def play() -> None:
        async with world(database) as it:
            ids = await seed(it, 6)
            status, rows = await it.get(f"/workspaces/{POLLY}/activity?{query.format(*ids)}")
            assert status == 200
            assert [row["id"] for row in rows] == [ids[number] for number in expected]

    in_virtual_time(database, play())


@pytest.mark.parametrize(
    ("seconds", "ages_s"), [(60, [59]), (3600, [59, 61, 3599]), (2_592_000, [59, 61, 3599, 3601, 2_591_999]),
                            (2_592_100, [59, 61, 3599, 3601, 2_591_999])]
)  # fmt: skip
def test_since_secs_looks_back_so_far_and_thirty_days_at_most(
    database: Database, seconds: int, ages_s: list[int]
) -> None:
    async def play() -> None:
        async with world(database) as it:
            for age_s in (59, 61, 3599, 3601, 2_591_999, 2_592_001):
                await it.rows.execute(
                    "INSERT INTO activity_logs (id, workspace_id, activity_type, summary, created_at) "
                    "VALUES ($1, $2, 'agent_log', $3, $4)",
                    it.new_id(), POLLY, str(age_s), it.now - timedelta(seconds=age_s),
                )  # fmt: skip
            _, rows = await it.get(f"/workspaces/{POLLY}/activity?since_secs={seconds}")
            assert sorted(int(row["summary"]) for row in rows) == ages_s

    in_virtual_time(database, play())


ROW_KEYS = {
    *("id", "workspace_id", "activity_type", "source_id", "target_id", "method", "summary", "duration_ms"),
    *("status", "error_detail", "created_at", "seq"),
}


def test_a_row_has_every_key_and_bodies_only_where_there_are_any(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await seed(it, 1)
            _, (row,) = await it.get(f"/workspaces/{POLLY}/activity")
            assert set(row) == ROW_KEYS
            await it.rows.execute("UPDATE activity_logs SET request_body = '{\"a\": 1}', tool_trace = '[2]'")
            _, (row,) = await it.get(f"/workspaces/{POLLY}/activity")
            assert set(row) == ROW_KEYS | {"request_body", "tool_trace"}
            assert (row["request_body"], row["tool_trace"]) == ({"a": 1}, [2])

    in_virtual_time(database, play())


def test_at_most_500_rows_at_once_and_100_unless_asked(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await it.rows.execute(
                "INSERT INTO activity_logs (id, workspace_id, activity_type, created_at) "
                "SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, $1, 'agent_log', $2 "
                "FROM generate_series(1, 501) AS n",
                POLLY,
                NOON,
            )
            for query, count in [("", 100), ("?limit=500", 500), ("?limit=501", 500), ("?limit=7", 7)]:
                assert len((await it.get(f"/workspaces/{POLLY}/activity{query}"))[1]) == count

    in_virtual_time(database, play())


def test_what_the_database_refuses_is_a_500_and_what_it_misses_a_503(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            (row_id,) = await seed(it, 1)
            path = f"/workspaces/{POLLY}/activity"
            for column, query, error in [("tool_trace", "", "query failed"), ("seq", row_id, "cursor lookup failed")]:
                await it.rows.execute(f"ALTER TABLE activity_logs RENAME COLUMN {column} TO other")
                try:
                    refused = await it.get(f"{path}?since_id={query}")
                finally:
                    await it.rows.execute(f"ALTER TABLE activity_logs RENAME COLUMN other TO {column}")
                assert refused == (500, {"error": error})
            it.wire.silence()
            status, body = await it.get(path)
            assert (status, body["code"]) == (503, "platform_unavailable")

    in_virtual_time(database, play())


def test_a_cursor_whose_row_was_pruned_is_gone_and_without_it_all_is_well(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            ids = await seed(it, 3)
            path = f"/workspaces/{POLLY}/activity"
            assert [row["id"] for row in (await it.get(f"{path}?since_id={ids[1]}"))[1]] == ids[2:]
            await it.rows.execute("DELETE FROM activity_logs WHERE id = $1", ids[1])
            assert (await it.get(f"{path}?since_id={ids[1]}"))[0] == 410
            assert [row["id"] for row in (await it.get(path))[1]] == [ids[2], ids[0]]

    in_virtual_time(database, play())


def test_a_cursor_of_another_workspace_is_gone(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            ids = await seed(it, 1)
            assert (await it.get(f"/workspaces/{BOB}/activity?since_id={ids[0]}"))[0] == 410

    in_virtual_time(database, play())


def test_a_poller_sees_every_row_once_while_writers_race(database: Database) -> None:
    """A writer that stalls between drawing its place and committing must not be overtaken (INV-90, D27)."""

    async def play() -> None:
        async with world(database, says("done")) as it:
            stalled = it.rows.transaction()
            await it.delegate(target=POLLY)
            await asyncio.sleep(60)
            await stalled.start()
            # As every writer does: take the workspace's slot, then insert.
            at = await it.rows.fetchval(
                "UPDATE workspaces SET activity_at = GREATEST(activity_at, $1) WHERE id = $2 RETURNING activity_at",
                datetime(2020, 1, 1, tzinfo=UTC),
                POLLY,
            )
            slow_id = "00000000-0000-4000-8000-000000000200"
            await it.rows.execute(
                "INSERT INTO activity_logs (id, workspace_id, activity_type, created_at) "
                "VALUES ($1, $2, 'a2a_receive', $3)",
                slow_id,
                POLLY,
                at,
            )
            fast = asyncio.create_task(it.delegate(target=POLLY))
            seen: list[str] = []

            async def poll() -> None:
                cursor = f"?since_id={seen[-1]}" if seen else "?limit=500"
                _, rows = await it.get(f"/workspaces/{POLLY}/activity{cursor}")
                seen.extend(row["id"] for row in (rows if len(cursor) > 10 else reversed(rows)))

            await asyncio.sleep(1)
            await poll()
            await stalled.commit()
            await fast
            await asyncio.sleep(60)
            await poll()
            _, everything = await it.get(f"/workspaces/{POLLY}/activity")
            assert sorted(seen) == sorted(row["id"] for row in everything)
            assert len(seen) == 3
            assert seen.index(slow_id) == 1

    in_virtual_time(database, play())
