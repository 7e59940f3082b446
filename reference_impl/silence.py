"""How long an agent may be silent while it works on a message; then it is waited for no longer.

Every event of its workspace is a sign of life, above all its heartbeats (INV-81, H26), and so are the bytes of its
reply. How long an agent falls silent when all is well is best known to itself: what its last heartbeat said of that
counts instead of the setting. Kept in memory only: after a restart the setting counts until the next heartbeat.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from reference_impl.events import Listener, Watchers


class Silence:
    """The silence that is allowed to each workspace: `usual_s` seconds unless it has said otherwise."""

    def __init__(self, *, watchers: Watchers, usual_s: float) -> None:
        self._watchers = watchers
        self._usual_s = usual_s
        self._own_s: dict[str, float] = {}

    def allow(self, workspace: str, own_s: float | None) -> None:
        """What the workspace has said of itself; None: nothing, so the usual counts again."""
        if own_s is None:
            self._own_s.pop(workspace, None)
        else:
            self._own_s[workspace] = own_s

    @contextlib.asynccontextmanager
    async def limit(self, workspace: str, *, deadline_s: float) -> AsyncIterator[Listener]:
        """Raises `TimeoutError` within at `deadline_s` (loop time), and once the workspace has been silent too long.

        What it gives is to be called at signs of life that are no events.
        """
        loop = asyncio.get_running_loop()
        allowed_s = self._own_s.get(workspace, self._usual_s)
        async with asyncio.timeout_at(min(loop.time() + allowed_s, deadline_s)) as timeout:

            def alive() -> None:
                if not timeout.expired():
                    timeout.reschedule(min(loop.time() + allowed_s, deadline_s))

            with self._watchers.listening(workspace, alive):
                yield alive
