"""idle_in_transaction_session_timeout, in virtual time.

The server's own timers run in real time, so the setting is taken out of the start-up packet and kept here. A program
relies on it when its connection is black-holed in mid-transaction: the locks of the lost session are released by it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

SETTING = "idle_in_transaction_session_timeout"
_UNITS_S = {"us": 1e-6, "ms": 1e-3, "": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_IN_TRANSACTION = (b"Z\0\0\0\x05T", b"Z\0\0\0\x05E")


def limit_s(value: str) -> float:
    """Seconds of a setting's value as Postgres reads it (milliseconds without a unit); 0 is no limit."""
    match = re.fullmatch(r"\s*(\d+)\s*(us|ms|s|min|h|d|)\s*", value)
    return int(match[1]) * _UNITS_S[match[2]] if match else 0.0


class IdleLimit:
    """Calls `expire` when a session stayed idle in a transaction for `limit_s` virtual seconds."""

    def __init__(self, limit_s: float, expire: Callable[[], None]) -> None:
        self._limit_s = limit_s
        self._expire = expire
        self._idle_since_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def asked(self) -> None:
        """The client sent something: it is not idle."""
        self._idle_since_s = None

    def replied(self, reply: bytes) -> None:
        """A reply went out; whether it left the session in a transaction is its last message."""
        if reply.endswith(_IN_TRANSACTION):
            loop = asyncio.get_running_loop()
            self._idle_since_s = loop.time()
            if self._timer is None:
                self._timer = loop.call_later(self._limit_s, self._look)

    def stop(self) -> None:
        """The session is over."""
        self._idle_since_s = None
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        if self._idle_since_s is None:
            return
        loop = asyncio.get_running_loop()
        left_s = self._idle_since_s + self._limit_s - loop.time()
        if left_s > 1e-6:
            self._timer = loop.call_later(left_s, self._look)
        else:
            self._expire()
