"""Who is alive: a workspace that was heard of, and then is not for its time to live, goes offline.

Kept in memory only. A broker that starts again has heard of nobody yet and so takes nobody offline: an agent that lives
is heard of soon, and being offline stops no delivery.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

from reference_impl.background import Background
from reference_impl.config import Config
from reference_impl.events import EventFactory, Watchers, store_event
from reference_impl.store import Connection, Store, transaction

# Only if nothing was heard meanwhile, be it by another broker; and never against what an operator decided (INV-99).
_TAKE_OFFLINE = """
UPDATE workspaces SET status = 'offline'
WHERE id = $1 AND last_heartbeat_at = $2
    AND status NOT IN ('offline', 'removed', 'paused', 'hibernating', 'hibernated')
RETURNING id
"""


class Liveness:
    """One timer for each workspace that was heard of."""

    def __init__(
        self, *, config: Config, store: Store, events: EventFactory, watchers: Watchers, background: Background
    ) -> None:
        self._time_to_live_s = config.liveness_s
        self._store = store
        self._events = events
        self._watchers = watchers
        self._background = background
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def heard_of(self, workspace: str, *, at: datetime) -> None:
        """The workspace lives; `at` is what its row says of this."""
        if (timer := self._timers.pop(workspace, None)) is not None:
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._timers[workspace] = loop.call_later(self._time_to_live_s, self._fall_silent, workspace, at)

    def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _fall_silent(self, workspace: str, at: datetime) -> None:
        del self._timers[workspace]
        self._background.detach(self._take_offline(workspace, at), name=f"take {workspace} offline")

    async def _take_offline(self, workspace: str, at: datetime) -> None:
        event = self._events.make("WORKSPACE_OFFLINE", workspace, {"last_heartbeat_at": at.isoformat()})

        async def store(connection: Connection) -> bool:
            async with transaction(connection):
                gone = await connection.fetchval(_TAKE_OFFLINE, workspace, at) is not None
                if gone:
                    await store_event(connection, event)
            return gone

        if await self._store.persist(store):
            self._watchers.broadcast(event)
