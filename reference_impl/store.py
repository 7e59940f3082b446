"""Every contact with the database goes through `Store.run`: it ends, with a result or an error, in time.

asyncpg alone does not promise that. Against a peer that has fallen silent, leaving `async with pool.acquire()`
waits for a cancel request that nobody answers, and a command timeout does not cover reconnecting. So a
connection on which anything went wrong is thrown away, not returned: `terminate` waits for nobody.

The reverse holds too: a connection that is returned has just finished its work, outside any transaction and
with no session state set, as nothing here sets any. So there is nothing for the pool to reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.resources import files
from typing import Any, TypeAlias, TypeVar

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from reference_impl.config import ConfigError

T = TypeVar("T")
Record = asyncpg.Record
Connection: TypeAlias = "PoolConnectionProxy[Record]"
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

_BACKOFF_FIRST_S = 0.1
_BACKOFF_MAX_S = 5.0
_CLOSE_S = 1.0
_log = logging.getLogger(__name__)


class Store:
    """The broker's Postgres. `timeout_s` bounds one piece of work, connecting included."""

    def __init__(self, pool: asyncpg.Pool[Record], *, timeout_s: float) -> None:
        self._pool = pool
        self._timeout_s = timeout_s

    @classmethod
    async def open(cls, url: str, *, timeout_s: float, pool_size: int) -> Store:
        """Connect; while the database is away, keep trying. Raises `ConfigError` for a URL that makes no sense."""

        async def connect() -> asyncpg.Pool[Record]:
            try:
                return await asyncpg.create_pool(
                    url,
                    # One connection proves that the database is there. No floor: the pool's own refilling would
                    # compete with those who wait for a connection while the database is away.
                    init_size=1,
                    min_size=0,
                    max_size=pool_size,
                    timeout=timeout_s,
                    # `run` bounds all that is done on a connection, so commands need no limit of their own; and
                    # what was idle for long is used or found broken like any other.
                    command_timeout=None,
                    max_inactive_connection_lifetime=0,
                    reset=_nothing_to_reset,
                    # Should we vanish in mid-transaction, the row locks must not stay behind for long.
                    server_settings={"idle_in_transaction_session_timeout": f"{round(timeout_s * 2000)}ms"},
                )
            except ValueError:
                # No try will ever understand this URL. What the error says may quote the password.
                fix = "write postgres://user:password@host:5432/name, special characters of the password as %XX"
                raise ConfigError(f"DATABASE_URL: the value cannot be read; {fix}") from None

        return cls(await _until_reached(connect, what="connecting to the database"), timeout_s=timeout_s)

    async def run(self, work: Work[T], *, timeout_s: float | None = None) -> T:
        """Do `work` on a connection of its own, in at most `timeout_s` (or the store's own limit).

        Raises what `work` raises, and something of `UNREACHABLE` if the database cannot be reached or falls
        silent. After the latter nobody knows whether `work` was committed.
        """
        limit_s = self._timeout_s if timeout_s is None else min(timeout_s, self._timeout_s)
        async with asyncio.timeout(limit_s):
            connection = await self._pool.acquire()
            sound = False
            try:
                result = await work(connection)
                sound = True
            except asyncpg.PostgresError as error:
                with contextlib.suppress(asyncpg.InterfaceError):
                    sound = not isinstance(error, UNREACHABLE) and not connection.is_in_transaction()
                raise
            finally:
                if not sound:
                    # One that was lost has left the pool by itself; saying so must not hide what happened,
                    # which may be a cancellation.
                    with contextlib.suppress(asyncpg.InterfaceError):
                        connection.terminate()
                await self._pool.release(connection)
        return result

    async def persist(self, work: Work[T], *, deadline_s: float | None = None) -> T:
        """Do `work` again and again until the database has answered it.

        `work` must recognise what an earlier try of its own has committed. Tries until `deadline_s` (loop
        time; then `TimeoutError`), or for as long as the process lives. Any other error is raised at once.
        """
        async with asyncio.timeout_at(deadline_s):
            return await _until_reached(lambda: self.run(work), what="writing to the database")

    async def migrate(self) -> None:
        """Apply schema.sql."""
        script = files("reference_impl").joinpath("schema.sql").read_text()
        await self.persist(lambda connection: connection.execute(script))

    async def close(self) -> None:
        """Close the connections; a silent database is not waited for."""
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._pool.close()
        except UNREACHABLE:
            self._pool.terminate()


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


async def _until_reached(attempt: Callable[[], Awaitable[T]], *, what: str) -> T:
    delay_s = _BACKOFF_FIRST_S
    while True:
        try:
            return await attempt()
        except RETRYABLE as error:
            _log.warning("%s: %s; next try in %.1f s", what, describe(error), delay_s)
        await asyncio.sleep(delay_s)
        delay_s = min(delay_s * 2, _BACKOFF_MAX_S)


async def _nothing_to_reset(_connection: Any) -> None:
    """See the module's first lines."""
