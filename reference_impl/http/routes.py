"""All endpoints of the broker, and the description that is made of their tables."""

from __future__ import annotations

from typing import Protocol

from aiohttp import web

from reference_impl.http import (
    a2a,
    activity,
    activity_reports,
    admin,
    delegations,
    events,
    health,
    mcp,
    metrics,
    queue,
    registry,
)
from reference_impl.http.common import answer
from reference_impl.http.description import OBJECT, Operation, document


class Resource(Protocol):
    """What a file of endpoints has."""

    @property
    def OPERATIONS(self) -> tuple[Operation, ...]: ...

    def add_routes(self, app: web.Application) -> None: ...


RESOURCES: tuple[Resource, ...] = (
    a2a,
    activity,
    activity_reports,
    admin,
    delegations,
    events,
    health,
    mcp,
    metrics,
    queue,
    registry,
)
_OWN = Operation("GET", "/openapi.json", "This description (OpenAPI 3.1)", {200: OBJECT}, stores=False)
DOCUMENT = document([_OWN, *(operation for resource in RESOURCES for operation in resource.OPERATIONS)])


async def describe(_request: web.Request) -> web.Response:
    return answer(DOCUMENT)


def _once() -> web.Application:
    """All routes, made once: their patterns are the same for every broker of this process, and slow to make."""
    app = web.Application()
    for resource in RESOURCES:
        resource.add_routes(app)
    app.router.add_get(_OWN.path, describe)
    return app


_ROUTES = _once()


def add_routes(app: web.Application) -> None:
    for resource in _ROUTES.router.resources():
        app.router.register_resource(resource)
    mcp.end_streams_with(app)
