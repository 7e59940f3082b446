"""/workspaces/:id/mcp: the JSON-RPC that clients see, and the rows and events that each tool leaves."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import reference_impl.executor
from reference_impl.mcp.tools import ToolError
from tests.contract.world import (
    ANN,
    BOB,
    NOBODY,
    POLLY,
    Behaviour,
    World,
    after,
    answers,
    closes,
    resets,
    says,
    world,
)

Database = tuple[str, str]
RPC_ERROR = answers(b'{"jsonrpc":"2.0","id":"1","error":{"code":-32603,"message":"no tokens left"}}')
RESTARTING = answers(b'{"error":"restarting","restarting":true}', status="503 Busy")
COMPLETED = [
    ("delegation", "delegate", "completed"),
    ("delegation", "delegate_result", "completed"),
    ("a2a_receive", "delegate_result", "ok"),
]
FAILED = [
    ("delegation", "delegate", "failed"),
    ("delegation", "delegate_result", "failed"),
    ("a2a_receive", "delegate_result", "error"),
]


async def rpc(it: World, method: str, params: Any = None, *, caller: str = ANN) -> Any:
    """The JSON-RPC answer to a request, which is always HTTP 200."""
    message = {"jsonrpc": "2.0", "id": 7, "method": method, **({} if params is None else {"params": params})}
    status, body = await it.post(f"/workspaces/{caller}/mcp", message)
    assert (status, body["jsonrpc"], body["id"]) == (200, "2.0", 7)
    return body


async def use(it: World, tool: str, *, caller: str = ANN, **arguments: Any) -> str:
    """The text that a tool answers with. Raises `ToolError` for -32000."""
    body = await rpc(it, "tools/call", {"name": tool, "arguments": arguments}, caller=caller)
    if "error" in body:
        assert body["error"]["code"] == -32000, body
        raise ToolError(body["error"]["message"])
    (part,) = body["result"]["content"]
    assert part["type"] == "text"
    return str(part["text"])


async def check(it: World, task_id: str, *, target: str = BOB, caller: str = ANN) -> Any:
    return json.loads(await use(it, "check_task_status", caller=caller, workspace_id=target, task_id=task_id))


async def detail(it: World, delegation_id: str) -> str:
    """The error detail that all rows of the delegation agree on."""
    rows = await it.rows.fetch(
        "SELECT error_detail FROM activity_logs WHERE delegation_id = $1 "
        "UNION SELECT error_detail FROM delegations WHERE delegation_id = $1",
        delegation_id,
    )
    (found,) = {row["error_detail"] for row in rows}
    return str(found)


# --- JSON-RPC ----------------------------------------------------------------------------------------------------


def test_the_handshake(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            assert (await rpc(it, "initialize", {"protocolVersion": "2025-11-25"}))["result"] == {
                "protocolVersion": "2024-11-05",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "molecule-a2a", "version": "1.0.0"},
            }
            notification = {"jsonrpc": "2.0", "method": "notifications/initialized"}
            assert await it.post(f"/workspaces/{ANN}/mcp", notification) == (202, None)
            assert (await rpc(it, "ping"))["result"] == {}

    asyncio.run(play())


def test_every_tool_says_what_it_needs(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            tools = (await rpc(it, "tools/list"))["result"]["tools"]
            assert {tool["name"]: tool["inputSchema"]["required"] for tool in tools} == {
                "list_peers": [],
                "delegate_task": ["workspace_id", "task"],
                "delegate_task_async": ["workspace_id", "task"],
                "check_task_status": ["workspace_id", "task_id"],
            }
            for tool in tools:
                assert tool["description"]
                assert {*tool["inputSchema"]["properties"]} == {*tool["inputSchema"]["required"]}

    asyncio.run(play())


@pytest.mark.parametrize(
    ("message", "status", "code", "identity"),
    [
        (b"", 400, -32700, None),
        (b"{", 400, -32700, None),
        (b"[]", 400, -32700, None),
        (b"\xff", 400, -32700, None),
        (b'{"id":NaN}', 400, -32700, None),
        (b"[" * 2000, 400, -32700, None),
        ({}, 200, -32600, None),
        ({"id": 1, "method": "ping"}, 200, -32600, 1),
        ({"jsonrpc": "2.0", "id": 1}, 200, -32600, 1),
        ({"jsonrpc": "2.0", "id": 1, "method": 5}, 200, -32600, 1),
        ({"jsonrpc": "2.0", "id": {}, "method": "ping"}, 200, -32600, None),
        ({"jsonrpc": "2.0", "id": True, "method": "ping"}, 200, -32600, None),
        ({"jsonrpc": "2.0", "id": "x", "result": {}}, 200, -32600, "x"),
        ({"jsonrpc": "2.0", "id": 1, "method": "resources/list"}, 200, -32601, 1),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/call\x00"}, 200, -32601, 1),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/call"}, 200, -32602, 1),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": []}, 200, -32602, 1),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": 3}}, 200, -32602, 1),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "sudo"}}, 200, -32602, 1),
        (
            {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_peers", "arguments": []}},
            200,
            -32602,
            1,
        ),
    ],
)
def test_a_bad_message_is_refused(database: Database, message: Any, status: int, code: int, identity: Any) -> None:
    async def play() -> None:
        async with world(database) as it:
            answered, body = await it.post(f"/workspaces/{ANN}/mcp", message)
            assert (answered, body["error"]["code"], body["id"]) == (status, code, identity)
            assert body["error"]["message"]
            assert await it.rows.fetchval("SELECT count(*) FROM activity_logs") == 0

    asyncio.run(play())


def test_too_large_a_message_and_other_methods_are_http_errors(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            assert (await it.post(f"/workspaces/{ANN}/mcp", b" " * 1_048_577))[0] == 413
            assert (await it.get(f"/workspaces/{ANN}/mcp"))[0] == 405
            assert (await it.post("/workspaces/nonsense/mcp", {}))[0] == 404

    asyncio.run(play())


def test_the_bridge_needs_the_token_of_its_workspace(database: Database) -> None:
    async def play() -> None:
        async with world(database, environment="production", admin_token="secret") as it:
            ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
            assert (await it.post(f"/workspaces/{ANN}/mcp", ping))[0] == 401
            assert (await it.post(f"/workspaces/{ANN}/mcp", ping, Authorization="Bearer guess"))[0] == 401
            assert (await it.post(f"/workspaces/{ANN}/mcp", ping, Authorization="Bearer secret"))[0] == 200
            assert (await it.get(f"/workspaces/{ANN}/mcp/stream"))[0] == 401

    asyncio.run(play())


def test_the_stream_names_the_endpoint_pings_and_ends_with_the_broker(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reference_impl.http.mcp._PING_S", 0.05)

    async def play() -> None:
        async with world(database, grace_s=5.0) as it, it.http.get(f"{it.base}/workspaces/{ANN}/mcp/stream") as stream:
            assert stream.headers["Content-Type"] == "text/event-stream"
            expected = f"event: endpoint\ndata: /workspaces/{ANN}/mcp\n\n: ping\n\n: ping\n\n".encode()
            assert await stream.content.readexactly(len(expected)) == expected
            async with asyncio.timeout(2):
                await it.broker.stop()
                await stream.content.read()

    asyncio.run(play())


# --- list_peers --------------------------------------------------------------------------------------------------


def test_peers_are_siblings_children_and_the_parent(database: Database) -> None:
    child, nephew, gone = (NOBODY[:-2] + suffix for suffix in ("c1", "c2", "c3"))

    async def play() -> None:
        async with world(database) as it:
            await it.rows.executemany(
                "INSERT INTO workspaces (id, name, role, status, tier, parent_id) VALUES ($1, $2, $3, $4, 2, $5)",
                [
                    (child, "child", "writer", "online", ANN),
                    (nephew, "nephew", None, "paused", BOB),
                    (gone, "gone", None, "removed", ANN),
                ],
            )
            text = await use(it, "list_peers")
            assert text == json.dumps(json.loads(text), indent=2)
            assert [peer["name"] for peer in json.loads(text)] == ["bob", "child", "polly"]
            assert json.loads(text)[1] == {
                "id": child, "name": "child", "role": "writer", "status": "online", "tier": 2
            }  # fmt: skip
            assert [peer["name"] for peer in json.loads(await use(it, "list_peers", caller=child))] == ["ann"]
            assert await use(it, "list_peers", caller=NOBODY) == "No peers found."

    asyncio.run(play())


# --- delegate_task_async and check_task_status -------------------------------------------------------------------


def test_an_asynchronous_task_is_queued_then_delivered(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(0.3, says("done"))) as it:
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
            inbox = await it.one("SELECT * FROM activity_logs WHERE delegation_id = $1 AND activity_type <> 'delegation'", d)  # noqa: E501  # fmt: skip
            assert json.loads(inbox["response_body"]) == {"text": "done", "delegation_id": d}
            ledger = await it.one("SELECT * FROM delegations")
            assert (ledger["status"], ledger["result_preview"]) == ("completed", "done")
            (request,) = it.bob.requests
            assert request["jsonrpc"] == "2.0"
            assert request["params"]["message"]["parts"] == [{"kind": "text", "text": "write the tests"}]
            # A reply that comes out of a queue later finds its delegation by these (D28).
            assert request["params"]["message"]["messageId"] == d
            assert request["params"]["message"]["metadata"] == {"delegation_id": d}

    asyncio.run(play())


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
        async with world(database, behaviour, retry_delay_s=8.0) as it:
            d = json.loads(await use(it, "delegate_task_async", workspace_id=BOB, task="t"))["task_id"]
            assert await it.settled(d) == "failed"
            assert await check(it, d) == {"task_id": d, "target_id": BOB, "status": "failed", "error": error}
            assert await detail(it, d) == error
            assert await it.kinds(d) == FAILED
            assert [name for name, _ in await it.events(d)][-1] == "DELEGATION_FAILED"
            assert len(it.bob.requests) == 1

    asyncio.run(play())


def test_an_offline_target_is_reported_at_once(database: Database) -> None:
    """The retry would come after the budget's end, so nobody waits for it."""

    async def play() -> None:
        async with world(database, retry_delay_s=8.0) as it:
            it.bob.stop()
            d = json.loads(await use(it, "delegate_task_async", workspace_id=BOB, task="t"))["task_id"]
            assert await it.settled(d, within_s=2) == "failed"
            assert await detail(it, d) == "target_offline: failed to reach workspace agent"
            assert await it.kinds(d) == FAILED

    asyncio.run(play())


