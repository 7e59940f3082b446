"""Activity rows that agents write about themselves, and how watchers are told of any activity row.

A row and its `ACTIVITY_LOGGED` carry the same facts; the event leaves out the bodies, which may be large, and which
whoever needs them reads from the row. It is broadcast only: the row itself is the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reference_impl.events import EventFactory, Watchers
from reference_impl.records import SLOT
from reference_impl.store import Connection, Store

_INSERT = f"""
WITH {SLOT}
INSERT INTO activity_logs (
    id, workspace_id, activity_type, source_id, target_id, method, summary, duration_ms, status,
    error_detail, request_body, response_body, tool_trace, created_at)
SELECT $3::uuid, slot.id, $4::text, $5::uuid, $6::uuid, $7::text, $8::text, $9::integer, $10::text,
    $11::text, $12::jsonb, $13::jsonb, $14::jsonb, slot.activity_at
FROM slot
RETURNING id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """One row. Bodies are JSON texts; `source_id` None: the row is nobody's message."""

    workspace_id: str
    activity_type: str
    source_id: str | None
    target_id: str | None = None
    method: str | None = None
    summary: str | None = None
    duration_ms: int | None = None
    status: str = "ok"
    error_detail: str | None = None
    request_body: str | None = None
    response_body: str | None = None
    tool_trace: str | None = None


class ActivityLog:
    """Stores activity rows and announces them."""

    def __init__(self, *, store: Store, events: EventFactory, watchers: Watchers) -> None:
        self._store = store
        self._events = events
        self._watchers = watchers

    async def add(self, activity: Activity, *, row_id: str) -> bool:
        """Store the row, then tell watchers. False if there is no such workspace."""
        payload = announcement(
            row_id=row_id,
            activity_type=activity.activity_type,
            method=activity.method,
            summary=activity.summary,
            status=activity.status,
            source_id=activity.source_id,
            target_id=activity.target_id,
            duration_ms=activity.duration_ms,
        )
        event = self._events.make("ACTIVITY_LOGGED", activity.workspace_id, payload)

        async def insert(connection: Connection) -> bool:
            stored = await connection.fetchval(
                _INSERT,
                event.at,
                activity.workspace_id,
                row_id,
                activity.activity_type,
                activity.source_id,
                activity.target_id,
                activity.method,
                activity.summary,
                activity.duration_ms,
                activity.status,
                activity.error_detail,
                activity.request_body,
                activity.response_body,
                activity.tool_trace,
            )
            return stored is not None

        if not await self._store.run(insert):
            return False
        self._watchers.broadcast(event)
        return True


def announcement(
    *,
    row_id: str,
    activity_type: str,
    method: str | None,
    summary: str | None,
    status: str,
    source_id: str | None,
    target_id: str | None,
    duration_ms: int | None = None,
) -> Mapping[str, Any]:
    """What watchers are told of a row."""
    return {
        "id": row_id,
        "activity_type": activity_type,
        "method": method,
        "summary": summary,
        "status": status,
        "source_id": source_id,
        "target_id": target_id,
        "duration_ms": duration_ms,
    }
