"""/ws and /workspaces/:id/events/stream: what watchers are told, in which order, and what they cost at most."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from reference_impl import events
from reference_impl.clock import SystemClock
from reference_impl.events import EventFactory, TooManyWatchers, Watchers
from tests.contract.agents import a2a_text, answers, says
from tests.contract.database import Database
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, POLLY, World, world

HELLO = {"method": "message/send", "params": {"message": {"messageId": "m1", "parts": []}}}
EVENT_KEYS = {"type", "timestamp", "data"}


def stream_of(it: World, workspace: str) -> Any:
    return it.http.get(f"{it.base}/workspaces/{workspace}/events/stream")


async def frames(response: aiohttp.ClientResponse, count: int) -> list[dict[str, Any]]:
    """The next events of a stream; comments are passed over."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(5):
        while len(found) < count:
            block = (await response.content.readuntil(b"\n\n")).decode()
            if not block.startswith(":"):
                assert block.startswith("data: ")
                found.append(json.loads(block.removeprefix("data: ")))
    return found


def test_a_stream_tells_of_its_workspace_only(database: Database) -> None:
    async def play() -> None:
        async with world(database, says("done")) as it, stream_of(it, ANN) as ann, stream_of(it, BOB) as bob:
            assert (ann.status, ann.headers["Content-Type"]) == (200, "text/event-stream")
            _, body = await it.delegate()
            heard = await frames(ann, 3)
            assert [event["type"] for event in heard] == ["DELEGATION_SENT", "DELEGATION_STATUS", "DELEGATION_COMPLETE"]
            assert {event["data"]["delegation_id"] for event in heard} == {body["delegation_id"]}
            assert all(set(event) == EVENT_KEYS for event in heard)
            stored = await it.rows.fetchval(
                "SELECT created_at FROM structure_events WHERE event_type = 'DELEGATION_SENT'"
            )
            assert heard[0]["timestamp"] == round(stored.timestamp() * 1000)
            assert [event["type"] for event in await frames(bob, 2)] == ["ACTIVITY_LOGGED", "ACTIVITY_LOGGED"]

    in_virtual_time(database, play())


def test_a_stream_needs_the_workspaces_token(database: Database) -> None:
    async def play() -> None:
        async with world(database, environment="production") as it, stream_of(it, ANN) as refused:
            assert refused.status == 401

    in_virtual_time(database, play())


def test_a_quiet_stream_is_kept_alive_and_ends_with_the_broker(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it, stream_of(it, ANN) as ann:
            for _ in range(2):
                with it.takes(30):
                    assert await ann.content.readuntil(b"\n\n") == b": keep-alive\n\n"
            with it.takes(0):
                await it.broker.stop()
                while await ann.content.readline():
                    pass

    in_virtual_time(database, play())


def test_a_watcher_that_leaves_makes_room(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_WATCHERS_MAX", 1)

    async def play() -> None:
        async with world(database) as it:
            async with stream_of(it, ANN) as first:
                assert first.status == 200
                assert await it.get("/ws") == (503, {"error": "too many watchers"})
            async with asyncio.timeout(5):
                left = False
                while not left:
                    async with stream_of(it, ANN) as second:
                        left = second.status == 200

    in_virtual_time(database, play())


def test_a_watcher_is_told_what_is_stored_as_it_is_stored(database: Database) -> None:
    async def play() -> None:
        async with world(database, says("done"), answers(b"", status="500 X")) as it:
            told = await it.watch()
            for status in ("completed", "failed"):
                assert await it.settled((await it.delegate())[1]["delegation_id"]) == status
            await it.post("/registry/heartbeat", {"workspace_id": BOB, "current_task": "digging", "error_rate": 1})
            await asyncio.sleep(it.config.liveness_s + 1)
            stored = await it.rows.fetch("SELECT * FROM structure_events ORDER BY seq")
            assert [event for event in told if event["event"] != "ACTIVITY_LOGGED"] == [
                {
                    "event": row["event_type"],
                    "workspace_id": str(row["workspace_id"]),
                    "timestamp": row["created_at"].isoformat(),
                    "payload": json.loads(row["payload"]),
                }
                for row in stored
            ]
            assert [row["event_type"] for row in stored] == [
                *("DELEGATION_SENT", "DELEGATION_STATUS", "DELEGATION_COMPLETE"),
                *("DELEGATION_SENT", "DELEGATION_STATUS", "DELEGATION_FAILED"),
                *("WORKSPACE_DEGRADED", "TASK_UPDATED", "WORKSPACE_HEARTBEAT", "WORKSPACE_OFFLINE"),
            ]

    in_virtual_time(database, play())


@pytest.mark.parametrize(
    ("caller", "target", "behaviour", "told"),
    [
        ("", BOB, says("hi"), ["ACTIVITY_LOGGED ok", "ACTIVITY_LOGGED ok", "A2A_RESPONSE"]),
        (ANN, BOB, says("hi"), ["ACTIVITY_LOGGED ok", "ACTIVITY_LOGGED ok"]),
        ("", BOB, answers(b"{}", status="500 X"), ["ACTIVITY_LOGGED ok", "ACTIVITY_LOGGED error"]),
        ("", POLLY, says("hi"), ["ACTIVITY_LOGGED ok"]),
    ],
)
def test_a_message_is_told_when_it_comes_and_when_it_is_answered(
    database: Database, caller: str, target: str, behaviour: Any, told: list[str]
) -> None:
    async def play() -> None:
        async with world(database, behaviour) as it, stream_of(it, target) as stream:
            await it.post(f"/workspaces/{target}/a2a", HELLO, **({"X_Workspace_ID": caller} if caller else {}))
            await it.post(f"/workspaces/{target}/a2a", HELLO)  # the same message: no new row, so nothing to log
            await it.post(f"/workspaces/{target}/notify", {"message": "the end"})
            heard = []
            while (event := (await frames(stream, 1))[0])["data"].get("method") != "notify":
                heard.append(event)
            first = heard[: len(told)]
            assert [f"{event['type']} {event['data'].get('status', '')}".strip() for event in first] == told
            row = await it.one("SELECT id::text, summary, duration_ms FROM activity_logs WHERE message_id IS NOT NULL")
            logged = [event["data"] for event in first if event["type"] == "ACTIVITY_LOGGED"]
            assert {data["id"] for data in logged} == {row["id"]}
            assert logged[-1]["source_id"] == (caller or None)
            if told[-1] == "A2A_RESPONSE":
                data = first[-1]["data"]
                assert data["response_body"] == json.loads(a2a_text("hi"))
                assert (data["method"], data["duration_ms"]) == ("message/send", logged[-1]["duration_ms"])
            recorded = await it.rows.fetchval("SELECT count(*) FROM structure_events")
            assert recorded == 0

    in_virtual_time(database, play())


def test_what_a_watcher_cannot_take_is_dropped_and_the_end_still_comes() -> None:
    async def play() -> None:
        watchers = Watchers()
        watch = watchers.join(size_events=2)
        factory = EventFactory(SystemClock(), lambda: "id")
        for number in range(5):
            watchers.broadcast(factory.make(f"E{number}", ANN, {}))
        watchers.dismiss()
        assert len(watchers) == 0
        got = [watch.buffer.get_nowait() for _ in range(watch.buffer.qsize())]
        assert [event and event.type for event in got] == ["E0", "E1", None]

    asyncio.run(play())


def test_watchers_are_limited() -> None:
    async def play() -> None:
        watchers = Watchers()
        for _ in range(1000):
            watchers.join(size_events=1)
        with pytest.raises(TooManyWatchers):
            watchers.join(size_events=1)

    asyncio.run(play())
