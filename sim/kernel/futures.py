"""Futures and tasks that hash by a serial number, so that sets of them iterate in the same order in every process.

The standard ones hash by address. asyncio and aiohttp keep them in sets and iterate (`asyncio.wait`, the waiters of a
DNS lookup, `all_tasks`), so with them the same seed gave different runs in different processes. The number is drawn
when the object is first hashed, because most never are.
"""

from __future__ import annotations

import asyncio
from typing import Any


class SimFuture(asyncio.Future[Any]):
    """A future with a stable hash."""

    __slots__ = ("_serial",)
    _serial: int

    def __hash__(self) -> int:
        try:
            return self._serial
        except AttributeError:
            self._serial = serial = _next_serial(self)
            return serial


class SimTask(asyncio.Task[Any]):
    """A task with a stable hash; drawn at once, because asyncio's set of all tasks asks for it first of all."""

    __slots__ = ("_serial",)
    _serial: int

    def __new__(cls, *args: Any, loop: Any, **options: Any) -> SimTask:
        task = super().__new__(cls)
        task._serial = loop.next_serial()
        return task

    def __hash__(self) -> int:
        return self._serial


def _next_serial(future: asyncio.Future[Any]) -> int:
    number: int = future.get_loop().next_serial()  # type: ignore[attr-defined]
    return number