def test_what_was_not_delivered_is_retried_within_the_budget(database: Database) -> None:
    async def play() -> None:
        async with world(database, RESTARTING, says("second")) as it:
            d = json.loads(await use(it, "delegate_task_async", workspace_id=BOB, task="t"))["task_id"]
            await it.settled(d)
            assert (await check(it, d))["result"] == "second"
            assert len(it.bob.requests) == 2

    asyncio.run(play())


def test_an_asynchronous_task_ends_with_its_budget(database: Database) -> None:
    """D8: the last word is not written under the budget that has just run out."""

    async def play() -> None:
        async with world(database, after(9, says("late")), mcp_async_budget_s=0.3) as it:
            d = json.loads(await use(it, "delegate_task_async", workspace_id=BOB, task="t"))["task_id"]
            assert await it.settled(d, within_s=2) == "failed"
            assert await detail(it, d) == "execution budget exhausted"
            assert await it.kinds(d) == FAILED

    asyncio.run(play())


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

    asyncio.run(play())


@pytest.mark.parametrize("target", [BOB, POLLY])
def test_a_queued_answer_stays_queued_until_somebody_reports(database: Database, target: str) -> None:
    async def play() -> None:
        async with world(database, answers(b'{"queued":true}', status="202 Accepted")) as it:
            d = json.loads(await use(it, "delegate_task_async", workspace_id=target, task="t"))["task_id"]
            await it.settled(d, "queued")
            assert await check(it, d, target=target) == {"task_id": d, "target_id": target, "status": "queued"}
            assert await it.kinds(d) == [("delegation", "delegate", "queued"), ("delegation", "delegate_result", "queued")]  # noqa: E501  # fmt: skip
            assert len(it.bob.requests) == (target == BOB)
            report = {"status": "completed", "response_preview": "at last"}
            assert (await it.post(f"/workspaces/{target}/delegations/{d}/update", report))[0] == 200
            found = await check(it, d, target=target)
            assert (found["status"], found["result"]) == ("delivered", "at last")
            assert await it.kinds(d) == COMPLETED

    asyncio.run(play())


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

    asyncio.run(play())


