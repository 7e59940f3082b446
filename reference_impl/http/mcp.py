"""/workspaces/:id/mcp: the MCP bridge, and the stream that names its endpoint."""

from __future__ import annotations

import asyncio

from aiohttp import web

from reference_impl.http.common import answer, guarded, raw_body, workspace_of
from reference_impl.http.description import EVENT_STREAM, OBJECT, TEXT, Operation, object_of, one_of, rate_limited
from reference_impl.mcp.protocol import PARSE_ERROR, failure, respond
from reference_impl.services import SERVICES
from reference_impl.text import parse_object

_PING_S = 30.0
_STOPPING = web.AppKey("_STOPPING", asyncio.Event)

_RPC_ERROR = object_of(code={"type": "integer"}, message=TEXT)
_UNREADABLE = object_of(jsonrpc=one_of("2.0"), id={}, error=_RPC_ERROR)
_TOO_MANY = rate_limited("MCP rate limit exceeded")
_EXAMPLE = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_peers", "arguments": {}}}

OPERATIONS = (
    Operation(
        "POST",
        "/workspaces/{id}/mcp",
        "One JSON-RPC message of the Model Context Protocol; what a tool makes of it is told in the answer",
        {
            200: object_of(jsonrpc=one_of("2.0"), id={}, optional={"result": OBJECT, "error": _RPC_ERROR}),
            202: None,
            400: _UNREADABLE,
            429: _TOO_MANY,
        },
        body={**OBJECT, "examples": [_EXAMPLE]},
        guarded=True,
    ),
    Operation(
        "GET",
        "/workspaces/{id}/mcp/stream",
        "Server-sent events: where to post, then a sign of life now and again",
        {200: TEXT, 429: _TOO_MANY},
        guarded=True,
        media=EVENT_STREAM,
    ),
)


def add_routes(app: web.Application) -> None:
    app.router.add_post("/workspaces/{id}/mcp", guarded(call))
    app.router.add_get("/workspaces/{id}/mcp/stream", guarded(stream))


def end_streams_with(app: web.Application) -> None:
    """An open stream must not hold up the broker's end."""
    app[_STOPPING] = asyncio.Event()
    app.on_shutdown.append(_dismiss)


async def call(request: web.Request) -> web.Response:
    """One JSON-RPC message, answered in the body; a notification is only taken note of."""
    raw = await raw_body(request)
    try:
        message = parse_object(raw)
    except ValueError:
        return answer(failure(None, PARSE_ERROR, "parse error"), status=400)
    reply = await respond(request.app[SERVICES], workspace_of(request), message)
    return web.Response(status=202) if reply is None else answer(reply)


async def stream(request: web.Request) -> web.StreamResponse:
    """Server-sent events: where to post, then a sign of life now and again, until one side leaves."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    await response.write(f"event: endpoint\ndata: /workspaces/{workspace_of(request)}/mcp\n\n".encode())
    stopping = request.app[_STOPPING]
    while not stopping.is_set():
        try:
            async with asyncio.timeout(_PING_S):
                await stopping.wait()
        except TimeoutError:
            await response.write(b": ping\n\n")
    return response


async def _dismiss(app: web.Application) -> None:
    app[_STOPPING].set()
