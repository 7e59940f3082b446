"""/workspaces/:id/a2a/queue: what became of a message that had to wait."""

from __future__ import annotations

from aiohttp import web

from reference_impl.http.common import Problem, answer, bearer, workspace_of
from reference_impl.http.description import (
    COUNT,
    TEXT,
    TIME,
    UUID,
    Operation,
    Parameter,
    object_of,
    one_of,
    refused,
)
from reference_impl.services import SERVICES
from reference_impl.store import Record
from reference_impl.text import parse_json, parse_uuid

_NOT_FOUND = "queue item not found"
_STATUS = """
SELECT item.*, inbound.response_body
FROM a2a_queue AS item
LEFT JOIN activity_logs AS inbound
    ON inbound.workspace_id = item.workspace_id AND inbound.message_id = item.idempotency_key
        AND item.status = 'completed'
WHERE item.id = $1 AND item.workspace_id = $2
"""
_TIMES = ("dispatched_at", "completed_at", "expires_at")

OPERATIONS = (
    Operation(
        "GET",
        "/workspaces/{id}/a2a/queue/{queue_id}",
        "What became of a message that had to wait, for its caller, its target and the operator",
        {
            200: object_of(
                queue_id=UUID,
                workspace_id=UUID,
                status=one_of("queued", "dispatched", "completed", "dropped", "failed"),
                priority={"type": "integer"},
                attempts=COUNT,
                enqueued_at=TIME,
                optional={**dict.fromkeys(_TIMES, TIME), "last_error": TEXT, "response_body": {}},
            ),
            401: refused("missing caller auth token"),
            404: refused(_NOT_FOUND),
        },
        parameters=(Parameter("header", "X-Workspace-ID", "who asks, if it has no token to show", UUID),),
    ),
)


def add_routes(app: web.Application) -> None:
    app.router.add_get("/workspaces/{id}/a2a/queue/{queue_id}", status)


async def status(request: web.Request) -> web.Response:
    """For the item's caller, its target and the operator; to all others there is no such item."""
    workspace, queue_id = workspace_of(request), parse_uuid(request.match_info["queue_id"])
    asker = await _asker(request)
    if queue_id is None:
        raise Problem(404, _NOT_FOUND)
    row = await request.app[SERVICES].store.run(lambda connection: connection.fetchrow(_STATUS, queue_id, workspace))
    if row is None or not (_is_operator(request) or asker in (str(row["workspace_id"]), str(row["caller_id"]))):
        raise Problem(404, _NOT_FOUND)
    return answer(
        {
            "queue_id": str(row["id"]),
            "workspace_id": str(row["workspace_id"]),
            "status": row["status"],
            "priority": row["priority"],
            "attempts": row["attempts"],
            "enqueued_at": row["enqueued_at"].isoformat(),
            **_optional(row),
        }
    )


def _optional(row: Record) -> dict[str, object]:
    values = {name: row[name] and row[name].isoformat() for name in _TIMES}
    values["last_error"] = row["last_error"]
    values["response_body"] = row["response_body"] and parse_json(row["response_body"])
    return {name: value for name, value in values.items() if value is not None}


def _is_operator(request: web.Request) -> bool:
    return request.app[SERVICES].guard.is_admin(bearer(request))


async def _asker(request: web.Request) -> str | None:
    """The workspace whose token is shown, else the one that the header names, if that one has no token to show."""
    guard, shown = request.app[SERVICES].guard, bearer(request)
    if shown is not None:
        return await guard.workspace_of(shown)
    named = parse_uuid(request.headers.get("X-Workspace-ID"))
    if named is not None:
        await guard.check_caller(named, None)
    return named