def test_a_delegation_of_another_way_in_is_shown_as_it_is(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            _, body = await it.delegate()
            await it.settled(body["delegation_id"])
            assert (await check(it, body["delegation_id"]))["status"] == "completed"

    asyncio.run(play())


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

    asyncio.run(play())


# --- delegate_task -----------------------------------------------------------------------------------------------


def test_a_synchronous_task_is_answered_with_its_text(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(0.1, says("all 7 tests pass"))) as it:
            assert await use(it, "delegate_task", workspace_id=BOB, task="t") == "all 7 tests pass"
            d = await it.rows.fetchval("SELECT delegation_id FROM delegations")
            assert await it.kinds(d) == COMPLETED
            assert (await check(it, d))["status"] == "completed"

    asyncio.run(play())


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (answers(b'{"error":"no"}', status="500 Oops"), "http_status: 500"),
        (answers(b"", status="200 OK"), "target_offline: agent returned empty response body"),
        (RPC_ERROR, "no tokens left"),
        (after(9, says("late")), "execution budget exhausted"),
    ],
)
def test_a_synchronous_task_fails_with_its_reason(database: Database, behaviour: Behaviour, error: str) -> None:
    async def play() -> None:
        async with world(database, behaviour, mcp_sync_budget_s=0.4) as it:
            with pytest.raises(ToolError) as refusal:
                await use(it, "delegate_task", workspace_id=BOB, task="t")
            assert str(refusal.value) == error
            d = await it.rows.fetchval("SELECT delegation_id FROM delegations")
            assert await it.kinds(d) == FAILED

    asyncio.run(play())


