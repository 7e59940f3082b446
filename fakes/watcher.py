"""A client that follows the broker's events over its WebSocket, as a canvas does, and comes back when it is cut off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import aiohttp

RETRY_S = 1.0

Event = Mapping[str, Any]


class Watcher:
    """Gives each event that the broker sends to `on_event`, in order. What is sent while it is cut off, it misses."""

    def __init__(
        self, url: str, *, headers: Mapping[str, str] | None = None, on_event: Callable[[Event], None]
    ) -> None:
        """`headers`: what lets it in."""
        self._url = url
        self._headers = headers or {}
        self._on_event = on_event
        self.connected = asyncio.Event()
        """Set while events are received."""

    async def run(self) -> None:
        """Watch until cancelled. Raises ValueError for a message that is no JSON object: no broker may send that."""
        async with aiohttp.ClientSession() as session:
            while True:
                with suppress(aiohttp.ClientError, OSError):
                    async with session.ws_connect(self._url, headers=self._headers) as socket:
                        self.connected.set()
                        async for message in socket:
                            if message.type is aiohttp.WSMsgType.TEXT:
                                self._tell(message.data)
                self.connected.clear()
                await asyncio.sleep(RETRY_S)

    def _tell(self, text: str) -> None:
        event = json.loads(text)
        if not isinstance(event, dict):
            raise ValueError(f"an event of the broker is no JSON object: {text[:200]}")
        self._on_event(event)
