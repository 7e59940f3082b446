"""/admin: what only the operator may do."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from aiohttp import web

from reference_impl.http.common import Problem, answer, bearer
from reference_impl.http.description import COUNT, UUID, Operation, Parameter, object_of, refused
from reference_impl.services import SERVICES
from reference_impl.text import parse_uuid

_AGE_DEFAULT, _AGE_MAX = 60, 10**9  # minutes

OPERATIONS = (
    Operation(
        "POST",
        "/admin/a2a-queue/drop-stale",
        "Drop what has waited for too long in the queue; it needs ADMIN_TOKEN",
        {
            200: object_of(dropped=COUNT),
            400: refused("max_age_minutes must be a positive integer", "workspace_id must be a UUID"),
            401: refused("missing admin auth token", "invalid admin auth token"),
        },
        parameters=(
            Parameter("query", "max_age_minutes", f"default {_AGE_DEFAULT}", {**COUNT, "minimum": 1}),
            Parameter("query", "workspace_id", "only what waits for this workspace", UUID),
        ),
    ),
)


def add_routes(app: web.Application) -> None:
    app.router.add_post("/admin/a2a-queue/drop-stale", drop_stale)


async def drop_stale(request: web.Request) -> web.Response:
    """Drop what has waited for too long in the queue; delegations fail with their items (D23)."""
    services = request.app[SERVICES]
    services.guard.check_admin(bearer(request))
    age = request.query.get("max_age_minutes", str(_AGE_DEFAULT))
    if not age.isascii() or not age.isdigit() or len(age) > len(str(_AGE_MAX)) or not 1 <= int(age) <= _AGE_MAX:
        raise Problem(400, "max_age_minutes must be a positive integer")
    named = request.query.get("workspace_id")
    workspace = parse_uuid(named) if named else None
    if named and workspace is None:
        raise Problem(400, "workspace_id must be a UUID")
    dropping = services.background.detach(
        services.drain.drop_stale(
            before=services.clock.now() - timedelta(minutes=int(age)),
            workspace=workspace,
            reason=f"dropped from the queue: older than {int(age)} min",
        ),
        name="drop stale queue items",
    )
    # A client that hangs up does not stop it half-way.
    return answer({"dropped": await asyncio.shield(dropping)})
