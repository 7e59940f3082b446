"""What the broker tells those who watch it: stored in `structure_events`, then broadcast to WebSockets.

An event is broadcast only after the transaction that stored it has committed. A watcher that does not keep up
loses events, never the broker its memory: every watcher has a bounded buffer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reference_impl.clock import Clock
from reference_impl.store import Connection
from reference_impl.text import dump_json

_BUFFER_EVENTS = 256

_INSERT = """
INSERT INTO structure_events (id, event_type, workspace_id, target_id, payload, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (id) DO NOTHING
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened in a workspace. `id` identifies it over retries of the write."""

    id: str
    type: str
    workspace_id: str
    at: datetime
    payload: Mapping[str, Any]
    target_id: str | None = None

    def as_message(self) -> str:
        """What a WebSocket client receives."""
        return dump_json(
            {
                "event": self.type,
                "workspace_id": self.workspace_id,
                "timestamp": self.at.isoformat(),
                "payload": self.payload,
            }
        )


class EventFactory:
    """Makes events with the broker's clock and ids."""

    def __init__(self, clock: Clock, new_id: Callable[[], str]) -> None:
        self._clock = clock
        self._new_id = new_id

    def make(
        self, event_type: str, workspace_id: str, payload: Mapping[str, Any], *, target_id: str | None = None
    ) -> Event:
        return Event(
            id=self._new_id(),
            type=event_type,
            workspace_id=workspace_id,
            at=self._clock.now(),
            payload=payload,
            target_id=target_id,
        )


async def store_event(connection: Connection, event: Event) -> None:
    """Store an event; a second try of the same event changes nothing."""
    payload = dump_json(event.payload)
    await connection.execute(_INSERT, event.id, event.type, event.workspace_id, event.target_id, payload, event.at)


class Watchers:
    """The connected WebSocket clients."""

    def __init__(self) -> None:
        self._buffers: dict[int, asyncio.Queue[Event | None]] = {}
        self._next = 0

    def join(self) -> tuple[int, asyncio.Queue[Event | None]]:
        """A new watcher: its number and its buffer, in which `None` means the end."""
        self._next += 1
        # One place more than the limit, so that the end always finds room.
        buffer: asyncio.Queue[Event | None] = asyncio.Queue(_BUFFER_EVENTS + 1)
        self._buffers[self._next] = buffer
        return self._next, buffer

    def leave(self, number: int) -> None:
        self._buffers.pop(number, None)

    def broadcast(self, event: Event) -> None:
        for buffer in self._buffers.values():
            if buffer.qsize() < _BUFFER_EVENTS:
                buffer.put_nowait(event)

    def dismiss(self) -> None:
        """Tell every watcher that the broker stops."""
        for number in list(self._buffers):
            self._buffers.pop(number).put_nowait(None)
