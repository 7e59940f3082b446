"""Places at the database: so many pieces of work at a time, and who is waited for goes first.

After a time without a database there is a backlog: executions that nobody waits for, hundreds of them, each of many
pieces. In the order of coming, a request that was just sent would wait for all of it, and callers would feel a blip
for several times its length. So requests go first, and executions have a part of the places only: what they cannot
take at once, they do not take from the processors either, which is where callers would wait for them next. How large
that part has to be depends on how quick the database is, so it grows while executions wait, and is small again as soon
as none does.

That alone would accept more than ever comes to an end, because accepting is one piece and executing about eight. So it
holds only while the backlog is short. When it is long, executions go first and everywhere, and callers wait until there
is room for what they ask: that is what keeps a broker standing which is asked for more than it can do. Neither kind
ever waits for all of the other: every tenth place is for those who do not go first. Within a kind it is the order of
asking.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import ContextVar

_BACKLOG_MAX = 50
"""For each place, so many pieces of executions may wait before they go first."""
_SHARE_AT_FIRST = 0.3
"""Of the places, for executions. If they have them all at once, callers feel a blip for seconds."""
_ONE_MORE_S = 0.2
"""So often their part grows by a place while some of them wait. A quick database has worked a blip off by then."""
_OTHERS = 10
"""One place in so many is for those who do not go first. An execution needs about eight, and was one request."""
_IS_WAITED_FOR: ContextVar[bool] = ContextVar("is_waited_for", default=True)


def let_others_go_first() -> None:
    """From now on nobody waits for what this task, and those that it begins, do."""
    _IS_WAITED_FOR.set(False)


class Places:
    """`size` places, handed from who is done to who waits. Whoever acquires one releases it, in the same task."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._backlog_max = _BACKLOG_MAX * size
        self._requests: deque[asyncio.Future[None]] = deque()
        self._executions: deque[asyncio.Future[None]] = deque()
        self._executing = 0
        self._part_at_first = self._part = max(round(_SHARE_AT_FIRST * size), 1)
        self._growing: asyncio.TimerHandle | None = None
        self._handed_on = 0

    def taken_at_once(self) -> bool:
        """Take a place if one is free."""
        if self._free == 0:
            return False
        if not _IS_WAITED_FOR.get():
            if self._executing >= self._part:
                return False
            self._executing += 1
        self._free -= 1
        return True

    async def acquire(self) -> None:
        """Wait for a place, which is the caller's to release."""
        if self.taken_at_once():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._requests if _IS_WAITED_FOR.get() else self._executions).append(turn)
        self._grow_soon()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was handed over in the same moment
                self.release()
            raise

    def release(self) -> None:
        """Hand a place on."""
        self._handed_on += 1
        self._free += 1
        if not _IS_WAITED_FOR.get():
            self._executing -= 1
        while self._free and (waiting := self._next()):
            self._hand_to(waiting)
        if not self._executions:
            self._part = self._part_at_first

    def _hand_to(self, waiting: deque[asyncio.Future[None]]) -> None:
        turn = waiting.popleft()
        if not turn.done():
            turn.set_result(None)
            self._free -= 1
            self._executing += waiting is self._executions

    def _grow_soon(self) -> None:
        if self._executions and self._growing is None:
            self._growing = asyncio.get_running_loop().call_later(_ONE_MORE_S, self._grow)

    def _grow(self) -> None:
        self._growing = None
        if self._executions:
            self._part += 1
            if self._free:
                self._hand_to(self._executions)
            self._grow_soon()

    def _next(self) -> deque[asyncio.Future[None]] | None:
        """Those who wait of whom one has the next turn."""
        first, others = self._requests, self._executions
        long = len(self._executions) > self._backlog_max
        if long:
            first, others = others, first
        if self._handed_on % _OTHERS == 0:
            first, others = others, first
        if not long and self._executing >= self._part:
            return self._requests or None
        return first or others or None
