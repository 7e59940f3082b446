"""/workspaces/:id/delegate and /workspaces/:id/delegations."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import asyncpg
from aiohttp import web

from reference_impl.acceptance import Accepted, AlreadyKnown, IdTaken, KeyUnchecked, Recorded, SourceUnknown
from reference_impl.http.common import Problem, answer, guarded, json_body, text_field, workspace_of
from reference_impl.http.description import (
    NAME,
    TEXT,
    TIME,
    UUID,
    Operation,
    list_of,
    object_of,
    one_of,
    or_null,
    refused,
)
from reference_impl.outcome import Completed, Outcome, failed, is_terminal
from reference_impl.records import find
from reference_impl.services import SERVICES
from reference_impl.store import RETRYABLE, Record, describe
from reference_impl.text import clean, parse_uuid, prefix

_KEY_BYTES_MAX = 512
_ID_BYTES_MAX = 512
_SUMMARY_BYTES = 200
_PREVIEW_BYTES = 300
_UPDATE_PATIENCE_S = 10.0
_log = logging.getLogger(__name__)

# One entry a delegation, whichever of the tables still has it (H8, D18).
_LIST = """
SELECT
    row.id, row.activity_type, row.error_detail AS row_error, row.status AS row_status,
    row.request_body ->> 'task' AS task, ledger.delegation_id IS NOT NULL AS in_ledger,
    COALESCE(row.delegation_id, ledger.delegation_id) AS delegation_id,
    COALESCE(row.source_id, ledger.caller_id) AS source_id,
    COALESCE(row.target_id, ledger.callee_id) AS target_id,
    COALESCE(row.created_at, ledger.created_at) AS created_at,
    ledger.task_preview, ledger.status AS ledger_status, ledger.updated_at, ledger.result_preview,
    ledger.error_detail AS ledger_error, ledger.last_heartbeat, ledger.deadline,
    result.response_body ->> 'text' AS result_text
FROM (
    SELECT * FROM activity_logs
    WHERE workspace_id = $1 AND activity_type = 'delegation' AND method = 'delegate'
) AS row
FULL JOIN (SELECT * FROM delegations WHERE caller_id = $1) AS ledger
    ON ledger.delegation_id = row.delegation_id
LEFT JOIN activity_logs AS result
    ON result.delegation_id = COALESCE(row.delegation_id, ledger.delegation_id)
    AND result.activity_type = 'delegation' AND result.method = 'delegate_result'
