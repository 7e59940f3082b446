"""The tasks of MCP tools: what the language model is told of them, and the rows and events that they leave."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import reference_impl.executor
from reference_impl.mcp.tools import ToolError
from tests.contract.agents import Behaviour, after, answers, closes, resets, says
from tests.contract.database import Database
from tests.contract.mcp_client import COMPLETED, FAILED, check, detail, use
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, NOBODY, POLLY, exactly, world

RPC_ERROR = answers(b'{"jsonrpc":"2.0","id":"1","error":{"code":-32603,"message":"no tokens left"}}')
RESTARTING = answers(b'{"error":"restarting","restarting":true}', status="503 Busy")


# --- delegate_task_async and check_task_status -------------------------------------------------------------------


def test_an_asynchronous_task_is_queued_then_delivered(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(5, says("done"))) as it:
            text = await use(it, "delegate_task_async", workspace_id=BOB.upper(), task="write the tests")
            task = json.loads(text)
            d = task["task_id"]
            assert text == f'{{"task_id":"{d}","status":"queued","target_id":"{BOB}"}}'
            await it.bob.contacted.wait()
            assert await check(it, d) == {"task_id": d, "target_id": BOB, "status": "queued"}
            await it.settled(d)
            assert await check(it, d) == {"task_id": d, "target_id": BOB, "status": "delivered", "result": "done"}
            assert await it.kinds(d) == COMPLETED
            assert [(name, payload.get("status")) for name, payload in await it.events(d)] == [
                ("DELEGATION_SENT", None),
                ("DELEGATION_STATUS", "dispatched"),
                ("DELEGATION_COMPLETE", None),
            ]
            row = await it.one("SELECT * FROM activity_logs WHERE delegation_id = $1 AND method = 'delegate'", d)
            assert (str(row["workspace_id"]), str(row["source_id"]), str(row["target_id"])) == (ANN, ANN, BOB)
            assert row["summary"] == f"Delegating to {BOB}"
            assert json.loads(row["request_body"]) == {
                "task": "write the tests", "delegation_id": d, "tool": "delegate_task_async"
            }  # fmt: skip
            inbox = await it.one(
                "SELECT * FROM activity_logs WHERE delegation_id = $1 AND activity_type = 'a2a_receive'", d
            )
            assert json.loads(inbox["response_body"]) == {"text": "done", "delegation_id": d}
            ledger = await it.one("SELECT * FROM delegations")
            assert (ledger["status"], ledger["result_preview"]) == ("completed", "done")
            (request,) = it.bob.requests
            assert request["jsonrpc"] == "2.0"
            assert request["params"]["message"]["parts"] == [{"kind": "text", "text": "write the tests"}]
            # A reply that comes out of a queue later finds its delegation by these (D28).
            assert request["params"]["message"]["messageId"] == d
            assert request["params"]["message"]["metadata"] == {"delegation_id": d}

    in_virtual_time(database, play())


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (answers(b'{"error":"no"}', status="500 Oops"), "http_status: 500"),
        (answers(b"", status="302 Found"), "http_status: 302"),
        (answers(b'{"busy":true}', status="503 Busy"), "http_status: 503"),
        (answers(b"", status="204 No Content"), "target_offline: agent returned empty response body"),
        (RESTARTING, "target_offline: restarting"),
        (RPC_ERROR, "no tokens left"),
        (resets, "delivery_unknown: connection lost before a reply"),
        (closes, "delivery_unknown: connection lost before a reply"),
    ],
)
def test_a_failure_says_of_what_kind_it_is(database: Database, behaviour: Behaviour, error: str) -> None:
    async def play() -> None:
        async with world(database, behaviour) as it:
            d = json.loads(await use(it, "delegate_task_async", workspace_id=BOB, task="t"))["task_id"]
            assert await it.settled(d) == "failed"
            assert await check(it, d) == {"task_id": d, "target_id": BOB, "status": "failed", "error": error}
            assert await detail(it, d) == error
            assert await it.kinds(d) == FAILED
            assert [name for name, _ in await it.events(d)][-1] == "DELEGATION_FAILED"
            assert len(it.bob.requests) == 1

    in_virtual_time(database, play())


def test_an_offline_target_is_reported_at_once(database: Database) -> None:
    """The retry would come after the budget's end, so nobody waits for it."""

    async def play() -> None:
        async with world(database) as it:
            it.bob.stop()
            d = json.loads(await use(it, "delegate_task_async", workspace_id=BOB, task="t"))["task_id"]
            assert await it.settled(d) == "failed"
            assert await it.ended_after_s(d) == exactly(0)
            assert await detail(it, d) == "target_offline: failed to reach workspace agent"
            assert await it.kinds(d) == FAILED

    in_virtual_time(database, play())


