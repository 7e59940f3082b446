"""The gateway of one world: a Postgres server for its clients, on any asyncio loop.

    gateway = Gateway(backends, random=random.Random(seed))
    server = await loop.create_server(gateway.protocol_factory, host, port)
    ...
    gateway.close()

The loop is blocked while Postgres works; on a simulated loop no virtual time passes meanwhile.
"""

from __future__ import annotations

import asyncio
import random as random_module
from collections.abc import Callable

from sim.kernel.errors import OutsideFailure

from . import wire
from .backend import Backend, StartupRefused
from .backends import Backends
from .lock_waits import LockWaits
from .session import Session
from .shortcuts import Shortcuts
from .tap import Statement, Tap

_SECRET_FACTOR = 2654435761


class Gateway:
    """Sessions of one world on backends that outlive it."""

    def __init__(
        self,
        backends: Backends,
        *,
        random: random_module.Random,
        database: str | None = None,
        fast: bool = True,
        on_statement: Callable[[Statement], None] | None = None,
    ) -> None:
        """``random`` chooses which of several granted waiters runs first. ``database``: the real database of every
        session, whatever name it asks for, so that the bytes of a run do not tell which worker played it. ``fast``:
        answer what is known without the server (see ``shortcuts``). ``on_statement`` is called for each statement
        once its reply is written."""
        self._backends = backends
        self.database = database
        self._fast = fast
        self._on_statement = on_statement
        self._sessions: dict[int, Session] = {}
        self._count = 0
        self._in_flux: set[int] = set()
        self._closed = False
        self.waits = LockWaits(backends.waiting_pids, random)

    def protocol_factory(self) -> Session:
        """For ``loop.create_server``."""
        self._count += 1
        return Session(self, self._count)

    def close(self) -> None:
        """End the world: cancel what waits, roll back what is open, keep the backends for the next."""
        self._closed = True
        self.waits.abandon()
        for session in list(self._sessions.values()):
            session.release_silently()
        self._backends.settle()

    # for sessions

    def admit(
        self, session: Session, packet: bytes, parameters: dict[str, str]
    ) -> tuple[Backend, Shortcuts | None, Tap | None]:
        """Lease a backend. Raises StartupRefused."""
        if self._closed:
            raise StartupRefused(wire.error_response("FATAL", "57P03", "fumble: this world has ended"))
        backend = self._backends.lease(packet)
        self._sessions[session.number] = session
        # a default isolation level could make Parse take the transaction's snapshot
        shortcuts = (
            Shortcuts(backend, self._backends, self._in_flux, session.number)
            if self._fast and "options" not in parameters and "default_transaction_isolation" not in parameters
            else None
        )
        return backend, shortcuts, Tap(session.number, self._on_statement) if self._on_statement else None

    def discharge(self, session: Session, backend: Backend, shortcuts: Shortcuts | None, *, marked: bool) -> None:
        del self._sessions[session.number]
        keep_statements = shortcuts is not None and shortcuts.may_keep_statements
        self._backends.release(backend, keep_statements=keep_statements, wait=marked or bool(self.waits))
        if shortcuts is not None:
            shortcuts.transaction_ended()
        if self.waits:
            self.waits.settle()

    def lost_postgres(self, error: Exception) -> None:
        """The real server failed a session: end the run. Raised from the loop, as transports swallow what we raise."""
        asyncio.get_running_loop().call_soon(_raise, OutsideFailure(f"Postgres failed the gateway: {error}"))

    def is_waiting(self, session: Session) -> bool:
        return session in self.waits

    def secret(self, number: int) -> int:
        """The key that a CancelRequest has to show: the same in every run."""
        return number * _SECRET_FACTOR % 2**31

    def cancel(self, number: int, secret: int) -> None:
        """A CancelRequest. Only a parked statement takes any time, so only one can be cancelled."""
        session = self._sessions.get(number)
        if session is not None and secret == self.secret(number) and session in self.waits:
            self.waits.cancel(session)


def _raise(failure: OutsideFailure) -> None:
    raise failure
