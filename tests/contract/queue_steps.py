"""What tests of the queue do again and again: make an agent busy, let messages wait, look at their items."""

from __future__ import annotations

from typing import Any

import asyncpg

from tests.contract.world import ANN, BOB, World, until

HELLO = {"method": "message/send", "params": {"message": {"messageId": "m1", "parts": []}}}
NO_SWEEP: dict[str, Any] = {"queue_sweep_interval_s": 1e6}
"""The queue is drained by heartbeats only, and does not talk to the database by itself."""


async def beat(it: World, *, active_tasks: int = 0, workspace: str = BOB) -> None:
    body = {"workspace_id": workspace, "active_tasks": active_tasks}
    assert await it.post("/registry/heartbeat", body) == (200, {"status": "ok"})


async def send(it: World, message_id: str = "m1", *, caller: str | None = ANN, **params: Any) -> tuple[int, Any]:
    body = {"method": "message/send", "params": {"message": {"messageId": message_id, "parts": []}, **params}}
    return await it.post(f"/workspaces/{BOB}/a2a", body, **({"X_Workspace_ID": caller} if caller else {}))


async def held(it: World, message_id: str = "m1", **params: Any) -> str:
    """A message that waits in the queue; its item."""
    status, answer = await send(it, message_id, **params)
    assert status == 202
    return str(answer["queue_id"])


async def waiting(it: World, **body: Any) -> str:
    """A delegation that waits in the queue."""
    _, answer = await it.delegate(**body)
    await it.settled(answer["delegation_id"], "queued")
    return str(answer["delegation_id"])


async def item(it: World, message_id: str) -> asyncpg.Record:
    return await it.one("SELECT * FROM a2a_queue WHERE idempotency_key = $1", message_id)


async def ended(it: World, message_id: str, status: str, *, attempts: int | None = None) -> asyncpg.Record:
    """The item, once it has the status, after so many attempts."""

    async def look() -> asyncpg.Record | None:
        row = await item(it, message_id)
        return row if row["status"] == status and attempts in (None, row["attempts"]) else None

    return await until(look)


async def order_of(it: World) -> list[str]:
    return [request["params"]["message"]["messageId"] for request in it.bob.requests]
