"""The client of the official MCP SDK uses the bridge as it would use any server: handshake, list, call."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from tests.contract.agents import after, answers, says
from tests.contract.database import Database
from tests.contract.world import ANN, BOB, NOBODY, World, world


@contextlib.asynccontextmanager
async def connected(it: World, *, mode: str, token: str | None = None) -> AsyncIterator[Client]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers) as http:
        transport = streamable_http_client(f"{it.base}/workspaces/{ANN}/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


async def use(client: Client, tool: str, **arguments: str) -> str:
    result = await client.call_tool(tool, arguments)
    (part,) = result.content
    assert not result.is_error
    return str(part.text)


# "auto" first asks for what only newer servers have, and has to fall back.
@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_the_client_lists_and_calls_every_tool(database: Database, mode: str) -> None:
    async def play() -> None:
        async with world(database, after(0.1, says("done"))) as it, connected(it, mode=mode) as client:
            assert client.server_info is not None
            assert (client.server_info.name, client.protocol_version) == ("molecule-a2a", "2024-11-05")
            assert [tool.name for tool in (await client.list_tools()).tools] == [
                "list_peers",
                "delegate_task",
                "delegate_task_async",
                "check_task_status",
            ]
            peers = json.loads(await use(client, "list_peers"))
            assert BOB in {peer["id"] for peer in peers}
            assert await use(client, "delegate_task", workspace_id=BOB, task="write the tests") == "done"
            task = json.loads(await use(client, "delegate_task_async", workspace_id=BOB, task="and run them"))
            assert task["status"] == "queued"
            await it.settled(task["task_id"])
            found = json.loads(await use(client, "check_task_status", workspace_id=BOB, task_id=task["task_id"]))
            assert (found["status"], found["result"]) == ("delivered", "done")
            said = [request["params"]["message"]["parts"][0]["text"] for request in it.bob.requests]
            assert said == ["write the tests", "and run them"]

    asyncio.run(play())


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "message"),
    [
        ("delegate_task", {"workspace_id": BOB, "task": "t"}, -32000, "http_status: 500"),
        ("delegate_task", {"workspace_id": BOB}, -32000, "task is required"),
        ("delegate_task_async", {"workspace_id": NOBODY, "task": "t"}, -32000, "is not authorised"),
        ("sudo", {}, -32602, "unknown tool: sudo"),
    ],
)
def test_the_client_is_told_what_is_wrong(
    database: Database, tool: str, arguments: Any, code: int, message: str
) -> None:
    async def play() -> None:
        async with (
            world(database, answers(b"{}", status="500 Oops")) as it,
            connected(it, mode="legacy") as client,
        ):
            with pytest.raises(MCPError) as refusal:
                await client.call_tool(tool, arguments)
            assert refusal.value.error.code == code
            assert message in refusal.value.error.message

    asyncio.run(play())


def test_the_client_needs_the_token_of_its_workspace(database: Database) -> None:
    async def play() -> None:
        async with world(database, environment="production", admin_token="secret") as it:
            async with connected(it, mode="legacy", token="secret") as client:
                assert "bob" in await use(client, "list_peers")
            with pytest.raises(ExceptionGroup) as refusal:
                async with connected(it, mode="legacy", token="guess"):
                    pass
            assert refusal.group_contains(MCPError)

    asyncio.run(play())
