"""Every contact with the database goes through `Store.run`: it ends, with a result or an error, in time.

asyncpg's pool does not promise that: against a peer that has fallen silent, leaving `async with pool.acquire()` waits
for a cancel request that nobody answers (its issue 1326). What is needed here is also less than a pool: a connection
on which anything went wrong is thrown away (`terminate` waits for nobody), and one that is kept has just finished its
work, outside any transaction and with no session state set, so there is nothing to reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.resources import files
from math import inf
from typing import TypeAlias, TypeVar

import asyncpg

from reference_impl.config import ConfigError
from reference_impl.places import Places

T = TypeVar("T")
Record = asyncpg.Record
Connection: TypeAlias = "asyncpg.Connection[Record]"
Work = Callable[[Connection], Awaitable[T]]

# The database could not be asked, or nobody knows whether it did what it was asked. `OSError` includes
# `TimeoutError`; `InterfaceError` is how asyncpg reports a connection that died while idle.
UNREACHABLE = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InternalClientError,
)
# Trying the same again can succeed.
RETRYABLE = (*UNREACHABLE, asyncpg.TransactionRollbackError)

LATE_PACKET_S = 1000.0
"""So long what was refused may still be committed: Linux gives up a connection that is silent for 924 s."""

_WAIT_SHARE = 0.5
"""Of a limit, what may go by waiting for a place. Work that is begun with little time left is cut off in the middle,
and its connection is lost with it: under a backlog that is as long as the limit, nothing else would happen."""
_BACKOFF_FIRST_S = 0.1
_BACKOFF_MAX_S = 5.0
_CLOSE_S = 1.0
_log = logging.getLogger(__name__)


class Store:
    """The broker's Postgres. `timeout_s` bounds one piece of work, connecting included; `size` the connections."""

    def __init__(self, url: str, *, timeout_s: float, size: int, on_retry: Callable[[], None] = lambda: None) -> None:
        """`on_retry`: called before each wait for another try."""
        self._url = url
        self._timeout_s = timeout_s
        self._on_retry = on_retry
        self._places = Places(size)
        # The last one used is the next one used: it is warm, and those that a lull leaves over stay untouched.
        self._idle: list[Connection] = []

    @classmethod
    async def open(cls, url: str, *, timeout_s: float, size: int, on_retry: Callable[[], None] = lambda: None) -> Store:
        """Connect once, which proves that the database is there; while it is away, keep trying.

        Raises `ConfigError` for a URL that makes no sense.
        """
        store = cls(url, timeout_s=timeout_s, size=size, on_retry=on_retry)
        await store._until_reached(lambda: store.run(_nothing), what="connecting to the database")
        return store

    async def run(self, work: Work[T], *, timeout_s: float | None = None) -> T:
        """Do `work` on a connection of its own, in at most `timeout_s` (or the store's own limit).

        Raises what `work` raises, and something of `UNREACHABLE` if the database cannot be reached or falls
        silent. After the latter nobody knows whether `work` was committed. At most half of the time goes by waiting
        for other work to end.
        """
        limit_s = self._timeout_s if timeout_s is None else min(timeout_s, self._timeout_s)
        async with asyncio.timeout(limit_s):
            await self._place(asyncio.get_running_loop().time() + limit_s * _WAIT_SHARE)
            return await self._in_its_place(work)

    async def persist(self, work: Work[T], *, deadline_s: float | None = None) -> T:
        """Do `work` again and again until the database has answered it.

        `work` must recognise what an earlier try of its own has committed. Tries for as long as the process
        lives, or raises `TimeoutError` when `deadline_s` (loop time) leaves no room for another try. Any other
        error is raised at once.
        """
        clock = asyncio.get_running_loop().time

        async def attempt() -> T:
            # However long it takes: what gives up its place in the queue only asks again.
            await self._place(deadline_s)
            left_s = inf if deadline_s is None else deadline_s - clock()
            async with asyncio.timeout(min(left_s, self._timeout_s)):
                return await self._in_its_place(work)

        return await self._until_reached(attempt, what="writing to the database", deadline_s=deadline_s)

    async def _place(self, deadline_s: float | None) -> None:
        """Acquire a place. Raises `TimeoutError`."""
        if not self._places.taken_at_once():  # else no time-out has to be set
            async with asyncio.timeout_at(deadline_s):
                await self._places.acquire()

    async def _in_its_place(self, work: Work[T]) -> T:
        """Do `work` on a connection, and give back the place that was acquired for it."""
        try:
            connection = self._take() or await self._connect()
            sound = False
            try:
                result = await work(connection)
                sound = True
            except asyncpg.PostgresError as error:
                sound = not isinstance(error, UNREACHABLE) and not connection.is_in_transaction()
                raise
            finally:
                if sound:
                    self._idle.append(connection)
                else:
                    connection.terminate()
            return result
        finally:
            self._places.release()

    async def _until_reached(
        self, attempt: Callable[[], Awaitable[T]], *, what: str, deadline_s: float | None = None
    ) -> T:
        clock = asyncio.get_running_loop().time
        delay_s = _BACKOFF_FIRST_S
        while True:
            try:
                return await attempt()
            except RETRYABLE as error:
                if deadline_s is not None and clock() + delay_s >= deadline_s:
                    raise TimeoutError(f"{what}: {describe(error)}") from error
                _log.warning("%s: %s; next try in %.1f s", what, describe(error), delay_s)
                self._on_retry()
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _BACKOFF_MAX_S)

    async def migrate(self) -> None:
        """Apply schema.sql."""
        script = files("reference_impl").joinpath("schema.sql").read_text()
        await self.persist(lambda connection: connection.execute(script))

    async def close(self) -> None:
        """Close the connections; a silent database is not waited for."""
        try:
            async with asyncio.timeout(_CLOSE_S):
                await asyncio.gather(*(connection.close() for connection in self._idle))
        except UNREACHABLE:
            for connection in self._idle:
                connection.terminate()

    def _take(self) -> Connection | None:
        """An idle connection that was not lost meanwhile."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    async def _connect(self) -> Connection:
        try:
            return await asyncpg.connect(
                self._url,
                # Should we vanish in mid-transaction, the row locks must not stay behind for long.
                server_settings={"idle_in_transaction_session_timeout": f"{round(self._timeout_s * 2000)}ms"},
                # Our statements are few and stay the same: none needs a timer that forgets it.
                max_cached_statement_lifetime=0,
            )
        except ValueError:
            # No try will ever understand this URL. What the error says may quote the password.
            fix = "write postgres://user:password@host:5432/name, special characters of the password as %XX"
            raise ConfigError(f"DATABASE_URL: the value cannot be read; {fix}") from None


def describe(error: BaseException) -> str:
    """The error for a log line; many time-outs have no text of their own."""
    return str(error) or type(error).__name__


@contextlib.asynccontextmanager
async def transaction(connection: Connection) -> AsyncIterator[None]:
    """What is done within becomes visible together, or not at all.

    Where it goes wrong, nothing is said to the database, which may have fallen silent: `Store.run` throws the
    connection away, and that rolls back.
    """
    await connection.execute("BEGIN")
    yield
    await connection.execute("COMMIT")


async def _nothing(_connection: Connection) -> None:
    """Work that only needs a connection."""
