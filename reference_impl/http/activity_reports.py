"""POST /workspaces/:id/activity and /notify: what an agent says about itself, and to the people who watch it."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from reference_impl.activity import Activity
from reference_impl.http.common import Problem, answer, guarded, json_body, text_field, workspace_of
from reference_impl.http.description import (
    COUNT,
    NAME,
    TEXT,
    UUID,
    Operation,
    object_of,
    one_of,
    or_null,
    refused,
)
from reference_impl.services import SERVICES, Services
from reference_impl.text import dump_json, parse_uuid, prefix

_TYPES = ("a2a_send", "a2a_receive", "task_update", "agent_log", "skill_promotion", "memory_write", "error")
_DURATION_MAX_MS = 2**31 - 1
_SUMMARY_BYTES = 200
_INVALID = "invalid request body"
_UNKNOWN_TYPE = f"invalid activity_type, must be one of: {', '.join(_TYPES)}"

OPERATIONS = (
    Operation(
        "POST",
        "/workspaces/{id}/activity",
        "An agent reports what it did",
        {
            200: object_of(status=one_of("logged")),
            400: refused(_INVALID, _UNKNOWN_TYPE, "target_id must be a valid UUID"),
            403: refused("source_id must match authenticated workspace"),
        },
        body=object_of(
            activity_type=one_of(*_TYPES),
            optional={
                **dict.fromkeys(("source_id", "target_id"), or_null(UUID)),
                **dict.fromkeys(("method", "summary", "error_detail", "status"), or_null(TEXT)),
                **{name: {} for name in ("request_body", "metadata", "response_body", "tool_trace")},
                "duration_ms": or_null({**COUNT, "maximum": _DURATION_MAX_MS}),
            },
        ),
        guarded=True,
    ),
    Operation(
        "POST",
        "/workspaces/{id}/notify",
        "An agent says something to the people who watch it",
        {200: object_of(status=one_of("sent")), 400: refused("message is required")},
        body=object_of(message=NAME),
        guarded=True,
    ),
)


def add_routes(app: web.Application) -> None:
    app.router.add_post("/workspaces/{id}/activity", guarded(report))
    app.router.add_post("/workspaces/{id}/notify", guarded(notify))


async def report(request: web.Request) -> web.Response:
    workspace = workspace_of(request)
    body = await json_body(request, error=_INVALID)
    try:
        activity_type, source, target = (text_field(body, name) for name in ("activity_type", "source_id", "target_id"))
        texts = {name: text_field(body, name) or None for name in ("method", "summary", "error_detail")}
        status, duration_ms = text_field(body, "status") or "ok", _duration_ms(body)
    except ValueError:
        raise Problem(400, _INVALID) from None
    if activity_type not in _TYPES:
        raise Problem(400, _UNKNOWN_TYPE)
    if source and parse_uuid(source) != workspace:
        raise Problem(403, "source_id must match authenticated workspace")
    if target and parse_uuid(target) is None:
        raise Problem(400, "target_id must be a valid UUID")
    activity = Activity(
        workspace_id=workspace,
        activity_type=activity_type,
        source_id=workspace,
        target_id=parse_uuid(target),
        duration_ms=duration_ms,
        status=status,
        request_body=_document(body, "request_body") or _document(body, "metadata"),
        response_body=_document(body, "response_body"),
        tool_trace=_document(body, "tool_trace"),
        **texts,
    )
    await _add(request.app[SERVICES], activity)
    return answer({"status": "logged"})


async def notify(request: web.Request) -> web.Response:
    """The row has no source, by which a poller knows that it is not meant for it (H48)."""
    error = "message is required"
    body = await json_body(request, error=error)
    try:
        message = text_field(body, "message")
    except ValueError:
        raise Problem(400, error) from None
    if not message:
        raise Problem(400, error)
    activity = Activity(
        workspace_id=workspace_of(request),
        activity_type="a2a_receive",
        source_id=None,
        method="notify",
        summary=prefix(message, _SUMMARY_BYTES),
        response_body=dump_json({"text": message}),
    )
    await _add(request.app[SERVICES], activity)
    return answer({"status": "sent"})


async def _add(services: Services, activity: Activity) -> None:
    if not await services.activity.add(activity, row_id=services.new_id()):
        raise Problem(404, "workspace not found")


def _duration_ms(body: dict[str, Any]) -> int | None:
    value = body.get("duration_ms")
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _DURATION_MAX_MS:
        raise ValueError("duration_ms is not a duration")
    return value


def _document(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    return None if value is None else dump_json(value)
