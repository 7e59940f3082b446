"""Work that outlives the request that began it.

asyncio keeps only weak references to tasks, so somebody has to hold them, and somebody has to end them
when the broker stops: that is this file. A detached task runs in a copy of its creator's context: trace id
and tenant id come along, cancellation does not (S1, INV-01, INV-02).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_log = logging.getLogger(__name__)


async def every(
    interval_s: float, work: Callable[[], Awaitable[object]], *, name: str, first_s: float | None = None
) -> None:
    """Do `work` each time `interval_s` seconds have passed, until cancelled. A failure ends one turn only (H63).

    `first_s`: the first time after so many seconds.
    """
    await asyncio.sleep(interval_s if first_s is None else first_s)
    while True:
        try:
            await work()
        except Exception:
            _log.exception("%s failed; it is tried again in %.0f s", name, interval_s)
        await asyncio.sleep(interval_s)


class Background:
    """The detached tasks of one broker."""

    def __init__(self) -> None:
        # A dict, not a set: cancelled in the order of creation, the same in every run.
        self._tasks: dict[asyncio.Task[Any], None] = {}

    def detach(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run `work` apart from the caller. An exception nobody awaits is logged, never lost."""
        task = asyncio.create_task(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    async def drain(self, grace_s: float) -> None:
        """Give what runs `grace_s` seconds to end, then cancel the rest and wait for that."""
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=grace_s)
        if self._tasks:
            leftover = list(self._tasks)
            _log.warning("stopping with %d detached task(s) unfinished", len(leftover))
            for task in leftover:
                task.cancel()
            await asyncio.wait(leftover)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("detached task %s failed", task.get_name(), exc_info=error)