def test_what_was_not_delivered_is_retried_within_the_budget(database: Database) -> None:
    async def play() -> None:
        async with world(database, RESTARTING, says("second"), mcp_async_budget_s=30.0) as it:
            d = json.loads(await use(it, "delegate_task_async", workspace_id=BOB, task="t"))["task_id"]
            await it.settled(d)
            assert (await check(it, d))["result"] == "second"
            assert [at_s - it.bob.times[0] for at_s in it.bob.times] == [0, exactly(8)]

    in_virtual_time(database, play())


def test_an_asynchronous_task_ends_with_its_budget(database: Database) -> None:
    """D8: the last word is not written under the budget that has just run out."""

    async def play() -> None:
        async with world(database, after(9, says("late"))) as it:
            d = json.loads(await use(it, "delegate_task_async", workspace_id=BOB, task="t"))["task_id"]
            assert await it.settled(d) == "failed"
            assert await it.ended_after_s(d) == exactly(8)
            assert await detail(it, d) == "execution budget exhausted"
            assert await it.kinds(d) == FAILED

    in_virtual_time(database, play())


def test_a_task_that_cannot_be_put_into_words_is_never_sent(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H4: nothing but the failure is left of it."""

    def unmarshallable(_: Any) -> bytes:
        return "\ud800".encode()

    monkeypatch.setattr(reference_impl.executor, "message_for", unmarshallable)

    async def play() -> None:
        async with world(database) as it:
            d = json.loads(await use(it, "delegate_task_async", workspace_id=BOB, task="t"))["task_id"]
            assert await it.settled(d) == "failed"
            assert (await detail(it, d)).startswith("marshal_error: ")
            assert await it.kinds(d) == FAILED
            assert [name for name, _ in await it.events(d)] == ["DELEGATION_SENT", "DELEGATION_FAILED"]
            assert it.bob.requests == []
            assert await it.rows.fetchval("SELECT count(*) FROM activity_logs WHERE workspace_id = $1", BOB) == 0

    in_virtual_time(database, play())


@pytest.mark.parametrize("target", [BOB, POLLY])
def test_a_queued_answer_stays_queued_until_somebody_reports(database: Database, target: str) -> None:
    async def play() -> None:
        async with world(database, answers(b'{"queued":true}', status="202 Accepted")) as it:
            d = json.loads(await use(it, "delegate_task_async", workspace_id=target, task="t"))["task_id"]
            await it.settled(d, "queued")
            assert await check(it, d, target=target) == {"task_id": d, "target_id": target, "status": "queued"}
            assert await it.kinds(d) == [
                ("delegation", "delegate", "queued"),
                ("delegation", "delegate_result", "queued"),
            ]
            assert len(it.bob.requests) == (target == BOB)
            report = {"status": "completed", "response_preview": "at last"}
            assert (await it.post(f"/workspaces/{target}/delegations/{d}/update", report))[0] == 200
            found = await check(it, d, target=target)
            assert (found["status"], found["result"]) == ("delivered", "at last")
            assert await it.kinds(d) == COMPLETED

    in_virtual_time(database, play())


def test_a_status_is_told_to_the_caller_only_and_for_its_target_only(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            d = json.loads(await use(it, "delegate_task_async", workspace_id=BOB, task="t"))["task_id"]
            await it.settled(d)
            before = await it.rows.fetch("SELECT * FROM activity_logs ORDER BY seq")
            unknown = {"status": "not_found", "note": "task not tracked or not yet dispatched"}
            for caller, target, task_id in [
                (BOB, BOB, d), (POLLY, BOB, d), (ANN, POLLY, d), (ANN, NOBODY, d), (ANN, "nonsense", d),
                (ANN, BOB, NOBODY), (ANN, BOB, d + "\x00"),
            ]:  # fmt: skip
                found = await check(it, task_id, target=target, caller=caller)
                assert found == {"task_id": task_id.replace("\x00", "�"), **unknown}
            assert await it.rows.fetch("SELECT * FROM activity_logs ORDER BY seq") == before

    in_virtual_time(database, play())


def test_a_delegation_of_another_way_in_is_shown_as_it_is(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            _, body = await it.delegate()
            await it.settled(body["delegation_id"])
            assert (await check(it, body["delegation_id"]))["status"] == "completed"

    in_virtual_time(database, play())


def test_what_was_accepted_before_a_restart_is_executed_on_the_same_terms(database: Database) -> None:
    async def play() -> None:
        async with world(database, answers(b"{}", status="500 Oops")) as it:
            d = json.loads(await use(it, "delegate_task_async", workspace_id=BOB, task="t"))["task_id"]
            await it.settled(d)
            await it.broker.stop()
            # As a broker leaves it that ended right after it accepted.
            await it.rows.execute("DELETE FROM activity_logs WHERE method <> 'delegate'")
            await it.rows.execute("UPDATE activity_logs SET status = 'pending', error_detail = NULL")
            await it.rows.execute("DELETE FROM delegations")
            await it.restart()
            await it.settled(d)
            assert (await check(it, d))["error"] == "http_status: 500"

    in_virtual_time(database, play())


# --- delegate_task -----------------------------------------------------------------------------------------------


def test_a_synchronous_task_is_answered_with_its_text(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(29, says("all 7 tests pass"))) as it:
            with it.takes(29):
                assert await use(it, "delegate_task", workspace_id=BOB, task="t") == "all 7 tests pass"
            d = await it.rows.fetchval("SELECT delegation_id FROM delegations")
            assert await it.kinds(d) == COMPLETED
            assert (await check(it, d))["status"] == "completed"

    in_virtual_time(database, play())


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (answers(b'{"error":"no"}', status="500 Oops"), "http_status: 500"),
        (answers(b"", status="200 OK"), "target_offline: agent returned empty response body"),
        (RPC_ERROR, "no tokens left"),
        (after(31, says("late")), "execution budget exhausted"),
    ],
)
def test_a_synchronous_task_fails_with_its_reason(database: Database, behaviour: Behaviour, error: str) -> None:
    async def play() -> None:
        async with world(database, behaviour) as it:
            with it.takes(30 if "budget" in error else 0), pytest.raises(ToolError) as refusal:
                await use(it, "delegate_task", workspace_id=BOB, task="t")
            assert str(refusal.value) == error
            d = await it.rows.fetchval("SELECT delegation_id FROM delegations")
            assert await it.kinds(d) == FAILED

    in_virtual_time(database, play())


def test_a_synchronous_task_for_a_poller_is_answered_as_queued(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            task = json.loads(await use(it, "delegate_task", workspace_id=POLLY, task="t"))
            assert (task["status"], task["target_id"]) == ("queued", POLLY)
            assert await it.status(task["task_id"]) == "queued"
            assert it.bob.requests == []

    in_virtual_time(database, play())


def test_a_client_that_leaves_a_synchronous_task_finds_the_result_in_its_inbox(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(20, says("done"))) as it:
            asking = asyncio.create_task(use(it, "delegate_task", workspace_id=BOB, task="t"))
            await it.bob.contacted.wait()
            asking.cancel()
            await asyncio.wait([asking])
            d = await it.rows.fetchval("SELECT delegation_id FROM delegations")
            assert await it.settled(d) == "completed"
            assert await it.kinds(d) == COMPLETED
            assert len(it.bob.requests) == 1

    in_virtual_time(database, play())
