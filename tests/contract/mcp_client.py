"""Calling the broker's MCP tools as a client does, and what their tasks leave behind."""

from __future__ import annotations

import json
from typing import Any

from reference_impl.mcp.tools import ToolError
from tests.contract.world import ANN, BOB, World

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
