"""Registration, heartbeats, liveness, and who may watch."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.contract.agents import says
from tests.contract.database import Database
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, INSTANT_S, POLLY, world

CARL = "00000000-0000-4000-8000-00000000000d"
CARD = {"name": "carl"}


@pytest.mark.parametrize(
    ("told", "stored"),
    [(0, 700), (None, 700), (-5, 700), (1, 1), (10**12, 10**12), (10**12 + 1, 10**12), (1.9, 1), (0.5, 700)],
)
def test_spending_is_what_was_told_within_its_bounds_and_nothing_says_nothing(
    database: Database, told: float | None, stored: int
) -> None:
    async def play() -> None:
        async with world(database) as it:
            await it.rows.execute("UPDATE workspaces SET monthly_spend = 700 WHERE id = $1", BOB)
            assert (await it.post("/registry/heartbeat", {"workspace_id": BOB, "monthly_spend": told}))[0] == 200
            assert await it.rows.fetchval("SELECT monthly_spend FROM workspaces WHERE id = $1", BOB) == stored

    in_virtual_time(database, play())


def test_a_heartbeat_is_stored_and_told(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            facts = {"active_tasks": 3, "current_task": "digging"}
            trouble = {"error_rate": 0.5, "sample_error": "no model", "runtime_state": "tired"}
            await asyncio.sleep(100)
            assert (await it.post("/registry/heartbeat", {"workspace_id": BOB, **facts, **trouble}))[0] == 200
            row = await it.one("SELECT * FROM workspaces WHERE id = $1", BOB)
            assert {name: row[name] for name in facts} == facts
            assert (row["status"], row["last_error_rate"]) == ("degraded", 0.5)
            assert abs((row["last_heartbeat_at"] - it.now).total_seconds()) < INSTANT_S
            events = await it.rows.fetch("SELECT * FROM structure_events ORDER BY seq")
            assert [(event["event_type"], json.loads(event["payload"])) for event in events] == [
                ("WORKSPACE_DEGRADED", trouble),
                ("TASK_UPDATED", facts),
                ("WORKSPACE_HEARTBEAT", facts),
            ]
            assert {(str(event["workspace_id"]), event["created_at"]) for event in events} == {
                (BOB, row["last_heartbeat_at"])
            }
            await asyncio.sleep(it.config.liveness_s + 1)
            gone = await it.one("SELECT * FROM structure_events WHERE event_type = 'WORKSPACE_OFFLINE'")
            assert json.loads(gone["payload"]) == {"last_heartbeat_at": row["last_heartbeat_at"].isoformat()}

    in_virtual_time(database, play())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"id": "carl", "url": "http://localhost:1/", "agent_card": CARD}, 400),
        ({"id": CARL, "url": "http://localhost:1/"}, 400),
        ({"id": CARL, "agent_card": CARD}, 400),
        ({"id": CARL, "url": "http://localhost:1/", "agent_card": CARD, "delivery_mode": "fax"}, 400),
        ({"id": CARL, "url": "http://169.254.169.254/", "agent_card": CARD}, 400),
        ({"id": CARL, "url": "file:///etc/passwd", "agent_card": CARD}, 400),
        ({"id": CARL, "url": "http://[", "agent_card": CARD}, 400),
        ({"id": CARL, "agent_card": CARD, "delivery_mode": "poll"}, 200),
        ({"id": POLLY, "agent_card": {}}, 200),
    ],
)
def test_registration_is_checked(database: Database, body: object, status: int) -> None:
    async def play() -> None:
        async with world(database) as it:
            got, _ = await it.post("/registry/register", body)
            assert got == status

    in_virtual_time(database, play())


def test_loopback_is_refused_unless_allowed(database: Database) -> None:
    async def play() -> None:
        async with world(database, allow_loopback=False) as it:
            order = {"id": CARL, "url": it.bob.url, "agent_card": CARD}
            assert (await it.post("/registry/register", order))[0] == 400
            _, body = await it.delegate()
            assert await it.settled(body["delegation_id"]) == "failed"
            assert it.bob.requests == []

    in_virtual_time(database, play())


@pytest.mark.parametrize(
    ("before", "beat", "after"),
    [
        ("online", {"error_rate": 0.5}, "degraded"),
        ("online", {"runtime_state": "wedged"}, "degraded"),
        ("degraded", {"error_rate": 0.2}, "degraded"),
        ("degraded", {"error_rate": 0.05}, "online"),
        ("offline", {}, "online"),
        ("provisioning", {}, "online"),
        ("paused", {}, "paused"),
        ("removed", {}, "removed"),
    ],
)
def test_heartbeats_move_the_status(database: Database, before: str, beat: dict[str, object], after: str) -> None:
    async def play() -> None:
        async with world(database) as it:
            await it.rows.execute("UPDATE workspaces SET status = $1 WHERE id = $2", before, BOB)
            body = {"workspace_id": BOB, "current_task": "digging", **beat}
            assert await it.post("/registry/heartbeat", body) == (200, {"status": "ok"})
            assert await it.post("/registry/heartbeat", body) == (200, {"status": "ok"})
            assert await it.rows.fetchval("SELECT status FROM workspaces WHERE id = $1", BOB) == after
            events = [row[0] for row in await it.rows.fetch("SELECT event_type FROM structure_events ORDER BY seq")]
            turned = [] if after == before else [f"WORKSPACE_{after.upper()}"]
            changed = [] if before == "removed" else ["TASK_UPDATED"]
            assert events == [*turned, *changed, "WORKSPACE_HEARTBEAT", "WORKSPACE_HEARTBEAT"]

    in_virtual_time(database, play())


def test_a_loopback_url_is_kept_and_any_other_replaced(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            for stored, offered, kept in [
                ("http://127.0.0.1:9/", "http://localhost:1/", "http://127.0.0.1:9/"),
                ("http://localhost:9/", "http://127.0.0.1:1/", "http://127.0.0.1:1/"),
                (None, "http://127.0.0.1:1/", "http://127.0.0.1:1/"),
            ]:
                await it.rows.execute("UPDATE workspaces SET url = $1 WHERE id = $2", stored, BOB)
                await it.rows.execute("DELETE FROM workspace_auth_tokens")
                assert (await it.post("/registry/register", {"id": BOB, "url": offered, "agent_card": CARD}))[0] == 200
                assert await it.rows.fetchval("SELECT url FROM workspaces WHERE id = $1", BOB) == kept

    in_virtual_time(database, play())


@pytest.mark.parametrize(
    ("workspace", "asked", "effective"),
    [(BOB, None, "push"), (BOB, "poll", "poll"), (POLLY, None, "poll"), (POLLY, "push", "push"), (CARL, None, "push")],
)
def test_the_delivery_mode_is_what_was_asked_else_what_is_stored_else_push(
    database: Database, workspace: str, asked: str | None, effective: str
) -> None:
    async def play() -> None:
        async with world(database) as it:
            order = {"id": workspace, "url": it.bob.url, "agent_card": CARD, "delivery_mode": asked}
            status, body = await it.post("/registry/register", order)
            assert (status, body["delivery_mode"]) == (200, effective)
            row = await it.one("SELECT delivery_mode, status FROM workspaces WHERE id = $1", workspace)
            assert tuple(row) == (effective, "online")
            event = await it.one("SELECT event_type, workspace_id::text, payload FROM structure_events")
            assert tuple(event)[:2] == ("WORKSPACE_ONLINE", workspace)
            assert json.loads(event["payload"]) == {"delivery_mode": effective}

    in_virtual_time(database, play())


def test_a_removed_workspace_stays_removed(database: Database) -> None:
    """INV-99: neither registration nor heartbeat bring it back, and no token is given for it."""

    async def play() -> None:
        async with world(database) as it:
            await it.rows.execute("UPDATE workspaces SET status = 'removed', url = NULL WHERE id = $1", BOB)
            order = {"id": BOB, "url": it.bob.url, "agent_card": CARD}
            assert await it.post("/registry/register", order) == (
                200,
                {"status": "registered", "delivery_mode": "push"},
            )
            assert await it.post("/registry/heartbeat", {"workspace_id": BOB}) == (200, {"status": "ok"})
            row = await it.one("SELECT status, url, last_heartbeat_at FROM workspaces WHERE id = $1", BOB)
            assert tuple(row) == ("removed", None, None)
            assert await it.rows.fetchval("SELECT count(*) FROM workspace_auth_tokens") == 0
            events = await it.rows.fetch("SELECT event_type FROM structure_events")
            assert [row[0] for row in events] == ["WORKSPACE_HEARTBEAT"]

    in_virtual_time(database, play())


@pytest.mark.parametrize(("decided", "after"), [(None, "offline"), ("paused", "paused"), ("removed", "removed")])
def test_who_falls_silent_goes_offline(database: Database, decided: str | None, after: str) -> None:
    async def play() -> None:
        async with world(database) as it:
            for _ in range(3):  # heard of again in time
                await it.post("/registry/heartbeat", {"workspace_id": BOB})
                await asyncio.sleep(it.config.liveness_s - 1)
                assert await it.rows.fetchval("SELECT status FROM workspaces WHERE id = $1", BOB) == "online"
            if decided:
                await it.rows.execute("UPDATE workspaces SET status = $1 WHERE id = $2", decided, BOB)
            await asyncio.sleep(1 + INSTANT_S)
            assert await it.rows.fetchval("SELECT status FROM workspaces WHERE id = $1", BOB) == after
            await asyncio.sleep(2 * it.config.liveness_s)
            assert await it.rows.fetchval("SELECT status FROM workspaces WHERE id = $1", BOB) == after
            gone = await it.rows.fetchval(
                "SELECT count(*) FROM structure_events WHERE event_type = 'WORKSPACE_OFFLINE' AND workspace_id = $1",
                BOB,
            )
            assert gone == (after == "offline")

    in_virtual_time(database, play())


def test_registration_that_the_database_refuses_is_a_500_and_one_that_it_misses_a_503(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            order = {"id": BOB, "url": it.bob.url, "agent_card": CARD}
            await it.rows.execute("ALTER TABLE workspaces RENAME COLUMN agent_card TO card")
            try:
                refused = await it.post("/registry/register", order)
            finally:
                await it.rows.execute("ALTER TABLE workspaces RENAME COLUMN card TO agent_card")
            assert refused == (500, {"error": "registration failed"})
            it.wire.silence()
            with it.takes(it.config.database_timeout_s):
                assert (await it.post("/registry/register", order))[0] == 503

    in_virtual_time(database, play())


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"workspace_id": BOB, "error_rate": "x"},
        {"workspace_id": BOB, "active_tasks": True},
        {"workspace_id": BOB, "sample_error": 1},
        {"workspace_id": BOB, "uptime_seconds": "x"},
        {"workspace_id": "bob"},
    ],
)
def test_a_bad_heartbeat_is_refused(database: Database, body: object) -> None:
    async def play() -> None:
        async with world(database) as it:
            assert (await it.post("/registry/heartbeat", body))[0] == 400

    in_virtual_time(database, play())


def test_watchers_see_what_the_hierarchy_allows(database: Database) -> None:
    async def play() -> None:
        async with world(database, says("done")) as it:
            await it.rows.execute("INSERT INTO workspaces (id, name, parent_id) VALUES ($1, 'carl', $2)", CARL, POLLY)
            async with (
                it.http.ws_connect(it.base + "/ws") as canvas,
                it.http.ws_connect(it.base + "/ws", headers={"X-Workspace-ID": ANN}) as ann,
                it.http.ws_connect(it.base + "/ws", headers={"X-Workspace-ID": CARL}) as stranger,
            ):
                _, body = await it.delegate()
                for watcher in (canvas, ann):
                    events = [await watcher.receive_json(timeout=5) for _ in range(5)]
                    assert [(event["event"], event["workspace_id"]) for event in events] == [
                        ("DELEGATION_SENT", ANN),
                        ("DELEGATION_STATUS", ANN),
                        ("ACTIVITY_LOGGED", BOB),
                        ("ACTIVITY_LOGGED", BOB),
                        ("DELEGATION_COMPLETE", ANN),
                    ]
                    told = {event["payload"].get("delegation_id") for event in events if event["workspace_id"] == ANN}
                    assert told == {body["delegation_id"]}
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(60):
                        await stranger.receive()

    in_virtual_time(database, play())


def test_health_needs_nothing(database: Database) -> None:
    async def play() -> None:
        async with world(database, environment="production") as it:
            it.wire.silence()
            assert await it.get("/health") == (200, {"status": "ok"})
            assert (await it.get("/nowhere"))[0] == 404

    in_virtual_time(database, play())
