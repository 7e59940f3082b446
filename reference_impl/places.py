"""Places at the database: so many pieces of work at a time, and who is waited for goes first.

After a time without a database there is a backlog: executions that nobody waits for, hundreds of them, each of many
pieces. In the order of coming, a request that was just sent would wait for all of it, and callers would feel a blip
for several times its length. So requests go first.

That alone would accept more than ever comes to an end, because accepting is one piece and executing about eight. So it
holds only while the backlog is short. When it is long, executions go first, and callers wait until there is room for
what they ask: that is what keeps a broker standing which is asked for more than it can do. Neither kind ever waits for
all of the other: every tenth place is for those who do not go first. Within a kind it is the order of asking.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import ContextVar

_BACKLOG_MAX = 50
"""For each place, so many pieces of executions may wait before they go first."""
_OTHERS = 10
"""One place in so many is for those who do not go first. An execution needs about eight, and was one request."""
_IS_WAITED_FOR: ContextVar[bool] = ContextVar("is_waited_for", default=True)


def let_others_go_first() -> None:
    """From now on nobody waits for what this task, and those that it begins, do."""
    _IS_WAITED_FOR.set(False)


class Places:
    """`size` places, handed from who is done to who waits."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._backlog_max = _BACKLOG_MAX * size
        self._requests: deque[asyncio.Future[None]] = deque()
        self._executions: deque[asyncio.Future[None]] = deque()
        self._handed_on = 0

    def taken_at_once(self) -> bool:
        """Take a place if one is free."""
        if self._free == 0:
            return False
        self._free -= 1
        return True

    async def acquire(self) -> None:
        """Wait for a place, which is the caller's to release."""
        if self.taken_at_once():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._requests if _IS_WAITED_FOR.get() else self._executions).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was handed over in the same moment
                self.release()
            raise

    def release(self) -> None:
        """Hand a place on."""
        self._handed_on += 1
        while self._requests or self._executions:
            turn = self._next().popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _next(self) -> deque[asyncio.Future[None]]:
        """Who has the next turn, of those who wait."""
        first, others = self._requests, self._executions
        if len(self._executions) > self._backlog_max:
            first, others = others, first
        if self._handed_on % _OTHERS == 0:
            first, others = others, first
        return first or others
