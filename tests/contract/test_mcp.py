"""/workspaces/:id/mcp: the JSON-RPC that clients see, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reference_impl.mcp.tools import ToolError
from tests.contract.agents import says
from tests.contract.database import Database
from tests.contract.mcp_client import COMPLETED, rpc, use
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, NOBODY, POLLY, world

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

    in_virtual_time(database, play())


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

    in_virtual_time(database, play())


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

    in_virtual_time(database, play())


def test_too_large_a_message_and_other_methods_are_http_errors(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            assert (await it.post(f"/workspaces/{ANN}/mcp", b" " * 1_048_577))[0] == 413
            assert (await it.get(f"/workspaces/{ANN}/mcp"))[0] == 405
            assert (await it.post("/workspaces/nonsense/mcp", {}))[0] == 404

    in_virtual_time(database, play())


def test_the_bridge_needs_the_token_of_its_workspace(database: Database) -> None:
    async def play() -> None:
        async with world(database, environment="production", admin_token="secret") as it:
            ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
            assert (await it.post(f"/workspaces/{ANN}/mcp", ping))[0] == 401
            assert (await it.post(f"/workspaces/{ANN}/mcp", ping, Authorization="Bearer guess"))[0] == 401
            assert (await it.post(f"/workspaces/{ANN}/mcp", ping, Authorization="Bearer secret"))[0] == 200
            assert (await it.get(f"/workspaces/{ANN}/mcp/stream"))[0] == 401

    in_virtual_time(database, play())


def test_the_stream_names_the_endpoint_pings_and_ends_with_the_broker(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it, it.http.get(f"{it.base}/workspaces/{ANN}/mcp/stream") as stream:
            assert stream.headers["Content-Type"] == "text/event-stream"
            expected = f"event: endpoint\ndata: /workspaces/{ANN}/mcp\n\n: ping\n\n: ping\n\n".encode()
            with it.takes(60):
                assert await stream.content.readexactly(len(expected)) == expected
            with it.takes(0):
                await it.broker.stop()
                await stream.content.read()

    in_virtual_time(database, play())


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

    in_virtual_time(database, play())


# --- both tools that delegate -------------------------------------------------------------------------------------


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

    in_virtual_time(database, play())


def test_check_task_status_needs_both_arguments(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            with pytest.raises(ToolError, match="workspace_id is required"):
                await use(it, "check_task_status", task_id="x")
            with pytest.raises(ToolError, match="task_id is required"):
                await use(it, "check_task_status", workspace_id=BOB)

    in_virtual_time(database, play())


def test_the_hierarchy_decides_and_the_arguments_cannot_change_the_caller(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await it.rows.execute("UPDATE workspaces SET parent_id = $1 WHERE id = $2", BOB, POLLY)
            with pytest.raises(ToolError, match=f"workspace {ANN} is not authorised to communicate with {POLLY}"):
                await use(it, "delegate_task_async", workspace_id=POLLY, task="t", caller_id=BOB, source_id=BOB)
            assert json.loads(await use(it, "delegate_task_async", caller=BOB, workspace_id=POLLY, task="t"))

    in_virtual_time(database, play())


def test_the_gates_of_the_proxy_hold_for_tools(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await it.rows.execute("UPDATE workspaces SET budget_limit = 0 WHERE id = $1", BOB)
            with pytest.raises(ToolError, match="target_offline: workspace budget limit exceeded"):
                await use(it, "delegate_task", workspace_id=BOB, task="t")
            assert it.bob.requests == []

    in_virtual_time(database, play())


def test_text_that_cannot_be_stored_is_replaced(database: Database) -> None:
    async def play() -> None:
        async with world(database, says("a\x00b")) as it:
            assert await use(it, "delegate_task", workspace_id=BOB, task="nul \x00 and \ud800") == "a�b"
            assert it.bob.requests[0]["params"]["message"]["parts"][0]["text"] == "nul � and �"

    in_virtual_time(database, play())


def test_a_database_that_is_away_is_a_tool_error(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            it.wire.refusing = True
            it.wire.break_all()
            for tool in ("list_peers", "delegate_task", "delegate_task_async", "check_task_status"):
                with pytest.raises(ToolError, match="platform datastore unavailable"):
                    await use(it, tool, workspace_id=BOB, task="t", task_id="x")
            assert it.bob.requests == []

    in_virtual_time(database, play())


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

    in_virtual_time(database, play())
