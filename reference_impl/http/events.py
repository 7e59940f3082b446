"""/ws: events as they happen. The canvas sees all, a workspace what the hierarchy lets it see."""

from __future__ import annotations

import asyncio
import logging

import asyncpg
from aiohttp import WSCloseCode, web

from reference_impl.access import may_communicate
from reference_impl.auth import Unauthorized
from reference_impl.events import Event
from reference_impl.http.common import Problem, bearer
from reference_impl.http.description import UUID, Operation, Parameter, refused
from reference_impl.services import SERVICES, Services
from reference_impl.store import RETRYABLE
from reference_impl.text import parse_uuid

_HEARTBEAT_S = 30.0
_log = logging.getLogger(__name__)

OPERATIONS = (
    Operation(
        "GET",
        "/ws",
        "Events as they happen, over a WebSocket: {event, workspace_id, timestamp, payload}",
        {
            101: None,
            400: refused(),
            401: refused("missing workspace auth token", "invalid workspace auth token"),
            403: refused("invalid caller ID"),
        },
        parameters=(Parameter("header", "X-Workspace-ID", "who watches; absent: the canvas, which sees all", UUID),),
    ),
)


def add_routes(app: web.Application) -> None:
    app.router.add_get("/ws", watch)


async def watch(request: web.Request) -> web.WebSocketResponse:
    services = request.app[SERVICES]
    viewer = await _viewer(request, services)
    socket = web.WebSocketResponse(heartbeat=_HEARTBEAT_S)
    number, buffer = services.watchers.join()
    try:
        await socket.prepare(request)
        sending = asyncio.create_task(_send(services, socket, buffer, viewer))
        try:
            async for _ in socket:
                pass  # clients have nothing to say; reading notices that they leave
        finally:
            sending.cancel()
    finally:
        services.watchers.leave(number)
    return socket


async def _viewer(request: web.Request, services: Services) -> str | None:
    """The workspace that watches, None for the canvas."""
    header = request.headers.get("X-Workspace-ID")
    if header is None:
        shown = bearer(request)
        if services.guard.is_admin(shown) or (shown is None and services.config.fails_open):
            return None
        raise Unauthorized("missing workspace auth token")
    viewer = parse_uuid(header)
    if viewer is None:
        raise Problem(403, "invalid caller ID")
    await services.guard.check_workspace(viewer, bearer(request))
    return viewer


async def _send(
    services: Services,
    socket: web.WebSocketResponse,
    buffer: asyncio.Queue[Event | None],
    viewer: str | None,
) -> None:
    try:
        while (event := await buffer.get()) is not None:
            if viewer is None or await _may_see(services, viewer, event.workspace_id):
                await socket.send_str(event.as_message())
        await socket.close(code=WSCloseCode.GOING_AWAY)
    except ConnectionError:
        _log.debug("a watcher has left")


async def _may_see(services: Services, viewer: str, workspace: str) -> bool:
    if viewer == workspace:
        return True
    try:
        return await services.store.run(lambda connection: may_communicate(connection, viewer, workspace))
    except (*RETRYABLE, asyncpg.PostgresError):
        return False