def test_a_synchronous_task_for_a_poller_is_answered_as_queued(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            task = json.loads(await use(it, "delegate_task", workspace_id=POLLY, task="t"))
            assert (task["status"], task["target_id"]) == ("queued", POLLY)
            assert await it.status(task["task_id"]) == "queued"
            assert it.bob.requests == []

    asyncio.run(play())


def test_a_client_that_leaves_a_synchronous_task_finds_the_result_in_its_inbox(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(0.3, says("done"))) as it:
            asking = asyncio.create_task(use(it, "delegate_task", workspace_id=BOB, task="t"))
            await it.bob.contacted.wait()
            asking.cancel()
            await asyncio.wait([asking])
            d = await it.rows.fetchval("SELECT delegation_id FROM delegations")
            assert await it.settled(d) == "completed"
            assert await it.kinds(d) == COMPLETED
            assert len(it.bob.requests) == 1

    asyncio.run(play())


# --- both --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["delegate_task", "delegate_task_async"])
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, "workspace_id is required"),
        ({"task": "t"}, "workspace_id is required"),
        ({"workspace_id": "", "task": "t"}, "workspace_id is required"),
        ({"workspace_id": 5, "task": "t"}, "workspace_id is required"),
        ({"workspace_id": BOB}, "task is required"),
        ({"workspace_id": BOB, "task": ["t"]}, "task is required"),
        ({"workspace_id": ANN, "task": "t"}, "self-delegation not permitted"),
        ({"workspace_id": NOBODY, "task": "t"}, f"workspace {ANN} is not authorised to communicate with {NOBODY}"),
        ({"workspace_id": "bob", "task": "t"}, f"workspace {ANN} is not authorised to communicate with bob"),
        ({"workspace_id": BOB + "\x00", "task": "t"}, f"workspace {ANN} is not authorised to communicate with {BOB}�"),
    ],
)
def test_what_is_refused_leaves_nothing(database: Database, tool: str, arguments: Any, error: str) -> None:
    async def play() -> None:
        async with world(database) as it:
            with pytest.raises(ToolError) as refusal:
                await use(it, tool, **arguments)
            assert str(refusal.value) == error
            assert await it.rows.fetchval("SELECT count(*) FROM activity_logs") == 0
            assert await it.rows.fetchval("SELECT count(*) FROM structure_events") == 0
            assert it.bob.requests == []

    asyncio.run(play())


