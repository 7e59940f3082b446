"""Who writes which rows, in full and in order: the tables of delegation rows, of a message's rows, and of events.

One story for each way that a delegation or a message can go. A story's rows are compared column by column, so a row too
many, or one in the wrong place, fails as well.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import Any

import pytest

from tests.contract.agents import Behaviour, a2a_text, after, answers, resets, says
from tests.contract.database import Database
from tests.contract.queue_steps import beat, held, waiting
from tests.contract.rows import NAMES, Row, completed, delegate, failed, inbox, message, queued, rows_of
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, POLLY, World, world

LOST = "delivery_unknown: connection lost before a reply"
REPLY = json.loads(a2a_text("done"))


def told(d: str, *events: tuple[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """The events of the delegation to Bob."""
    return [(name, {"delegation_id": d, **payload}) for name, payload in events]


TO_BOB = {"target_id": BOB}
SENT = ("DELEGATION_SENT", {**TO_BOB, "task_preview": "write the tests"})
DISPATCHED = ("DELEGATION_STATUS", {**TO_BOB, "status": "dispatched"})
QUEUED = ("DELEGATION_STATUS", {**TO_BOB, "status": "queued"})


@pytest.mark.parametrize("key", [None, "k"])
def test_a_delegation_while_it_is_executed_and_when_it_is_completed(database: Database, key: str | None) -> None:
    async def play() -> None:
        async with world(database, after(5, says("done"))) as it:
            d = (await it.delegate(**({"idempotency_key": key} if key else {})))[1]["delegation_id"]
            await it.settled(d, "dispatched")
            await it.bob.contacted.wait()
            assert await rows_of(it) == [
                delegate(d, "dispatched", key=key),
                message(d, "message/send → bob (ingest)"),
            ]
            assert await it.events(d) == told(d, SENT, DISPATCHED)
            await it.settled(d)
            assert await rows_of(it) == [
                delegate(d, "completed", key=key),
                message(d, "message/send → bob", response=REPLY),
                completed(d, "done"),
                inbox(d, text="done"),
            ]
            ended = ("DELEGATION_COMPLETE", {**TO_BOB, "response_preview": "done"})
            assert await it.events(d) == told(d, SENT, DISPATCHED, ended)
            at = {
                row[0]
                for row in await it.rows.fetch("SELECT created_at FROM activity_logs WHERE method = 'delegate_result'")
            }
            ledger = await it.one("SELECT *, created_at AS began FROM delegations")
            assert at == {ledger["updated_at"]}  # one transaction, one instant
            assert (ledger["deadline"] - ledger["began"]).total_seconds() == 6 * 3600
            assert (ledger["retry_count"], ledger["last_heartbeat"], ledger["idempotency_key"]) == (0, None, key)

    in_virtual_time(database, play())


@pytest.mark.parametrize(
    ("behaviour", "error", "summary", "response"),
    [
        (answers(b'{"error":"oops"}', status="500 X"), "oops", "message/send → bob", {"error": "oops"}),
        (answers(b"no JSON", status="403 X"), "Forbidden", "message/send → bob", "no JSON"),
        (resets, LOST, f"A2A request to bob failed: {LOST}", None),
    ],
)
def test_a_delegation_that_fails(
    database: Database, behaviour: Behaviour, error: str, summary: str, response: Any
) -> None:
    async def play() -> None:
        async with world(database, behaviour) as it:
            d = (await it.delegate())[1]["delegation_id"]
            await it.settled(d)
            assert await rows_of(it) == [
                delegate(d, "failed", error=error),
                message(d, summary, response=response, error=error),
                failed(d, error),
                inbox(d, error=error),
            ]
            assert await it.events(d) == told(d, SENT, DISPATCHED, ("DELEGATION_FAILED", {**TO_BOB, "error": error}))
            ledger = await it.one("SELECT status, error_detail, result_preview FROM delegations")
            assert tuple(ledger) == ("failed", error, None)

    in_virtual_time(database, play())


def test_a_delegation_that_a_gate_refuses_leaves_no_row_at_its_target(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await it.rows.execute("UPDATE workspaces SET budget_limit = 0 WHERE id = $1", BOB)
            d = (await it.delegate())[1]["delegation_id"]
            await it.settled(d)
            error = "workspace budget limit exceeded"
            assert await rows_of(it) == [delegate(d, "failed", error=error), failed(d, error), inbox(d, error=error)]
            assert await it.events(d) == told(d, SENT, ("DELEGATION_FAILED", {**TO_BOB, "error": error}))

    in_virtual_time(database, play())


def test_a_delegation_that_waits_for_a_busy_target_and_is_drained(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await beat(it, active_tasks=1)
            d = await waiting(it)
            # The message is at its target only when it is sent.
            assert await rows_of(it) == [
                delegate(d, "queued"),
                queued(d, "Delegation queued — target at capacity"),
            ]
            assert await it.events(d) == told(d, SENT, QUEUED)
            assert await it.rows.fetchval("SELECT status FROM delegations") == "queued"
            await beat(it)
            await it.settled(d)
            assert await rows_of(it) == [
                delegate(d, "completed"),
                completed(d, "done"),  # where the placeholder was (A9)
                message(d, "message/send → bob", response=REPLY),
                inbox(d, text="done"),
            ]
            ended = ("DELEGATION_COMPLETE", {**TO_BOB, "response_preview": "done", "via": "queue_drain"})
            assert await it.events(d) == told(d, SENT, QUEUED, ended)

    in_virtual_time(database, play())


@pytest.mark.parametrize("report", [{"status": "completed", "response_preview": "polled"},
                                    {"status": "failed", "error": "gave up"}])  # fmt: skip
def test_a_delegation_to_a_poller_waits_for_a_report(database: Database, report: dict[str, str]) -> None:
    async def play() -> None:
        async with world(database) as it:
            d = (await it.delegate(target=POLLY))[1]["delegation_id"]
            await it.settled(d, "queued")
            left = message(d, "message/send → polly (queued for poll)", to="polly")
            assert await rows_of(it) == [
                delegate(d, "queued", to=POLLY),
                left,
                queued(d, "Delegation queued — target polls", to="polly"),
            ]
            await asyncio.sleep(3600)
            assert (await it.post(f"/workspaces/{POLLY}/delegations/{d}/update", report))[0] == 200
            text, error = report.get("response_preview", ""), report.get("error")
            assert await rows_of(it) == [
                delegate(d, report["status"], to=POLLY, error=error),
                left,
                failed(d, error, to="polly") if error else completed(d, text, to="polly"),
                inbox(d, text=text, error=error),
            ]

    in_virtual_time(database, play())


@pytest.mark.parametrize("report", [{"status": "completed", "response_preview": "green"},
                                    {"status": "failed", "error": "red"}])  # fmt: skip
def test_a_recorded_delegation_and_its_report(database: Database, report: dict[str, str]) -> None:
    async def play() -> None:
        async with world(database) as it:
            order = {"target_id": BOB, "task": "write the tests", "delegation_id": "d-1"}
            assert (await it.post(f"/workspaces/{ANN}/delegations/record", order))[0] == 202
            assert await rows_of(it) == [delegate("d-1", "dispatched")]
            assert await it.events("d-1") == told("d-1", SENT)
            assert (await it.post(f"/workspaces/{BOB}/delegations/d-1/update", report))[0] == 200
            text, error = report.get("response_preview", ""), report.get("error")
            assert await rows_of(it) == [
                delegate("d-1", report["status"], error=error),
                failed("d-1", error, to=None) if error else completed("d-1", text, to=None),
                inbox("d-1", text=text, error=error),
            ]
            # A report does not say again who the target is.
            ended = ("DELEGATION_FAILED", {"error": error}) if error else (
                "DELEGATION_COMPLETE", {"response_preview": text}
            )  # fmt: skip
            assert await it.events("d-1") == told("d-1", SENT, ended)

    in_virtual_time(database, play())


@pytest.mark.parametrize("tool", ["delegate_task", "delegate_task_async"])
def test_a_task_of_a_tool(database: Database, tool: str) -> None:
    async def play() -> None:
        async with world(database) as it:
            arguments = {"workspace_id": BOB, "task": "write the tests"}
            call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
            await it.post(f"/workspaces/{ANN}/mcp", call)
            await asyncio.sleep(60)
            d = await it.rows.fetchval("SELECT delegation_id FROM delegations")
            assert await rows_of(it) == [
                delegate(d, "completed", request={"tool": tool}),
                message(d, "message/send → bob", response=REPLY),
                completed(d, "done"),
                inbox(d, text="done"),
            ]

    in_virtual_time(database, play())


async def to_a_poller(it: World) -> str:
    await it.post(f"/workspaces/{POLLY}/a2a", {"method": "message/send", "params": {"message": {"messageId": "m1"}}})
    return "message/send → polly (queued for poll)"


async def to_a_busy_target(it: World) -> str:
    await beat(it, active_tasks=1)
    await held(it, caller=None)
    return "message/send → bob (queued: target busy)"


async def to_an_agent_that_works(it: World) -> str:
    asking = asyncio.create_task(it.post(f"/workspaces/{BOB}/a2a", {"method": "message/send", "params": {
        "message": {"messageId": "m1"}}}))  # fmt: skip
    await it.bob.contacted.wait()
    asking.cancel()
    return "message/send → bob (ingest)"


@pytest.mark.parametrize("send", [to_a_poller, to_a_busy_target, to_an_agent_that_works])
def test_a_message_without_an_answer_yet(database: Database, send: Callable[[World], Awaitable[str]]) -> None:
    async def play() -> None:
        async with world(database, after(3600, says("late"))) as it:
            summary = await send(it)
            to = "polly" if "polly" in summary else "bob"
            assert await rows_of(it) == [message("m1", summary, source=None, to=to)]
            assert await it.rows.fetchval("SELECT duration_ms FROM activity_logs") is None

    in_virtual_time(database, play())


@pytest.mark.parametrize("caller", [ANN, None])
@pytest.mark.parametrize(
    ("behaviour", "summary", "response", "error"),
    [
        (says("done"), "message/send → bob", REPLY, None),
        (answers(b"{}", status="404 X"), "message/send → bob", {}, "Not Found"),
        (answers(b""), "message/send → bob", "", "agent returned empty response body"),
        (resets, f"A2A request to bob failed: {LOST}", None, LOST),
    ],
)
def test_a_message_and_its_answer(
    database: Database, caller: str | None, behaviour: Behaviour, summary: str, response: Any, error: str | None
) -> None:
    async def play() -> None:
        async with world(database, after(2, behaviour)) as it:
            body = {"method": "message/send", "params": {"message": {"messageId": "m1"}}}
            await it.post(f"/workspaces/{BOB}/a2a", body, **({"X_Workspace_ID": caller} if caller else {}))
            source = NAMES[caller] if caller else None
            assert await rows_of(it) == [message("m1", summary, source=source, response=response, error=error)]
            assert await it.rows.fetchval("SELECT duration_ms FROM activity_logs") in range(2000, 2050)
            last = await it.rows.fetchval("SELECT last_outbound_at FROM workspaces WHERE id = $1", ANN)
            assert (last is not None) == (caller is not None and error is None)
            assert await it.rows.fetchval("SELECT count(*) FROM structure_events") == 0  # told to watchers only

    in_virtual_time(database, play())


def test_every_column_that_says_something_is_compared(database: Database) -> None:
    """Else a new one would be left out of these tables unseen."""
    elsewhere = {"id", "created_at", "seq", "message_id", "delegation_id", "duration_ms", "tool_trace", "recorded"}

    async def play() -> None:
        async with world(database) as it:
            await it.delegate()
            columns = set((await it.rows.fetch("SELECT * FROM activity_logs"))[0].keys())
            assert len(columns - elsewhere) == len(fields(Row)) + 2  # `whose` are three

    in_virtual_time(database, play())
