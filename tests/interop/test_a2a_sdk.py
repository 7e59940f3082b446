"""An agent made with the official A2A SDK is the target of a delegation, and its text reaches the caller's inbox.

The broker speaks A2A 0.3, as does an SDK agent that is asked to be compatible; what it answers is the SDK's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from a2a.helpers import get_message_text, new_task_from_user_message, new_text_message, new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard
from starlette.applications import Starlette

from tests.contract.database import Database
from tests.contract.world import ANN, BOB, World, world

Work = Callable[[RequestContext, EventQueue], Awaitable[None]]


class Worker(AgentExecutor):
    def __init__(self, work: Work) -> None:
        self._work = work

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        await self._work(context, event_queue)

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        raise NotImplementedError


async def says_it_in_a_message(context: RequestContext, events: EventQueue) -> None:
    assert context.message is not None
    await events.enqueue_event(new_text_message(f"done: {get_message_text(context.message)}"))


async def leaves_an_artifact(context: RequestContext, events: EventQueue) -> None:
    assert context.message is not None
    task = new_task_from_user_message(context.message)
    await events.enqueue_event(task)
    updater = TaskUpdater(events, task.id, task.context_id)
    await updater.add_artifact([new_text_part(f"done: {get_message_text(context.message)}")])
    await updater.complete()


async def breaks_down(_context: RequestContext, _events: EventQueue) -> None:
    raise RuntimeError("no tokens left")


@contextlib.asynccontextmanager
async def sdk_agent(work: Work) -> AsyncIterator[str]:
    """The URL of a running SDK agent."""
    card = AgentCard(name="bob", description="an agent", version="1", capabilities=AgentCapabilities())
    handler = DefaultRequestHandler(agent_executor=Worker(work), task_store=InMemoryTaskStore(), agent_card=card)
    app = Starlette(routes=create_jsonrpc_routes(handler, "/", enable_v0_3_compat=True))
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    serving = asyncio.create_task(server.serve([listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        await serving


async def delegated(it: World, url: str) -> tuple[str, dict[str, Any]]:
    """How a delegation to the agent at `url` ended, and the row that its caller finds in the inbox."""
    await it.rows.execute("UPDATE workspaces SET url = $1 WHERE id = $2", url, BOB)
    _, accepted = await it.delegate()
    status = await it.settled(accepted["delegation_id"])
    _, inbox = await it.get(f"/workspaces/{ANN}/activity?type=a2a_receive")
    (row,) = inbox
    assert row["response_body"]["delegation_id"] == accepted["delegation_id"]
    return status, row


@pytest.mark.parametrize("work", [says_it_in_a_message, leaves_an_artifact])
def test_the_text_of_an_sdk_agent_reaches_the_caller(database: Database, work: Work) -> None:
    async def play() -> None:
        async with sdk_agent(work) as url, world(database) as it:
            status, row = await delegated(it, url)
            assert (status, row["status"]) == ("completed", "ok")
            assert row["response_body"]["text"] == "done: write the tests"

    asyncio.run(play())


def test_the_failure_of_an_sdk_agent_reaches_the_caller(database: Database) -> None:
    """It answers 200 with a JSON-RPC error, which is no result."""

    async def play() -> None:
        async with sdk_agent(breaks_down) as url, world(database) as it:
            status, row = await delegated(it, url)
            assert (status, row["status"]) == ("failed", "error")
            assert "no tokens left" in str(row["error_detail"])

    asyncio.run(play())
