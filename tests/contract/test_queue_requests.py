"""What can be asked of the queue: how an item fares, and that stale ones be dropped."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

import pytest

from tests.contract.agents import a2a_text, answers, says
from tests.contract.database import Database
from tests.contract.queue_steps import NO_SWEEP, beat, ended, held
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, NOBODY, POLLY, exactly, world

RESTARTING = answers(b'{"error":"restarting","restarting":true}', status="503 X")

# Asking how an item fares


def test_an_item_is_shown_to_its_parties(database: Database) -> None:
    async def play() -> None:
        async with world(database, says("hi"), **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            queue_id = await held(it)
            path = f"/workspaces/{BOB}/a2a/queue/{queue_id}"
            missing = (404, {"error": "queue item not found"})
            for party in (ANN, BOB):
                status, shown = await it.get(path, **{"X-Workspace-ID": party})
                assert (status, shown.pop("enqueued_at")[:2]) == (200, "20")
                assert shown == {
                    "queue_id": queue_id,
                    "workspace_id": BOB,
                    "status": "queued",
                    "priority": 50,
                    "attempts": 0,
                }
            assert await it.get(path) == missing
            assert await it.get(path, **{"X-Workspace-ID": POLLY}) == missing
            for elsewhere in (f"/workspaces/{ANN}/a2a/queue/{queue_id}", f"/workspaces/{BOB}/a2a/queue/{NOBODY}"):
                assert await it.get(elsewhere, **{"X-Workspace-ID": ANN}) == missing
            assert await it.get(f"/workspaces/{BOB}/a2a/queue/x", **{"X-Workspace-ID": ANN}) == missing
            await beat(it)
            await ended(it, "m1", "completed")
            _, shown = await it.get(path, **{"X-Workspace-ID": ANN})
            assert (shown["status"], shown["attempts"]) == ("completed", 1)
            assert {"dispatched_at", "completed_at"} < shown.keys()
            assert shown["response_body"] == json.loads(a2a_text("hi"))

    in_virtual_time(database, play())


def test_an_item_is_shown_with_what_there_is_to_say_of_it(database: Database) -> None:
    async def play() -> None:
        async with world(database, RESTARTING, **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            began = it.now
            path = f"/workspaces/{BOB}/a2a/queue/{await held(it, expires_in_seconds=90)}"
            await beat(it)
            row = await ended(it, "m1", "queued", attempts=1)
            status, shown = await it.get(path, **{"X-Workspace-ID": ANN})
            assert status == 200
            assert (shown["attempts"], shown["last_error"]) == (1, "restarting")
            assert shown["expires_at"] == row["expires_at"].isoformat()
            assert (row["expires_at"] - began).total_seconds() == exactly(90)
            assert shown.keys().isdisjoint({"dispatched_at", "completed_at", "response_body"})

    in_virtual_time(database, play())


def test_a_party_with_a_token_has_to_show_it(database: Database) -> None:
    async def play() -> None:
        async with world(database, admin_token="root", **NO_SWEEP) as it:
            await it.rows.execute("UPDATE workspaces SET active_tasks = 1 WHERE id = $1", BOB)
            queue_id = await held(it)
            for number, (owner, token) in enumerate([(ANN, "of ann"), (POLLY, "of polly")]):
                await it.rows.execute(
                    "INSERT INTO workspace_auth_tokens (id, workspace_id, token_hash, prefix, created_at) "
                    "VALUES ($1, $2, $3, 'of', $4)",
                    f"00000000-0000-4000-8000-0000000000{number:02}",
                    owner,
                    hashlib.sha256(token.encode()).digest(),
                    it.now,
                )
            path = f"/workspaces/{BOB}/a2a/queue/{queue_id}"
            for headers, status in [
                ({"X-Workspace-ID": ANN}, 401),
                ({"Authorization": "Bearer of ann"}, 200),
                ({"Authorization": "Bearer of polly", "X-Workspace-ID": ANN}, 404),
                ({"Authorization": "Bearer nobody's", "X-Workspace-ID": ANN}, 404),
                ({"Authorization": "Bearer root"}, 200),
            ]:
                assert (await it.get(path, **headers))[0] == status

    in_virtual_time(database, play())


@pytest.mark.parametrize("value", ["0", "-5", "x", "1.5", "9" * 30])
def test_drop_stale_checks_its_arguments(database: Database, value: str) -> None:
    async def play() -> None:
        async with world(database) as it:
            status, _ = await it.post(f"/admin/a2a-queue/drop-stale?max_age_minutes={value}", {})
            assert status == 400
            assert (await it.post("/admin/a2a-queue/drop-stale?workspace_id=bob", {}))[0] == 400

    in_virtual_time(database, play())


def test_drop_stale_is_for_the_operator_and_keeps_to_its_bounds(database: Database) -> None:
    async def play() -> None:
        async with world(database, admin_token="root", **NO_SWEEP) as it:
            await it.rows.execute("UPDATE workspaces SET active_tasks = 1 WHERE id = $1", BOB)
            await held(it)
            an_hour_ago = it.now - timedelta(minutes=61)
            await it.rows.execute("UPDATE a2a_queue SET enqueued_at = $1", an_hour_ago)
            path = "/admin/a2a-queue/drop-stale"
            assert await it.post(path, {}) == (401, {"error": "missing admin auth token"})
            wrong, right = ({"Authorization": f"Bearer {token}"} for token in ("x", "root"))
            assert await it.post(path, {}, **wrong) == (401, {"error": "invalid admin auth token"})
            for query, dropped in [("?max_age_minutes=62", 0), (f"?workspace_id={ANN}", 0), ("", 1), ("", 0)]:
                assert await it.post(path + query, {}, **right) == (200, {"dropped": dropped})

    in_virtual_time(database, play())
