"""POST /workspaces/:id/activity and /notify: answers, rows, and what watchers are told."""

from __future__ import annotations

import json

import pytest

from tests.contract.database import Database
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, NOBODY, World, world

TYPES = ("a2a_send", "a2a_receive", "task_update", "agent_log", "skill_promotion", "memory_write", "error")


async def rows(it: World) -> int:
    count: int = await it.rows.fetchval("SELECT count(*) FROM activity_logs")
    return count


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"no json", 400, "invalid request body"),
        ([], 400, "invalid request body"),
        ({}, 400, f"invalid activity_type, must be one of: {', '.join(TYPES)}"),
        ({"activity_type": "delegation"}, 400, f"invalid activity_type, must be one of: {', '.join(TYPES)}"),
        ({"activity_type": 1}, 400, "invalid request body"),
        ({"activity_type": "error", "summary": ["x"]}, 400, "invalid request body"),
        ({"activity_type": "error", "duration_ms": -1}, 400, "invalid request body"),
        ({"activity_type": "error", "duration_ms": 2**31}, 400, "invalid request body"),
        ({"activity_type": "error", "duration_ms": True}, 400, "invalid request body"),
        ({"activity_type": "error", "target_id": "bob"}, 400, "target_id must be a valid UUID"),
        ({"activity_type": "error", "source_id": BOB}, 403, "source_id must match authenticated workspace"),
        ({"activity_type": "error", "source_id": "bob"}, 403, "source_id must match authenticated workspace"),
    ],
)
def test_a_report_is_checked(database: Database, body: object, status: int, error: str) -> None:
    async def play() -> None:
        async with world(database) as it:
            assert await it.post(f"/workspaces/{ANN}/activity", body) == (status, {"error": error})
            assert await rows(it) == 0

    in_virtual_time(database, play())


@pytest.mark.parametrize("activity_type", TYPES)
def test_a_report_needs_only_its_type(database: Database, activity_type: str) -> None:
    async def play() -> None:
        async with world(database) as it:
            answer = await it.post(f"/workspaces/{ANN}/activity", {"activity_type": activity_type})
            assert answer == (200, {"status": "logged"})
            row = await it.one("SELECT activity_type, workspace_id::text, source_id::text, status FROM activity_logs")
            assert tuple(row) == (activity_type, ANN, ANN, "ok")

    in_virtual_time(database, play())


def test_everything_that_is_reported_is_stored_and_told(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it, it.http.ws_connect(it.base + "/ws") as canvas:
            facts = {
                "activity_type": "a2a_send",
                "method": "message/send",
                "summary": "asked bob\x00",
                "source_id": ANN.upper(),
                "target_id": BOB,
                "duration_ms": 12,
                "status": "error",
            }
            more = {"error_detail": "no", "response_body": "text", "metadata": {"a": 1}, "tool_trace": [{"tool": "ls"}]}
            assert (await it.post(f"/workspaces/{ANN}/activity", facts | more))[0] == 200
            _, (row,) = await it.get(f"/workspaces/{ANN}/activity")
            told = facts | {"source_id": ANN, "summary": "asked bob\ufffd"}
            kept = {
                "error_detail": "no",
                "response_body": "text",
                "request_body": {"a": 1},
                "tool_trace": [{"tool": "ls"}],
            }
            assert {name: row[name] for name in told | kept} == told | kept
            event = await canvas.receive_json(timeout=5)
            assert (event["event"], event["workspace_id"]) == ("ACTIVITY_LOGGED", ANN)
            assert event["payload"] == told | {"id": row["id"]}
            assert await it.rows.fetchval("SELECT count(*) FROM structure_events") == 0  # broadcast only

    in_virtual_time(database, play())


@pytest.mark.parametrize("path", ["activity", "notify"])
def test_who_may_report_and_about_whom(database: Database, path: str) -> None:
    async def play() -> None:
        async with world(database, environment="production") as it:
            body = {"activity_type": "error", "message": "hi"}
            assert (await it.post(f"/workspaces/{ANN}/{path}", body))[0] == 401
            assert await rows(it) == 0
        async with world(database) as it:
            answer = await it.post(f"/workspaces/{NOBODY}/{path}", body)
            assert answer == (404, {"error": "workspace not found"})
            it.wire.silence()
            assert (await it.post(f"/workspaces/{ANN}/{path}", body))[0] == 503

    in_virtual_time(database, play())


@pytest.mark.parametrize("body", [b"no json", {}, {"message": ""}, {"message": 1}])
def test_a_notification_needs_a_message(database: Database, body: object) -> None:
    async def play() -> None:
        async with world(database) as it:
            assert await it.post(f"/workspaces/{ANN}/notify", body) == (400, {"error": "message is required"})
            assert await rows(it) == 0

    in_virtual_time(database, play())


def test_a_notification_is_a_row_without_source(database: Database) -> None:
    """By that, and by its method, a poller knows its own words again (H48)."""

    async def play() -> None:
        async with world(database) as it, it.http.ws_connect(it.base + "/ws") as canvas:
            assert await it.post(f"/workspaces/{ANN}/notify", {"message": "ä" * 150}) == (200, {"status": "sent"})
            row = await it.one("SELECT * FROM activity_logs")
            assert (row["activity_type"], row["method"], row["source_id"], row["status"]) == (
                *("a2a_receive", "notify", None, "ok"),
            )
            assert row["summary"] == "ä" * 100
            assert json.loads(row["response_body"]) == {"text": "ä" * 150}
            assert (await canvas.receive_json(timeout=5))["payload"]["method"] == "notify"

    in_virtual_time(database, play())
