"""Events as they happen: /ws (a WebSocket) and /workspaces/:id/events/stream (SSE, one workspace).

On /ws the canvas sees all, a workspace what the hierarchy lets it see.
"""

from __future__ import annotations

import asyncio
import logging

import asyncpg
from aiohttp import WSCloseCode, web

from reference_impl.access import may_communicate
from reference_impl.auth import Unauthorized
from reference_impl.events import TooManyWatchers, Watch
from reference_impl.http.common import Problem, bearer, guarded, workspace_of
from reference_impl.http.description import EVENT_STREAM, TEXT, UUID, Operation, Parameter, refused
from reference_impl.services import SERVICES, Services
from reference_impl.store import RETRYABLE
from reference_impl.text import parse_uuid

_KEEP_ALIVE_S = 30.0
_SOCKET_EVENTS = 256
_STREAM_EVENTS = 64
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
            503: refused("too many watchers"),
        },
        parameters=(Parameter("header", "X-Workspace-ID", "who watches; absent: the canvas, which sees all", UUID),),
    ),
    Operation(
        "GET",
        "/workspaces/{id}/events/stream",
        "The workspace's events as they happen, as server-sent events: {type, timestamp (ms), data}",
        {200: TEXT, 503: refused("too many watchers")},
        guarded=True,
        media=EVENT_STREAM,
    ),
)


def add_routes(app: web.Application) -> None:
    app.router.add_get("/ws", watch)
    app.router.add_get("/workspaces/{id}/events/stream", guarded(stream))


async def watch(request: web.Request) -> web.WebSocketResponse:
    services = request.app[SERVICES]
    viewer = await _viewer(request, services)
    socket = web.WebSocketResponse(heartbeat=_KEEP_ALIVE_S)
    place = _join(services, size_events=_SOCKET_EVENTS)
    try:
        await socket.prepare(request)
        sending = asyncio.create_task(_send(services, socket, place, viewer))
        try:
            async for _ in socket:
                pass  # clients have nothing to say; reading notices that they leave
        finally:
            sending.cancel()
    finally:
        services.watchers.leave(place)
    return socket


async def stream(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    place = _join(services, size_events=_STREAM_EVENTS, workspace_id=workspace_of(request))
    try:
        await response.prepare(request)
        await _stream(response, place)
    except ConnectionError:
        _log.debug("a watcher has left")
    finally:
        services.watchers.leave(place)
    return response


async def _stream(response: web.StreamResponse, place: Watch) -> None:
    while True:
        try:
            async with asyncio.timeout(_KEEP_ALIVE_S):
                event = await place.buffer.get()
        except TimeoutError:
            await response.write(b": keep-alive\n\n")
            continue
        if event is None:
            return
        await response.write(event.as_frame())


def _join(services: Services, *, size_events: int, workspace_id: str | None = None) -> Watch:
    try:
        return services.watchers.join(size_events=size_events, workspace_id=workspace_id)
    except TooManyWatchers:
        raise Problem(503, "too many watchers") from None


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
    place: Watch,
    viewer: str | None,
) -> None:
    try:
        while (event := await place.buffer.get()) is not None:
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
