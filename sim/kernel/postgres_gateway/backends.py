"""Real backends of the server, kept warm: leased to one client connection after another, for many worlds.

A new backend costs 2 to 5 ms (fork, authentication, cold catalogue caches), a leased one nothing: what it said
when it started is played again to the next client that sends the same start-up packet. One backend never works
while another does, except to clean up an idle session.
"""

from __future__ import annotations

from . import wire
from .backend import IDLE, Backend, pin
from .control import ControlSession

_STATEMENTS_MAX = 300
"""Statements a backend may remember before it starts afresh."""

_ROLLBACK = wire.query("ROLLBACK")
_FORGET_ALL = wire.query("DISCARD ALL")
_KEEP_STATEMENTS = wire.query(
    "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); "
    "DISCARD SEQUENCES; DISCARD TEMP"
)
"""DISCARD ALL without its DEALLOCATE and DISCARD PLANS."""


class Backends:
    """The warm backends of one worker process. Not thread-safe; one world uses it at a time."""

    def __init__(self, socket_path: str, *, core: int | None = None) -> None:
        """``core``: pin this process and all of its backends to that core."""
        self._socket_path = socket_path
        self._core = core
        self._free: dict[bytes, list[Backend]] = {}
        self._control: ControlSession | None = None
        self._waiting_query = b""
        self.schema_version = 0
        """Counts what may have changed the answer to a Describe."""
        self.reset_reply = b""
        """What the server answers to asyncpg's pool reset, once it is known."""
        pin(0, core)

    def lease(self, packet: bytes) -> Backend:
        """A clean backend for this start-up packet. Raises StartupRefused."""
        free = self._free.get(packet)
        if free:
            return free.pop()
        backend = Backend(self._socket_path, packet)
        pin(backend.pid, self._core)
        return backend

    def release(self, backend: Backend, *, keep_statements: bool, wait: bool) -> None:
        """Take a backend back and clean it. ``wait``: its locks have to be free on return."""
        batch, replies = b"", 1
        if backend.mid_batch:
            batch, replies = wire.SYNC, replies + 1
        if backend.mid_batch or backend.status != IDLE:
            batch, replies, wait = batch + _ROLLBACK, replies + 1, True
        backend.refusal = None
        backend.client_names = {}
        if keep_statements and len(backend.statements) < _STATEMENTS_MAX:
            batch += _KEEP_STATEMENTS
        else:
            batch += _FORGET_ALL
            backend.statements.clear()
        if wait:
            backend.exchange(batch, prefix=replies - 1)
        else:
            backend.owe(batch, replies)
        self._free.setdefault(backend.packet, []).append(backend)

    def settle(self) -> None:
        """Wait until no released backend has anything left to do."""
        for free in self._free.values():
            for backend in free:
                backend.settle()

    def waiting_pids(self) -> set[int]:
        """Processes that wait for a heavyweight lock right now: one consistent snapshot."""
        if self._control is None:
            self._control = ControlSession(self._socket_path, "postgres")
            self._waiting_query = self._control.prepare("w", "SELECT pid FROM pg_locks WHERE NOT granted")
            pin(self._control.backend_pid, self._core)
        return {int(pid) for (pid,) in self._control.run(self._waiting_query) if pid}

    def close(self) -> None:
        """End all backends that are not leased."""
        for free in self._free.values():
            for backend in free:
                backend.close()
        self._free.clear()
        if self._control is not None:
            self._control.close()
            self._control = None
