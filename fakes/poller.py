"""The reference inbox poller: what a workspace that cannot be pushed to does to learn of its messages.

The rules: every 5 s; without a cursor the rows of the last 600 s, oldest first; then everything past the last row that
was processed, skipped rows included; a 410 (the cursor's row is gone) drops the cursor, and what comes twice is told
apart by its id. Own messages are skipped, except results of delegations, whose source is the workspace itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import aiohttp

START_WINDOW_S = 600
ROWS_MAX = 500
"""The most that the inbox gives at once; without asking it gives 100, and a first poll would lose the oldest."""

Row = Mapping[str, object]
Fetch = Callable[[str], Awaitable[tuple[int, Any]]]
"""GET a path of the broker: status and decoded body. Raises OSError or ValueError if no whole answer came."""


def fetch_over(session: aiohttp.ClientSession, base_url: str, *, token: str | None = None) -> Fetch:
    """A `Fetch` through an aiohttp session."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def fetch(path: str) -> tuple[int, Any]:
        try:
            async with session.get(base_url.rstrip("/") + path, headers=headers) as response:
                body = await response.json(content_type=None) if response.status == 200 else None
                return response.status, body
        except aiohttp.ClientError as error:
            raise OSError(str(error)) from error

    return fetch


class Poller:
    """Polls the inbox of one workspace and gives each new row to `on_row`, once and in order."""

    def __init__(
        self,
        fetch: Fetch,
        workspace_id: str,
        *,
        interval_s: float = 5.0,
        start_window_s: int = START_WINDOW_S,
        path: str = "",
        on_row: Callable[[Row], None],
    ) -> None:
        """`path`: where the inbox is, if not where the contract has it."""
        self._fetch = fetch
        self._path = path or f"/workspaces/{workspace_id}/activity"
        self._workspace_id = workspace_id
        self._interval_s = interval_s
        self._start_window_s = start_window_s
        self._on_row = on_row
        self._seen: set[object] = set()
        self.cursor: str | None = None

    async def run(self) -> None:
        """Poll until cancelled; a poll that fails is made up for by the next."""
        while True:
            await self.poll_once()
            await asyncio.sleep(self._interval_s)

    async def poll_once(self) -> bool:
        """One poll; False if the inbox could not be read: connection lost, time-out, or another answer than 200."""
        place = {"since_secs": self._start_window_s} if self.cursor is None else {"since_id": self.cursor}
        query = urlencode({"type": "a2a_receive", "limit": ROWS_MAX, **place})
        try:
            status, rows = await self._fetch(f"{self._path}{'&' if '?' in self._path else '?'}{query}")
        except (OSError, ValueError):
            return False
        if status == 410:
            self.cursor = None
        if status != 200:
            return False
        for row in rows if "since_id" in place else reversed(rows):
            self._process(row)
        return True

    def _process(self, row: Row) -> None:
        identity = row["id"]
        if identity not in self._seen:
            self._seen.add(identity)
            if not self._is_own(row):
                self._on_row(row)
        self.cursor = str(identity)

    def _is_own(self, row: Row) -> bool:
        source, method = row.get("source_id"), row.get("method")
        if method == "notify" and not source:
            return True
        return source == self._workspace_id and method != "delegate_result"