def test_check_task_status_needs_both_arguments(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            for arguments, error in [({"task_id": "x"}, "workspace_id is required"), ({"workspace_id": BOB}, "task_id is required")]:  # noqa: E501  # fmt: skip
                with pytest.raises(ToolError, match=error):
                    await use(it, "check_task_status", **arguments)

    asyncio.run(play())


def test_the_hierarchy_decides_and_the_arguments_cannot_change_the_caller(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await it.rows.execute("UPDATE workspaces SET parent_id = $1 WHERE id = $2", BOB, POLLY)
            with pytest.raises(ToolError, match=f"workspace {ANN} is not authorised to communicate with {POLLY}"):
                await use(it, "delegate_task_async", workspace_id=POLLY, task="t", caller_id=BOB, source_id=BOB)
            assert json.loads(await use(it, "delegate_task_async", caller=BOB, workspace_id=POLLY, task="t"))

    asyncio.run(play())


def test_the_gates_of_the_proxy_hold_for_tools(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await it.rows.execute("UPDATE workspaces SET budget_limit = 0 WHERE id = $1", BOB)
            with pytest.raises(ToolError, match="target_offline: workspace budget limit exceeded"):
                await use(it, "delegate_task", workspace_id=BOB, task="t")
            assert it.bob.requests == []

    asyncio.run(play())


def test_text_that_cannot_be_stored_is_replaced(database: Database) -> None:
    async def play() -> None:
        async with world(database, says("a\x00b")) as it:
            assert await use(it, "delegate_task", workspace_id=BOB, task="nul \x00 and \ud800") == "a�b"
            assert it.bob.requests[0]["params"]["message"]["parts"][0]["text"] == "nul � and �"

    asyncio.run(play())


def test_a_database_that_is_away_is_a_tool_error(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            it.wire.refusing = True
            it.wire.break_all()
            for tool in ("list_peers", "delegate_task", "delegate_task_async", "check_task_status"):
                with pytest.raises(ToolError, match="platform datastore unavailable"):
                    await use(it, tool, workspace_id=BOB, task="t", task_id="x")
            assert it.bob.requests == []

    asyncio.run(play())


def test_a_task_that_cannot_be_stored_is_executed_all_the_same(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await it.rows.execute(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                "IF NEW.status = 'pending' THEN RAISE 'no'; END IF; RETURN NEW; END $$; "
                "CREATE TRIGGER refuse BEFORE INSERT ON activity_logs FOR EACH ROW EXECUTE FUNCTION refuse()"
            )
            try:
                task = json.loads(await use(it, "delegate_task_async", workspace_id=BOB, task="t"))
                assert task["status"] == "queued"
                assert await it.settled(task["task_id"]) == "completed"
                assert await it.kinds(task["task_id"]) == COMPLETED
            finally:
                await it.rows.execute("DROP TRIGGER refuse ON activity_logs; DROP FUNCTION refuse()")

    asyncio.run(play())
