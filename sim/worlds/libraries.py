"""What unmodified libraries do that is not a function of the seed, put right from outside.

The kernel owns the process (clocks, entropy, sockets, futures in sets). What is left is state that libraries keep in
their own modules, and one order that they take from memory addresses. All of it was found by comparing traces.
"""

from __future__ import annotations

import random

from aiohttp import web_app
from aiohttp.http import WebSocketWriter
from asyncpg import connection as asyncpg_connection

_close_statements = asyncpg_connection.Connection._cleanup_stmts  # type: ignore[attr-defined]


async def _close_statements_in_order(connection: object) -> None:
    """asyncpg keeps prepared statements that have expired in a set, and closes them in the order of addresses."""
    expired = connection._stmts_to_close  # type: ignore[attr-defined]
    ordered = sorted(expired, key=lambda statement: (len(statement.name), statement.name))
    connection._stmts_to_close = dict.fromkeys(ordered)  # type: ignore[attr-defined]
    await _close_statements(connection)


asyncpg_connection.Connection._cleanup_stmts = _close_statements_in_order  # type: ignore[attr-defined]
# aiohttp masks what WebSocket clients send with a generator that it made, and seeded, when it was imported.
WebSocketWriter.__init__.__kwdefaults__ = {**(WebSocketWriter.__init__.__kwdefaults__ or {}), "random": random}


def renew() -> None:
    """Before a world: counters that go on from the last one."""
    asyncpg_connection._uid = 0  # type: ignore[attr-defined]  # numbers prepared statements


def forget() -> None:
    """After a world: caches that would keep it alive."""
    web_app._cached_build_middleware.cache_clear()
