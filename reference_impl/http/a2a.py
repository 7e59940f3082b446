"""/workspaces/:id/a2a: a message for a workspace, answered with its agent's reply."""

from __future__ import annotations

import asyncio

from aiohttp import web

from reference_impl.attempt import ProxyError, Reply
from reference_impl.http.common import Problem, answer, bearer, raw_body, workspace_of
from reference_impl.http.description import OBJECT, TEXT, UUID, Operation, Parameter, refused
from reference_impl.proxy import SYSTEM_CALLERS, Proxy, Route
from reference_impl.services import SERVICES
from reference_impl.text import parse_uuid

_EXAMPLE = {
    "jsonrpc": "2.0",
    "id": "1",
    "method": "message/send",
    "params": {"message": {"messageId": "m1", "role": "user", "parts": [{"kind": "text", "text": "hello"}]}},
}

OPERATIONS = (
    Operation(
        "POST",
        "/workspaces/{id}/a2a",
        "Send an A2A message to the workspace; what its agent answers is answered",
        {
            # What a 2xx carries, and any status not named here, are the agent's own.
            "2XX": {},
            400: refused("invalid JSON"),
            401: refused("missing caller auth token", "invalid caller auth token"),
            402: refused("workspace budget limit exceeded"),
            403: refused("invalid caller ID", "access denied: workspaces cannot communicate per hierarchy rules"),
            500: refused(),
            502: refused(),
            503: refused(),
            "default": refused(),
        },
        body={
            **OBJECT,
            "description": "JSON-RPC 2.0 for the agent; envelope and message id are added where missing",
            "examples": [_EXAMPLE],
        },
        parameters=(
            Parameter("header", "X-Workspace-ID", "the caller; absent: the canvas", UUID),
            Parameter("header", "X-Timeout", "whole seconds that the call may take; else: the ceiling", TEXT),
        ),
    ),
)


def add_routes(app: web.Application) -> None:
    app.router.add_post("/workspaces/{id}/a2a", send)


async def send(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    target = workspace_of(request)
    deadline_s = _deadline_s(request, services.config.proxy_ceiling_s)
    body = await raw_body(request)
    caller = _caller_of(request)
    if caller and caller != target:
        await services.guard.check_caller(caller, bearer(request))
    try:
        # A client that hangs up while the gates are being passed cancels the attempt: nothing was sent yet.
        route = await services.proxy.route(caller=caller, target=target, body=body, deadline_s=deadline_s)
    except ProxyError as error:
        return _refusal(error)
    # From the first contact on, the attempt goes on without the client.
    delivering = services.background.detach(_deliver(services.proxy, route, deadline_s), name="deliver")
    reply = await asyncio.shield(delivering)
    if isinstance(reply, ProxyError):
        return _refusal(reply)
    if reply.truncated:
        payload = {"error": "failed to read agent response", "delivery_confirmed": True}
        return answer(payload, status=502)
    return web.Response(status=reply.status, body=reply.body, content_type="application/json")


async def _deliver(proxy: Proxy, route: Route, deadline_s: float) -> Reply | ProxyError:
    """An error is returned, as there may be nobody left to raise it to."""
    try:
        return await proxy.deliver(route, deadline_s=deadline_s)
    except ProxyError as error:
        return error


def _refusal(error: ProxyError) -> web.Response:
    refusal = answer(error.payload, status=error.status)
    if "retry_after" in error.payload:
        refusal.headers["Retry-After"] = str(error.payload["retry_after"])
    return refusal


def _caller_of(request: web.Request) -> str:
    """The workspace that the header names; empty for the canvas, which sends none."""
    header = request.headers.get("X-Workspace-ID", "")
    caller = parse_uuid(header) if header else ""
    if caller is None or header.startswith(SYSTEM_CALLERS):
        raise Problem(403, "invalid caller ID")
    return caller


def _deadline_s(request: web.Request, ceiling_s: float) -> float:
    """When the call is over: after `X-Timeout` seconds, never later than the ceiling (D6, D7)."""
    header = request.headers.get("X-Timeout", "")
    asked_s = int(header) if header.isascii() and header.isdigit() and len(header) < 10 else 0
    return asyncio.get_running_loop().time() + (min(asked_s, ceiling_s) if asked_s else ceiling_s)
