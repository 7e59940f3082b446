"""What the broker tells those who watch it: stored in `structure_events`, then broadcast to WebSockets and SSE streams.

An event is broadcast only after the transaction that stored it has committed; `ACTIVITY_LOGGED` and `A2A_RESPONSE`
only repeat what a row says, and are broadcast without being stored. A watcher that does not keep up loses events,
never the broker its memory: watchers are limited in number, and so is the buffer of each.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reference_impl.clock import Clock
from reference_impl.store import Connection
from reference_impl.text import dump_json

Listener = Callable[[], None]

_WATCHERS_MAX = 1000

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

    def as_frame(self) -> bytes:
        """What an SSE client receives; its timestamp is in milliseconds."""
        at_ms = round(self.at.timestamp() * 1000)
        return f"data: {dump_json({'type': self.type, 'timestamp': at_ms, 'data': self.payload})}\n\n".encode()


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


class TooManyWatchers(Exception):
    """There is no room for another watcher."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Watch:
    """One watcher's place: events wait in `buffer`, at most `size_events` of them; `None` means the end.

    `workspace_id`: it hears of this workspace only; None: of all.
    """

    size_events: int
    workspace_id: str | None
    buffer: asyncio.Queue[Event | None]


class Watchers:
    """Those who watch now, on whatever kind of connection."""

    def __init__(self) -> None:
        # A dict, not a set: told in the order in which they came, the same in every run.
        self._watches: dict[Watch, None] = {}
        self._listeners: defaultdict[str, dict[Listener, None]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._watches)

    def join(self, *, size_events: int, workspace_id: str | None = None) -> Watch:
        """A new watcher. Raises `TooManyWatchers`."""
        if len(self._watches) >= _WATCHERS_MAX:
            raise TooManyWatchers
        # One place more than the limit, so that the end always finds room.
        watch = Watch(size_events=size_events, workspace_id=workspace_id, buffer=asyncio.Queue(size_events + 1))
        self._watches[watch] = None
        return watch

    def leave(self, watch: Watch) -> None:
        self._watches.pop(watch, None)

    @contextlib.contextmanager
    def listening(self, workspace_id: str, hear: Listener) -> Iterator[None]:
        """Within, call `hear` at each event of the workspace."""
        self._listeners[workspace_id][hear] = None
        try:
            yield
        finally:
            del self._listeners[workspace_id][hear]
            if not self._listeners[workspace_id]:
                del self._listeners[workspace_id]

    def broadcast(self, event: Event) -> None:
        for hear in self._listeners.get(event.workspace_id, ()):
            hear()
        for watch in self._watches:
            if watch.workspace_id in (None, event.workspace_id) and watch.buffer.qsize() < watch.size_events:
                watch.buffer.put_nowait(event)

    def dismiss(self) -> None:
        """Tell every watcher that the broker stops."""
        while self._watches:
            watch, _ = self._watches.popitem()
            watch.buffer.put_nowait(None)
