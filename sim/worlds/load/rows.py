"""The broker's tables after a load, streamed to the groups that they belong to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from sim.worlds.load.facts import RowSorter


class Database(Protocol):
    """Where rows come from."""

    def stream(self, query: str) -> AsyncIterator[Sequence[Any]]:
        """The rows of a query, in batches."""


_ID = """coalesce(request_body->>'delegation_id', response_body->>'delegation_id',
    request_body#>>'{params,message,metadata,delegation_id}', request_body#>>'{params,message,messageId}')"""

DELEGATE_ROWS = f"""
SELECT {_ID}, source_id::text, idempotency_key, request_body->>'task', row_to_json(t)::text FROM activity_logs t
WHERE activity_type = 'delegation' AND method = 'delegate'"""

OTHER_ROWS: tuple[tuple[str, str], ...] = (
    (
        "activity_logs",
        f"""SELECT {_ID}, row_to_json(t)::text FROM activity_logs t
        WHERE NOT (activity_type = 'delegation' AND method = 'delegate')""",
    ),
    ("delegations", "SELECT delegation_id, row_to_json(t)::text FROM delegations t"),
    (
        "structure_events",
        # That a delegation was sent no invariant asks, and there is one such event for each.
        """SELECT payload->>'delegation_id', row_to_json(t)::text FROM structure_events t
        WHERE payload->>'delegation_id' IS NOT NULL AND event_type <> 'DELEGATION_SENT'""",
    ),
    (
        "a2a_queue",
        """SELECT coalesce(body#>>'{params,message,metadata,delegation_id}', body#>>'{params,message,messageId}'),
        row_to_json(t)::text FROM a2a_queue t""",
    ),
)

ANNOUNCED = """
SELECT row_to_json(t)::text FROM structure_events t
WHERE event_type = 'DELIVERY_MODE_FALLBACK' AND payload->>'delegation_id' IS NULL"""
WORKSPACES = "SELECT row_to_json(t)::text FROM workspaces t ORDER BY name"
HEARTBEATS = """
SELECT json_build_object('event_type', event_type, 'workspace_id', workspace_id, 'payload', '{}'::json,
    'created_at', created_at)::text FROM structure_events WHERE event_type = 'WORKSPACE_HEARTBEAT' ORDER BY seq"""
INBOX_ROWS = """
SELECT json_build_object('id', id, 'workspace_id', workspace_id, 'activity_type', activity_type,
    'created_at', created_at, 'seq', seq, 'method', '', 'request_body', null)::text
FROM activity_logs WHERE activity_type = 'a2a_receive' AND workspace_id = '{}' ORDER BY created_at, seq"""
ENDED_BY_SECOND = """
SELECT floor(extract(epoch FROM created_at - $1::timestamptz))::int, event_type, count(*)::int FROM structure_events
WHERE event_type IN ('DELEGATION_COMPLETE', 'DELEGATION_FAILED') GROUP BY 1, 2"""


async def sort_delegate_rows(database: Database, sorter: RowSorter) -> None:
    """Give every delegate row to the sorter."""
    async for batch in database.stream(DELEGATE_ROWS):
        for identity, source, key, task, row in batch:
            if identity is not None:
                sorter.delegate_row(identity, source or "", key, task or "", row)


async def sort_other_rows(database: Database, sorter: RowSorter) -> None:
    """Give every other row that is about a delegation or a message to the sorter."""
    for table, query in OTHER_ROWS:
        async for batch in database.stream(query):
            for identity, row in batch:
                if identity is not None:
                    sorter.row(identity, row, table)
