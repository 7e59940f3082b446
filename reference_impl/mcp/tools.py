"""The four tools. The caller is always the workspace in the path, whatever the arguments say.

A task of a tool is a delegation like any other: the same rows, states, retry and terminal transaction. What
MCP calls its states is a matter of words, which `check_task_status` uses: an asynchronous task is `queued`, then
`delivered` or `failed`, and `delivered` only if the delegation is `completed` (H55).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from reference_impl.acceptance import Accepted
from reference_impl.access import may_communicate
from reference_impl.services import Services
from reference_impl.terms import DELEGATE_TASK, DELEGATE_TASK_ASYNC
from reference_impl.text import dump_json, parse_uuid

Arguments: TypeAlias = Mapping[str, str]

_ASYNC_WORDS = {"pending": "queued", "dispatched": "queued", "completed": "delivered"}

# Siblings, children and the parent; roots are siblings of one another, as in `access.py`.
_PEERS = """
SELECT peer.id, peer.name, COALESCE(peer.role, '') AS role, peer.status, peer.tier
FROM workspaces me JOIN workspaces peer
    ON peer.parent_id IS NOT DISTINCT FROM me.parent_id OR peer.parent_id = me.id OR peer.id = me.parent_id
WHERE me.id = $1 AND peer.id <> me.id AND peer.status <> 'removed'
ORDER BY peer.name, peer.id
"""

_TASK = """
SELECT task.status, task.error_detail, task.request_body ->> 'tool' AS tool,
    result.response_body ->> 'text' AS text
FROM activity_logs task LEFT JOIN activity_logs result
    ON result.delegation_id = task.delegation_id
    AND result.activity_type = 'delegation' AND result.method = 'delegate_result'
WHERE task.delegation_id = $1 AND task.workspace_id = $2 AND task.target_id = $3
    AND task.activity_type = 'delegation' AND task.method = 'delegate'
"""


class ToolError(Exception):
    """The tool could not do its work; the message is for the model that called it."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool whose `arguments` (name: meaning) are all required texts."""

    name: str
    description: str
    arguments: Mapping[str, str]
    run: Callable[[Services, str, Arguments], Awaitable[str]]

    def described(self) -> dict[str, Any]:
        """The tool in the words of `tools/list`."""
        properties = {name: {"type": "string", "description": meaning} for name, meaning in self.arguments.items()}
        schema = {"type": "object", "properties": properties, "required": [*self.arguments]}
        return {"name": self.name, "description": self.description, "inputSchema": schema}

    async def call(self, services: Services, caller: str, arguments: Mapping[str, Any]) -> str:
        """The text that the tool answers with. Raises `ToolError`, and errors of the database."""
        for name in self.arguments:
            if not isinstance(arguments.get(name), str) or not arguments[name]:
                raise ToolError(f"{name} is required")
        return await self.run(services, caller, arguments)


async def _list_peers(services: Services, caller: str, _arguments: Arguments) -> str:
    rows = await services.store.run(lambda connection: connection.fetch(_PEERS, caller))
    peers = [{**row, "id": str(row["id"])} for row in rows]
    return json.dumps(peers, indent=2, ensure_ascii=False) if peers else "No peers found."


async def _delegate_task(services: Services, caller: str, arguments: Arguments) -> str:
    accepted = await _accept(services, caller, arguments, DELEGATE_TASK)
    # The execution ends by itself, in its budget; only writing that down may take long. It is not the caller's to end.
    patience_s = services.config.mcp_sync_budget_s + services.config.database_timeout_s
    await asyncio.wait([accepted.execution], timeout=patience_s)
    # What is stored counts, not what was seen: somebody else may have reported an outcome first.
    task = await _read_task(services, caller, arguments["workspace_id"], accepted.delegation_id)
    if task["status"] == "failed":
        raise ToolError(task["error"])
    return str(task["result"]) if task["status"] == "completed" else dump_json(task)


async def _delegate_task_async(services: Services, caller: str, arguments: Arguments) -> str:
    accepted = await _accept(services, caller, arguments, DELEGATE_TASK_ASYNC)
    target = parse_uuid(arguments["workspace_id"])
    return dump_json({"task_id": accepted.delegation_id, "status": "queued", "target_id": target})


async def _check_task_status(services: Services, caller: str, arguments: Arguments) -> str:
    return dump_json(await _read_task(services, caller, arguments["workspace_id"], arguments["task_id"]))


async def _accept(services: Services, caller: str, arguments: Arguments, tool: str) -> Accepted:
    """Have the task executed. From here on the client may hang up: accepting goes on without it."""
    target = parse_uuid(arguments["workspace_id"])
    if target == caller:
        raise ToolError("self-delegation not permitted")
    if target is None or not await services.store.run(lambda connection: may_communicate(connection, caller, target)):
        raise ToolError(f"workspace {caller} is not authorised to communicate with {arguments['workspace_id']}")
    accepting = services.background.detach(
        services.acceptance.accept(source=caller, target=target, task=arguments["task"], tool=tool), name="accept"
    )
    answer = await asyncio.shield(accepting)
    if not isinstance(answer, Accepted):
        raise ToolError("workspace not found")
    return answer


async def _read_task(services: Services, caller: str, workspace_id: str, task_id: str) -> dict[str, Any]:
    """What the caller's delegate row says of its task for that workspace, in the words of its tool (INV-65)."""
    target = parse_uuid(workspace_id)
    row = await services.store.run(lambda connection: connection.fetchrow(_TASK, task_id, caller, target))
    if row is None:
        return {"task_id": task_id, "status": "not_found", "note": "task not tracked or not yet dispatched"}
    words = _ASYNC_WORDS if row["tool"] == DELEGATE_TASK_ASYNC else {}
    task = {"task_id": task_id, "target_id": target, "status": words.get(row["status"], row["status"])}
    if row["error_detail"]:
        task["error"] = row["error_detail"]
    if row["text"] is not None:
        task["result"] = row["text"]
    return task


_TARGET = {"workspace_id": "The workspace that does the work"}
_ASSIGNMENT = {**_TARGET, "task": "What is to be done"}

BY_NAME: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("list_peers", "List the workspaces that you can delegate to.", {}, _list_peers),
        Tool(DELEGATE_TASK, "Delegate a task and wait for its result.", _ASSIGNMENT, _delegate_task),
        Tool(
            DELEGATE_TASK_ASYNC,
            "Delegate a task and get its task_id at once; the result comes into your inbox.",
            _ASSIGNMENT,
            _delegate_task_async,
        ),
        Tool(
            "check_task_status",
            "Ask what has become of a task.",
            {**_TARGET, "task_id": "What delegate_task_async answered"},
            _check_task_status,
        ),
    )
}
