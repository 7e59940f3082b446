"""/health: the broker listens."""

from __future__ import annotations

from aiohttp import web

from reference_impl.http.common import answer
from reference_impl.http.description import Operation, object_of, one_of

OPERATIONS = (
    Operation("GET", "/health", "Whether the broker listens", {200: object_of(status=one_of("ok"))}, stores=False),
)


def add_routes(app: web.Application) -> None:
    app.router.add_get("/health", health)


async def health(_request: web.Request) -> web.Response:
    """Says nothing of the database: a broker that waits for it is alive and must not be restarted."""
    return answer({"status": "ok"})
