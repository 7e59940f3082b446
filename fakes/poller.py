"""The reference inbox poller: what a workspace that cannot be pushed to does to learn of its messages.

The rules: every 5 s; without a cursor the rows of the last 600 s, oldest first; then everything past the last row that
was processed, skipped rows included; a 410 (the cursor's row is gone) drops the cursor, and what comes twice is told
apart by its id. Own messages are skipped, except results of delegations, whose source is the workspace itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import aiohttp

START_WINDOW_S = 600

Row = Mapping[str, object]


class Poller:
    """Polls the inbox of one workspace and gives each new row to `on_row`, once and in order."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        workspace_id: str,
        *,
        token: str | None = None,
        interval_s: float = 5.0,
        start_window_s: int = START_WINDOW_S,
        on_row: Callable[[Row], None],
    ) -> None:
        self._session = session
        self._url = f"{base_url.rstrip('/')}/workspaces/{workspace_id}/activity"
        self._workspace_id = workspace_id
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
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
        params = {"type": "a2a_receive"}
        if self.cursor is None:
            params["since_secs"] = str(self._start_window_s)
        else:
            params["since_id"] = self.cursor
        try:
            async with self._session.get(self._url, params=params, headers=self._headers) as response:
                if response.status == 410:
                    self.cursor = None
                if response.status != 200:
                    return False
                rows: list[Row] = await response.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return False
        for row in rows if "since_id" in params else reversed(rows):
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