ORDER BY COALESCE(row.created_at, ledger.created_at) DESC, row.seq DESC, delegation_id
LIMIT 50
"""

OPERATIONS = (
    Operation(
        "POST",
        "/workspaces/{id}/delegate",
        "Delegate a task to another workspace; the broker sends it to the target's agent",
        {
            202: object_of(delegation_id=UUID, status=one_of("delegated"), target_id=UUID, optional={"warning": TEXT}),
            200: object_of(delegation_id=TEXT, status=TEXT, target_id=UUID, idempotent_hit=one_of(True)),
            400: refused(
                "invalid delegation request", "target_id must be a valid UUID", "self-delegation not permitted"
            ),
            409: refused("idempotency key reused with a different target"),
            503: refused("idempotency check unavailable"),
        },
        body=object_of(
            target_id=UUID,
            task=NAME,
            optional={"idempotency_key": or_null({**TEXT, "description": f"at most {_KEY_BYTES_MAX} bytes"})},
        ),
        guarded=True,
    ),
    Operation(
        "GET",
        "/workspaces/{id}/delegations",
        "The newest 50 delegations of the workspace",
        {
            200: list_of(
                object_of(
                    delegation_id=TEXT,
                    source_id=UUID,
                    target_id=UUID,
                    summary=TEXT,
                    status=TEXT,
                    created_at=TIME,
                    optional={
                        "id": UUID,
                        "type": TEXT,
                        "updated_at": TIME,
                        "response_preview": TEXT,
                        "error": TEXT,
                        "last_heartbeat": TIME,
                        "deadline": TIME,
                        "_ledger": one_of(True),
                    },
                )
            )
        },
        guarded=True,
    ),
    Operation(
        "POST",
        "/workspaces/{id}/delegations/record",
        "Record what the agent has sent to the target by itself, and will report on",
        {
            202: object_of(delegation_id=TEXT, status=one_of("recorded")),
            400: refused("invalid request body", "target_id must be a valid UUID"),
            409: refused("delegation_id reused for a different delegation"),
            500: refused("failed to record delegation"),
        },
        body=object_of(
            target_id=UUID, task=NAME, delegation_id={**NAME, "description": f"at most {_ID_BYTES_MAX} bytes"}
        ),
        guarded=True,
    ),
    Operation(
        "POST",
        "/workspaces/{id}/delegations/{delegation_id}/update",
        "Report how a delegation ended, as its caller or its callee",
        {
            200: object_of(status=one_of("completed", "failed"), delegation_id=TEXT),
            400: refused("invalid request body", "status must be 'completed' or 'failed'"),
            404: refused("delegation not found"),
            409: refused(
                "delegation is already completed",
                "delegation is already failed",
                status=one_of("completed", "failed"),
                delegation_id=TEXT,
            ),
        },
        body=object_of(
            status=one_of("completed", "failed"),
            optional={"error": or_null(TEXT), "response_preview": or_null(TEXT)},
        ),
        guarded=True,
    ),
)


def add_routes(app: web.Application) -> None:
    app.router.add_post("/workspaces/{id}/delegate", guarded(delegate))
    app.router.add_get("/workspaces/{id}/delegations", guarded(list_delegations))
    app.router.add_post("/workspaces/{id}/delegations/record", guarded(record))
    app.router.add_post("/workspaces/{id}/delegations/{delegation_id}/update", guarded(update))


async def delegate(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    source = workspace_of(request)
    body = await json_body(request, error="invalid delegation request")
    try:
        target_text, task, key = (text_field(body, name) for name in ("target_id", "task", "idempotency_key"))
    except ValueError:
        raise Problem(400, "invalid delegation request") from None
    if not target_text or not task or len(key.encode()) > _KEY_BYTES_MAX:
        raise Problem(400, "invalid delegation request")
    target = parse_uuid(target_text)
    if target is None:
        raise Problem(400, "target_id must be a valid UUID")
    if target == source:
        raise Problem(400, "self-delegation not permitted")
    # From here on the client may hang up: accepting goes on without it.
    accepting = services.background.detach(
        services.acceptance.accept(source=source, target=target, task=task, key=key or None), name="accept"
    )
    match await asyncio.shield(accepting):
        case Accepted(delegation_id, tracked):
            warning = {} if tracked else {"warning": "delegation dispatched but status tracking unavailable"}
            return answer(
                {"delegation_id": delegation_id, "status": "delegated", "target_id": target, **warning},
                status=202,
            )
        case AlreadyKnown(delegation_id, known_target, status):
            if known_target != target:
                raise Problem(409, "idempotency key reused with a different target")
            return answer(
                {
                    "delegation_id": delegation_id,
                    "status": status,
                    "target_id": known_target,
                    "idempotent_hit": True,
                }
            )
        case SourceUnknown():
            raise Problem(404, "workspace not found")
        case KeyUnchecked():
            raise Problem(503, "idempotency check unavailable")


async def record(request: web.Request) -> web.Response:
    """An agent has sent the work to its target by itself, and will report how it ended."""
    services = request.app[SERVICES]
    source = workspace_of(request)
    body = await json_body(request, error="invalid request body")
    try:
        target_text, task, delegation_id = (text_field(body, name) for name in ("target_id", "task", "delegation_id"))
    except ValueError:
        raise Problem(400, "invalid request body") from None
    if not target_text or not task or not delegation_id or len(delegation_id.encode()) > _ID_BYTES_MAX:
        raise Problem(400, "invalid request body")
    target = parse_uuid(target_text)
    if target is None:
        raise Problem(400, "target_id must be a valid UUID")
    recording = services.background.detach(
        services.acceptance.record(delegation_id=delegation_id, source=source, target=target, task=task),
        name=f"record {delegation_id}",
    )
    try:
        recorded = await asyncio.shield(recording)
    except (*RETRYABLE, asyncpg.PostgresError) as error:
        _log.error("delegation %s cannot be recorded: %s", delegation_id, describe(error))
        raise Problem(500, "failed to record delegation") from None
    match recorded:
        case Recorded():
            return answer({"delegation_id": delegation_id, "status": "recorded"}, status=202)
        case IdTaken():
            raise Problem(409, "delegation_id reused for a different delegation")
        case SourceUnknown():
            raise Problem(404, "workspace not found")


async def update(request: web.Request) -> web.Response:
    """A party of the delegation, or the agent of its target, reports how it ended."""
    services = request.app[SERVICES]
    party = workspace_of(request)
    body = await json_body(request, error="invalid request body")
    try:
        status, error, text = (text_field(body, name) for name in ("status", "error", "response_preview"))
    except ValueError:
        raise Problem(400, "invalid request body") from None
    if not status:
        raise Problem(400, "invalid request body")
    if status not in ("completed", "failed"):
        raise Problem(400, "status must be 'completed' or 'failed'")
    delegation_id = clean(request.match_info["delegation_id"])
    found = await services.store.run(lambda connection: find(connection, delegation_id))
    if found is None or party not in found[0].parties:
        raise Problem(404, "delegation not found")
    delegation = found[0]
    stored: str | None = found[1]
    if not is_terminal(stored):
        outcome: Outcome = Completed(text) if status == "completed" else failed(error or "reported as failed")
        finishing = services.background.detach(
            services.outcomes.finish(delegation, outcome, reported=True), name=f"update {delegation_id}"
        )
        # Once begun it is seen through; a client that is told 503 finds out by asking again.
        async with asyncio.timeout(_UPDATE_PATIENCE_S):
            stored = await asyncio.shield(finishing)
    if stored is None:
        raise Problem(404, "delegation not found")
    if stored != status:
        raise Problem(409, f"delegation is already {stored}", status=stored, delegation_id=delegation_id)
    return answer({"status": status, "delegation_id": delegation_id})


async def list_delegations(request: web.Request) -> web.Response:
    workspace = workspace_of(request)
    rows = await request.app[SERVICES].store.run(lambda connection: connection.fetch(_LIST, workspace))
    return answer([_entry(row) for row in rows])


def _entry(row: Record) -> dict[str, Any]:
    text = row["result_preview"] or row["result_text"]
    optional = {
        "id": row["id"] and str(row["id"]),
        "type": row["activity_type"],
        "updated_at": row["updated_at"] and row["updated_at"].isoformat(),
        "response_preview": prefix(text, _PREVIEW_BYTES) if text else None,
        "error": row["row_error"] or row["ledger_error"],
        "last_heartbeat": row["last_heartbeat"] and row["last_heartbeat"].isoformat(),
        "deadline": row["deadline"] and row["deadline"].isoformat(),
        "_ledger": row["in_ledger"] or None,
    }
    return {
        "delegation_id": row["delegation_id"],
        "source_id": str(row["source_id"]),
        "target_id": str(row["target_id"]),
        "summary": prefix(row["task_preview"] or row["task"] or "", _SUMMARY_BYTES),
        "status": row["ledger_status"] or row["row_status"],
        "created_at": row["created_at"].isoformat(),
        **{name: value for name, value in optional.items() if value is not None},
    }
