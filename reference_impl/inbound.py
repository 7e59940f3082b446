"""The `a2a_receive` row that a message leaves at its target.

It is committed before the first byte is sent, or before the caller of a poll target is answered: whatever
happens then, a message that arrived has its row (INV-13, INV-14, H41, H42), and (target, messageId) being
unique, only one (H87). The reply is added to it later. Watchers are told of both (`ACTIVITY_LOGGED`), and a canvas
that sent the message is told the reply (`A2A_RESPONSE`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reference_impl.activity import announcement
from reference_impl.background import Background
from reference_impl.clock import Clock
from reference_impl.events import EventFactory, Watchers
from reference_impl.message import Message
from reference_impl.records import SLOT
from reference_impl.store import Connection, Store
from reference_impl.text import clean, dump_json, parse_json

_INGEST = f"""
WITH {SLOT}
INSERT INTO activity_logs (
    id, workspace_id, source_id, target_id, activity_type, method, status, summary,
    request_body, message_id, created_at)
SELECT $3::uuid, slot.id, $4::uuid, slot.id, 'a2a_receive', $5::text, 'ok', $6::text,
    $7::jsonb, $8::text, slot.activity_at
FROM slot
ON CONFLICT (workspace_id, message_id) WHERE message_id IS NOT NULL DO NOTHING
RETURNING id
"""

# A reply that is stored is not taken back by a later failure of the same message.
_COMPLETE = """
WITH completed AS (
    UPDATE activity_logs
    SET status = $3, summary = $4, response_body = COALESCE($5::jsonb, response_body), error_detail = $6,
        duration_ms = $7
    WHERE workspace_id = $1 AND message_id = $2 AND ($3 = 'ok' OR response_body IS NULL)
    RETURNING id
), outbound AS (
    UPDATE workspaces SET last_outbound_at = $8 WHERE id = $9 AND $3 = 'ok'
)
SELECT id FROM completed
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A message between two workspaces. `source` is None if no workspace sent it, `from_canvas` if a person did."""

    source: str | None
    target: str
    target_name: str
    message: Message
    from_canvas: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a message: `body` is the reply, None if none came; `error` is None on success."""

    body: bytes | None
    error: str | None
    summary: str
    duration_ms: int


class Inbound:
    """Writes the targets' inbound rows."""

    def __init__(
        self,
        *,
        store: Store,
        background: Background,
        events: EventFactory,
        watchers: Watchers,
        clock: Clock,
        patience_s: float,
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._background = background
        self._events = events
        self._watchers = watchers
        self._patience_s = patience_s
        self._clock = clock
        self._new_id = new_id

    async def ingest(self, envelope: Envelope, *, summary: str, deadline_s: float) -> None:
        """Commit the row, if the message has none yet. Raises `TimeoutError` at the deadline."""
        message = envelope.message
        arguments = (
            self._clock.now(),
            envelope.target,
            self._new_id(),
            envelope.source,
            message.method,
            summary,
            message.body,
            message.key,
        )
        row_id = await self._store.persist(
            lambda connection: connection.fetchval(_INGEST, *arguments), deadline_s=deadline_s
        )
        if row_id is not None:
            self._announce(envelope, row_id=str(row_id), status="ok", summary=summary)

    async def complete(self, envelope: Envelope, result: Result) -> None:
        """Add the result to the row.

        It is tried for as long as it takes, but nobody has to wait longer than a database may take: the
        row itself is there already.
        """
        arguments = (
            envelope.target,
            envelope.message.key,
            "ok" if result.error is None else "error",
            result.summary,
            None if result.body is None else _as_json(result.body),
            result.error,
            result.duration_ms,
            self._clock.now(),
            envelope.source,
        )

        async def write(connection: Connection) -> str | None:
            row_id = await connection.fetchval(_COMPLETE, *arguments)
            return row_id and str(row_id)

        async def write_and_tell() -> None:
            row_id = await self._store.persist(write)
            if row_id is not None:
                status = "ok" if result.error is None else "error"
                self._announce(
                    envelope, row_id=row_id, status=status, summary=result.summary, duration_ms=result.duration_ms
                )
                if envelope.from_canvas and result.error is None:
                    self._answer_canvas(envelope, result)

        writing = self._background.detach(write_and_tell(), name=f"complete {arguments[1]}")
        await asyncio.wait([writing], timeout=self._patience_s)

    def _announce(self, envelope: Envelope, **facts: Any) -> None:
        if not self._watchers:
            return
        payload = announcement(
            activity_type="a2a_receive",
            method=envelope.message.method,
            source_id=envelope.source,
            target_id=envelope.target,
            **facts,
        )
        self._watchers.broadcast(self._events.make("ACTIVITY_LOGGED", envelope.target, payload))

    def _answer_canvas(self, envelope: Envelope, result: Result) -> None:
        payload = {
            "response_body": parse_json(_as_json(result.body or b"")),
            "method": envelope.message.method,
            "duration_ms": result.duration_ms,
        }
        self._watchers.broadcast(self._events.make("A2A_RESPONSE", envelope.target, payload))


def _as_json(body: bytes) -> str:
    text = clean(body.decode(errors="replace"))
    try:
        return dump_json(parse_json(text))
    except ValueError:
        return dump_json(text)
