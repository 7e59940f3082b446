"""GET /workspaces/:id/activity: the inbox, with a cursor that skips and repeats nothing (INV-90 to INV-92)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from reference_impl.http.common import Problem, answer, guarded, refused_as, workspace_of
from reference_impl.http.description import (
    COUNT,
    TEXT,
    TIME,
    UUID,
    Operation,
    Parameter,
    list_of,
    object_of,
    one_of,
    or_null,
    refused,
)
from reference_impl.services import SERVICES
from reference_impl.store import Record, Store
from reference_impl.text import clean, parse_uuid

_LIMIT_DEFAULT = 100
_LIMIT_MAX = 500
_SINCE_MAX_S = 2_592_000
# Stricter than `datetime.fromisoformat`, which also reads weeks, basic forms and blanks.
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT[0-2]\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_CURSOR_GONE = (
    "since_id cursor not found (row may have been pruned or belongs to a different workspace); omit since_id to reset"
)
_CURSOR = "SELECT created_at, seq FROM activity_logs WHERE id = $1 AND workspace_id = $2"
_SOURCES = {"canvas": "source_id IS NULL", "agent": "source_id IS NOT NULL"}
_COLUMNS = (
    "id, workspace_id, activity_type, source_id, target_id, method, summary, duration_ms, status, "
    "error_detail, created_at, seq, request_body, response_body, tool_trace"
)

OPERATIONS = (
    Operation(
        "GET",
        "/workspaces/{id}/activity",
        "The inbox: newest first, or, after a cursor, oldest first; filters are ANDed",
        {
            200: list_of(
                object_of(
                    id=UUID,
                    workspace_id=UUID,
                    activity_type=TEXT,
                    source_id=or_null(UUID),
                    target_id=or_null(UUID),
                    method=or_null(TEXT),
                    summary=or_null(TEXT),
                    duration_ms=or_null(COUNT),
                    status=TEXT,
                    error_detail=or_null(TEXT),
                    created_at=TIME,
                    seq=COUNT,
                    optional={"request_body": {}, "response_body": {}, "tool_trace": {}},
                )
            ),
            400: refused(
                "source must be 'canvas' or 'agent'",
                "peer_id must be a UUID",
                "since_secs must be a positive integer",
                "before_ts must be an RFC 3339 timestamp",
            ),
            410: refused(_CURSOR_GONE),
            500: refused("cursor lookup failed", "query failed"),
        },
        parameters=(
            Parameter("query", "type", "only this activity_type; pollers ask for a2a_receive", TEXT),
            Parameter("query", "source", "canvas: rows without a source; agent: rows with one", one_of(*_SOURCES)),
            Parameter("query", "peer_id", "only rows whose source or target this is", UUID),
            Parameter("query", "limit", f"at most so many, up to {_LIMIT_MAX}; anything else: {_LIMIT_DEFAULT}", TEXT),
            Parameter(
                "query", "since_secs", f"only rows no older, in s; at most {_SINCE_MAX_S}", {**COUNT, "minimum": 1}
            ),
            Parameter("query", "before_ts", "only rows before this instant", TIME),
            Parameter("query", "since_id", "the cursor: id of the last row consumed", UUID),
        ),
        guarded=True,
    ),
)


def add_routes(app: web.Application) -> None:
    app.router.add_get("/workspaces/{id}/activity", guarded(list_activity))


async def list_activity(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    workspace = workspace_of(request)
    where = _Where(workspace)
    query = request.query
    for name, narrow in _filters(services.clock.now()).items():
        if value := query.get(name):
            narrow(where, clean(value))
    order = "DESC"
    if since_id := query.get("since_id"):
        created_at, seq = await _position(services.store, workspace, parse_uuid(since_id))
        where.add("(created_at, seq) > ({}, {})", created_at, seq)
        order = "ASC"
    limit = min(_positive(query.get("limit", "")) or _LIMIT_DEFAULT, _LIMIT_MAX)
    sql = (
        f"SELECT {_COLUMNS} FROM activity_logs WHERE {where.sql} ORDER BY created_at {order}, seq {order} LIMIT {limit}"
    )
    with refused_as("query failed"):
        rows = await services.store.run(lambda connection: connection.fetch(sql, *where.values))
    return answer([_entry(row) for row in rows])


async def _position(store: Store, workspace: str, row_id: str | None) -> tuple[datetime, int]:
    """Where the cursor's row stands. Raises `Problem` 410 unless it is a row of this workspace (INV-91)."""
    row: Record | None = None
    if row_id is not None:
        with refused_as("cursor lookup failed"):
            row = await store.run(lambda connection: connection.fetchrow(_CURSOR, row_id, workspace))
    if row is None:
        raise Problem(410, _CURSOR_GONE)
    return row["created_at"], row["seq"]


class _Where:
    """Conditions that all have to hold, with their values as parameters."""

    def __init__(self, workspace: str) -> None:
        self.sql = "workspace_id = $1"
        self.values: list[Any] = [workspace]

    def add(self, condition: str, *values: Any) -> None:
        first = len(self.values) + 1
        self.values += values
        self.sql += " AND " + condition.format(*(f"${first + index}" for index in range(len(values))))


def _filters(now: datetime) -> dict[str, Callable[[_Where, str], None]]:
    """What each query parameter narrows the list to. An invalid value is refused, never ignored (H44)."""

    def by_type(where: _Where, value: str) -> None:
        where.add("activity_type = {}", value)

    def by_source(where: _Where, value: str) -> None:
        if value not in _SOURCES:
            raise Problem(400, "source must be 'canvas' or 'agent'")
        where.add(_SOURCES[value])

    def by_peer(where: _Where, value: str) -> None:
        peer = parse_uuid(value)
        if peer is None:
            raise Problem(400, "peer_id must be a UUID")
        where.add("{}::uuid IN (source_id, target_id)", peer)

    def by_age(where: _Where, value: str) -> None:
        if not (age_s := _positive(value)):
            raise Problem(400, "since_secs must be a positive integer")
        where.add("created_at >= {}", now - timedelta(seconds=min(age_s, _SINCE_MAX_S)))

    def by_end(where: _Where, value: str) -> None:
        try:
            if not _RFC3339.fullmatch(value.upper()):
                raise ValueError("another form of time")
            before = datetime.fromisoformat(value.upper())
            where.add("created_at < {}", before.astimezone(UTC))
        except (ValueError, OverflowError):
            raise Problem(400, "before_ts must be an RFC 3339 timestamp") from None

    return {
        "type": by_type,
        "source": by_source,
        "peer_id": by_peer,
        "since_secs": by_age,
        "before_ts": by_end,
    }


def _positive(raw: str) -> int:
    """The whole number above zero that `raw` spells, else 0."""
    return int(raw) if raw.isascii() and raw.isdigit() and len(raw) < 1000 else 0


def _entry(row: Record) -> dict[str, Any]:
    entry = dict(row)
    for name in ("id", "workspace_id", "source_id", "target_id"):
        entry[name] = entry[name] and str(entry[name])
    entry["created_at"] = entry["created_at"].isoformat()
    for name in ("request_body", "response_body", "tool_trace"):
        body = entry.pop(name)
        if body is not None:
            entry[name] = json.loads(body)
    return entry
