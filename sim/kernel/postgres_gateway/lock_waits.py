"""Sessions whose statement waits for a lock, while virtual time and all other sessions go on.

Postgres says so itself: with ``log_lock_waits`` and a ``deadlock_timeout`` of 1 ms a backend that has to wait,
and is in no deadlock, sends its client a LOG notice. Nothing polls and nothing is timed.

On the notice the session is parked and its backend stopped (SIGSTOP: it sleeps and holds no internal lock). After
every statement that another session completes, one snapshot of ``pg_locks`` tells which parked backends have been
granted their lock; they are woken one at a time, in an order drawn from a seeded generator. Unstopped, several
waiters for one row would race in real time. As nobody else's deadlock check is pending, the session that closes a
cycle of waits is always the victim.
"""

from __future__ import annotations

import atexit
import os
import random
import signal
from collections.abc import Callable
from typing import Protocol

from .backend import Backend

_kill = os.kill
_stopped: set[int] = set()


def _continue_all() -> None:
    """A process that ends leaves no backend stopped behind."""
    for pid in _stopped:
        try:
            _kill(pid, signal.SIGCONT)
        except OSError:
            continue


atexit.register(_continue_all)


class Waiter(Protocol):
    """A session as seen from here."""

    @property
    def backend(self) -> Backend: ...

    def finished(self) -> None:
        """The reply to the parked statement is complete."""


class LockWaits:
    """The parked sessions of one world."""

    def __init__(self, waiting_pids: Callable[[], set[int]], generator: random.Random) -> None:
        """``waiting_pids``: which server processes wait for a lock at this moment."""
        self._waiting_pids = waiting_pids
        self._random = generator
        self._parked: list[Waiter] = []
        self._settling = False

    def __bool__(self) -> bool:
        return bool(self._parked)

    def __contains__(self, waiter: Waiter) -> bool:
        return waiter in self._parked

    def park(self, waiter: Waiter) -> None:
        """Stop a backend that said it waits. Others may have moved up: Postgres rearranges queues to avoid deadlock."""
        backend = waiter.backend
        _stopped.add(backend.pid)
        backend.stop()
        others = bool(self._parked)
        self._parked.append(waiter)
        if others:
            self.settle()

    def settle(self) -> None:
        """Let parked sessions whose lock was granted run, until none is left."""
        if self._settling:
            return  # a statement that completes in here is followed by a new snapshot anyway
        self._settling = True
        try:
            while self._parked:
                waiting = self._waiting_pids()
                granted = [waiter for waiter in self._parked if waiter.backend.pid not in waiting]
                if not granted:
                    return
                self._wake(granted[0] if len(granted) == 1 else self._random.choice(granted))
        finally:
            self._settling = False

    def cancel(self, waiter: Waiter) -> None:
        """End a parked session's statement with 57014; what waited behind it may move up."""
        waiter.backend.interrupt()
        self._wake(waiter)
        self.settle()

    def abandon(self) -> None:
        """Cancel all parked statements and tell nobody: the end of a world."""
        while self._parked:
            backend = self._parked.pop(0).backend
            backend.interrupt()
            self._resume(backend)
            while not backend.read():
                backend.interrupt()

    def _wake(self, waiter: Waiter) -> None:
        backend = waiter.backend
        self._parked.remove(waiter)
        self._resume(backend)
        if backend.read():
            waiter.finished()
        else:
            self.park(waiter)

    def _resume(self, backend: Backend) -> None:
        backend.resume()
        _stopped.discard(backend.pid)
