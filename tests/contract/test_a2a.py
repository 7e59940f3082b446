"""POST /workspaces/:id/a2a: gates, answers, delivery modes, and clients that hang up."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest

from tests.contract.agents import Agent, Behaviour, a2a_text, after, answers, resets, says
from tests.contract.database import Database
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, NOBODY, POLLY, World, world

HELLO = {"method": "message/send", "params": {"message": {"messageId": "m1", "parts": []}}}


async def send(it: World, target: str = BOB, body: object = HELLO, **headers: str) -> tuple[int, object]:
    return await it.post(f"/workspaces/{target}/a2a", body, **headers)


@pytest.mark.parametrize(
    ("target", "body", "caller", "status", "error"),
    [
        (BOB, b"no json", ANN, 400, "invalid JSON"),
        (NOBODY, HELLO, "", 404, "workspace not found"),
        (NOBODY, HELLO, ANN, 403, "access denied: workspaces cannot communicate per hierarchy rules"),
        (BOB, HELLO, "system:cron", 403, "invalid caller ID"),
        (BOB, HELLO, "somebody", 403, "invalid caller ID"),
        ("bob", HELLO, "", 404, "workspace not found"),
        (BOB, b"x" * (1024 * 1024 + 1), "", 413, "request body too large"),
    ],
)
def test_refusals(database: Database, target: str, body: object, caller: str, status: int, error: str) -> None:
    async def play() -> None:
        async with world(database) as it:
            got, answer = await send(it, target, body, **({"X_Workspace_ID": caller} if caller else {}))
            assert (got, answer["error"]) == (status, error)  # type: ignore[index]
            assert it.bob.requests == []
            assert await it.rows.fetchval("SELECT count(*) FROM activity_logs") == 0

    in_virtual_time(database, play())


READ_FAILED = "failed to read agent response"


@pytest.mark.parametrize(
    ("behaviour", "status", "answer", "row_status"),
    [
        (says("hi"), 200, json.loads(a2a_text("hi")), "ok"),
        (answers(b'{"queued":true}', status="202 Accepted"), 202, {"queued": True}, "ok"),
        (answers(b""), 200, {"error": "agent returned empty response body"}, "error"),
        (answers(b'{"error":"no"}', status="418 Teapot"), 418, {"error": "no"}, "error"),
        (answers(b'{"busy":true}', status="503 X"), 503, {"error": "Service Unavailable", "busy": True}, "error"),
        (answers(b"half", length=9), 502, {"error": READ_FAILED, "delivery_confirmed": True}, "ok"),
        (answers(b"", length=9), 502, {"error": READ_FAILED, "delivery_confirmed": True}, "error"),
        (
            answers(b"half", length=9, status="500 X"),
            500,
            {"error": READ_FAILED, "delivery_confirmed": False},
            "error",
        ),
        (resets, 502, {"error": "delivery_unknown: connection lost before a reply"}, "error"),
    ],
)
def test_answers(database: Database, behaviour: Behaviour, status: int, answer: object, row_status: str) -> None:
    async def play() -> None:
        async with world(database, behaviour) as it:
            assert await send(it, X_Workspace_ID=ANN) == (status, answer)
            row = await it.one("SELECT * FROM activity_logs")
            assert (str(row["workspace_id"]), str(row["source_id"])) == (BOB, ANN)
            assert row["status"] == row_status
            assert json.loads(row["request_body"])["params"]["message"]["messageId"] == "m1"
            assert row["duration_ms"] is not None

    in_virtual_time(database, play())


TEXT_PART = {"kind": "text", "text": "hi"}


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        ({"method": "message/send",
          "params": {"message": {"messageId": "m1", "parts": [{"type": "text", "text": "hi"}]}}},
         {"jsonrpc": "2.0", "id": ..., "method": "message/send",
          "params": {"message": {"messageId": "m1", "parts": [TEXT_PART]}}}),
        ({"jsonrpc": "2.0", "id": 7, "method": "message/send", "params": {"message": {"parts": [TEXT_PART]}, "x": 1}},
         {"jsonrpc": "2.0", "id": 7, "method": "message/send",
          "params": {"message": {"messageId": ..., "parts": [TEXT_PART]}, "x": 1}}),
        ({"method": "message/send", "params": {"message": {"messageId": 5}}},
         {"jsonrpc": "2.0", "id": ..., "method": "message/send", "params": {"message": {"messageId": ...}}}),
        ({"jsonrpc": "1.0"}, {"jsonrpc": "1.0"}),
        ({}, {"jsonrpc": "2.0", "id": ..., "method": None, "params": None}),
    ],
)  # fmt: skip
def test_what_is_missing_from_a_message_is_added(database: Database, sent: object, got: dict[str, Any]) -> None:
    """`...` stands for a new UUID."""

    def matches(expected: Any, found: Any) -> bool:
        if expected is ...:
            return str(uuid.UUID(found)) == found
        if isinstance(expected, dict):
            return expected.keys() == found.keys() and all(matches(expected[key], found[key]) for key in expected)
        return bool(expected == found)

    async def play() -> None:
        async with world(database) as it:
            assert (await send(it, body=sent))[0] == 200
            (request,) = it.bob.requests
            assert matches(got, request), request

    in_virtual_time(database, play())


def test_a_workspace_that_writes_to_itself_proves_nothing_and_others_do(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await it.rows.execute(
                "INSERT INTO workspace_auth_tokens (id, workspace_id, token_hash, prefix, created_at) "
                "VALUES ($1, $2, $3, 'x', $4)", it.new_id(), BOB, b"x", it.now,
            )  # fmt: skip
            assert (await send(it, BOB, X_Workspace_ID=BOB))[0] == 200
            assert (await send(it, BOB, X_Workspace_ID=ANN))[0] == 200  # has no token to show
            refused = (401, {"error": "missing caller auth token"})
            assert await send(it, POLLY, X_Workspace_ID=BOB) == refused

    in_virtual_time(database, play())


def test_a_poll_target_gets_one_row_a_message(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            receipt = {"status": "queued", "delivery_mode": "poll", "method": "message/send"}
            for _ in range(3):
                assert await send(it, POLLY) == (200, receipt)
            row = await it.one("SELECT * FROM activity_logs")
            assert row["summary"] == "message/send → polly (queued for poll)"
            assert row["source_id"] is None
            assert it.bob.requests == []

    in_virtual_time(database, play())


@pytest.mark.parametrize(
    ("asked", "bound_s"),
    [
        ({"X_Timeout": "1"}, 1),
        ({"X_Timeout": "1799"}, 1799),
        ({"X_Timeout": "1801"}, 1800),
        ({"X_Timeout": "9" * 30}, 1800),
        ({"X_Timeout": "0"}, 1800),
        ({"X_Timeout": "-1"}, 1800),
        ({"X_Timeout": "1.5"}, 1800),
        ({"X_Timeout": "soon"}, 1800),
        ({}, 1800),
    ],
)
def test_x_timeout_bounds_the_call_and_the_ceiling_always_does(
    database: Database, asked: dict[str, str], bound_s: float
) -> None:
    """D6, D7."""

    async def play() -> None:
        async with world(database, after(3600, says("late"))) as it:
            with it.takes(bound_s):
                status, answer = await send(it, **asked)
            assert (status, answer) == (502, {"error": "delivery_unknown: no reply in time"})

    in_virtual_time(database, play())


def test_a_client_that_hangs_up_after_contact_changes_nothing(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(60, says("hi"))) as it:
            asking = asyncio.create_task(send(it))
            await it.bob.contacted.wait()
            asking.cancel()
            await asyncio.sleep(120)
            row = await it.one("SELECT * FROM activity_logs")
            assert row["status"] == "ok"
            assert row["response_body"] is not None

    in_virtual_time(database, play())


@pytest.mark.parametrize("fault", ["cancel", "hush", "lose"])
def test_a_mode_that_cannot_be_read_is_no_push(database: Database, fault: str) -> None:
    """Cancelled or timed out: nothing is sent. Any other error: pushed, after the event is stored."""

    async def play() -> None:
        async with world(database) as it:
            for target in (POLLY, BOB):
                await send(it, target)  # the statements are prepared: from now on a message each
            contacts = len(it.bob.requests)
            # 1 budget, 2 mode
            it.wire.arm(2, "hush" if fault == "cancel" else fault)
            again = {**HELLO, "params": {"message": {"messageId": "m2", "metadata": {"delegation_id": "d"}}}}
            asking = asyncio.create_task(send(it, BOB, again))
            if fault == "cancel":
                await asyncio.sleep(1)
                asking.cancel()
                await asyncio.wait([asking])
            else:
                # Healed just after the read has timed out: by then everything is decided.
                asyncio.get_running_loop().call_later(it.config.database_timeout_s + 0.1, it.wire.heal)
                status, answer = await asking
            it.wire.heal()
            assert it.wire.struck
            await asyncio.sleep(60)
            events = await it.events("d")
            if fault == "lose":
                assert status == 200
                assert [(name, payload["target_id"]) for name, payload in events] == [("DELIVERY_MODE_FALLBACK", BOB)]
                assert len(it.bob.requests) == contacts + 1
            else:
                assert len(it.bob.requests) == contacts
                assert events == []
            if fault == "hush":
                error = "delivery-mode lookup failed; refusing to dispatch to avoid silent misrouting"
                assert (status, answer) == (503, {"error": error})

    in_virtual_time(database, play())


def test_a_redirect_is_not_followed(database: Database) -> None:
    async def play() -> None:
        elsewhere = Agent([says("no")])
        await elsewhere.start()

        async def redirect(writer: asyncio.StreamWriter) -> None:
            head = f"HTTP/1.1 307 Moved\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n"
            writer.write(head.encode())
            await writer.drain()

        async with world(database, redirect) as it:
            assert (await send(it))[0] == 307
            assert elsewhere.requests == []
        elsewhere.stop()

    in_virtual_time(database, play())
