"""Places at the database: so many pieces of work at a time, and who is waited for goes first.

After a time without a database there is a backlog: executions that nobody waits for, hundreds of them, each of many
pieces. In the order of coming, a request that was just sent would wait for all of it, and callers would feel a blip
for several times its length. So requests go first, and executions have a part of the places only: what they cannot
take at once, they do not take from the processors either, which is where callers would wait for them next. A database
that is slow to answer takes nothing from the processors, so that part grows while it is waited for.

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
_EXECUTIONS_SHARE = 0.3
"""Of the places, for executions while the backlog is short. If they have them all, callers feel a blip for seconds."""
_ONE_MORE_S = 0.01
"""So often executions get a place more than their part, if one is free. A quick database has given them ten by then."""
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
        self._executing_max = max(round(_EXECUTIONS_SHARE * size), 1)
        self._one_more: asyncio.TimerHandle | None = None
        self._handed_on = 0

    def taken_at_once(self) -> bool:
        """Take a place if one is free."""
        if self._free == 0:
            return False
        if not _IS_WAITED_FOR.get():
            if self._executing >= self._executing_max:
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
        self._soon_one_more()
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
        self._soon_one_more()

    def _hand_to(self, waiting: deque[asyncio.Future[None]]) -> None:
        turn = waiting.popleft()
        if not turn.done():
            turn.set_result(None)
            self._free -= 1
            self._executing += waiting is self._executions

    def _soon_one_more(self) -> None:
        if self._free and self._executions and self._one_more is None:
            self._one_more = asyncio.get_running_loop().call_later(_ONE_MORE_S, self._hand_one_more)

    def _hand_one_more(self) -> None:
        self._one_more = None
        if self._free and self._executions:
            self._hand_to(self._executions)
            self._soon_one_more()

    def _next(self) -> deque[asyncio.Future[None]] | None:
        """Those who wait of whom one has the next turn."""
        first, others = self._requests, self._executions
        long = len(self._executions) > self._backlog_max
        if long:
            first, others = others, first
        if self._handed_on % _OTHERS == 0:
            first, others = others, first
        if not long and self._executing >= self._executing_max:
            return self._requests or None
        return first or others or None
