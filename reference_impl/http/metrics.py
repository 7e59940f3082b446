"""/metrics, and the middleware that counts requests."""

from __future__ import annotations

import asyncio

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from reference_impl.http.common import Handler
from reference_impl.http.description import TEXT, Operation
from reference_impl.services import SERVICES

_NOBODY_LEFT = "aborted"

OPERATIONS = (
    Operation("GET", "/metrics", "What Prometheus collects", {200: TEXT}, stores=False, media=CONTENT_TYPE_LATEST),
)


def add_routes(app: web.Application) -> None:
    app.router.add_get("/metrics", metrics)


async def metrics(request: web.Request) -> web.Response:
    body = request.app[SERVICES].metrics.exposition()
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


@web.middleware
async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count the request, also if its client left before the answer."""
    loop = asyncio.get_running_loop()
    began_s, status = loop.time(), _NOBODY_LEFT
    try:
        response = await handler(request)
        status = str(response.status)
        return response
    finally:
        resource = request.match_info.route.resource
        # What clients make up must not become a label.
        method, route = ("other", "other") if resource is None else (request.method, resource.canonical)
        request.app[SERVICES].metrics.request_ended(
            method=method, route=route, status=status, after_s=loop.time() - began_s
        )
