"""The tables of a broker that is not ours as if they held one run alone, for queries of any size.

A query names the contract's tables. Before each of them stands a view of the same name, with the rows of the run's
workspaces only; in it JSON that is kept as text is JSON, and times without a zone are UTC. What of the columns some
brokers do not have stands there with what is true of all rows then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager

import asyncpg

from sim.worlds.components.processes import ComponentFailed

BATCH = 2000
_DOCUMENTS = ("request_body", "response_body", "payload", "body")
_ABSENT: Mapping[str, Mapping[str, str]] = {
    "activity_logs": {
        "seq": "row_number() OVER (ORDER BY created_at, id)",
        "recorded": "false",
        "idempotency_key": "NULL::text",
    },
    "structure_events": {"seq": "row_number() OVER (ORDER BY created_at, event_type)"},
}


class ForeignTables:
    """Reads through a connection that others have made. Errors are ComponentFailed."""

    def __init__(
        self,
        session: asyncpg.Connection[asyncpg.Record],
        columns: Mapping[str, Mapping[str, str]],
        owners: Mapping[str, Sequence[str]],
        workspaces: Sequence[str],
    ) -> None:
        """By table: `columns`, the type of each; `owners`, the columns with the workspaces that a row belongs to."""
        self._session = session
        self.has_sequence = "seq" in columns["activity_logs"]
        ids = ", ".join("'" + each.replace("'", "''") + "'" for each in workspaces)
        views = ", ".join(_view(table, columns[table], owners[table], ids) for table in columns)
        self._views = f"WITH {views} "

    async def ask(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Rows. Raises ComponentFailed."""
        with self._said_clearly():
            return await self._session.fetch(self._views + query, *arguments)

    async def stream(self, query: str) -> AsyncIterator[Sequence[asyncpg.Record]]:
        """Rows in batches, however many there are. Raises ComponentFailed."""
        with self._said_clearly():
            async with self._session.transaction():
                cursor = await self._session.cursor(self._views + query)
                while batch := await cursor.fetch(BATCH):
                    yield batch

    @contextmanager
    def _said_clearly(self) -> Iterator[None]:
        try:
            yield
        except (OSError, asyncpg.InterfaceError, asyncpg.PostgresError) as error:
            said = str(error) or type(error).__name__
            raise ComponentFailed(f"the tables at --database-url cannot be read: {said[:300]}") from None


def _view(table: str, columns: Mapping[str, str], owners: Sequence[str], ids: str) -> str:
    read = [_read(name, kind) for name, kind in columns.items()]
    read += [f"{made} AS {name}" for name, made in _ABSENT.get(table, {}).items() if name not in columns]
    mine = " OR ".join(f"{owner}::text IN ({ids})" for owner in owners)
    return f"{table} AS (SELECT {', '.join(read)} FROM {table} WHERE {mine})"


def _read(name: str, kind: str) -> str:
    if name in _DOCUMENTS and kind != "jsonb":
        return f'"{name}"::jsonb AS "{name}"'
    if kind == "timestamp without time zone":
        return f'"{name}" AT TIME ZONE \'UTC\' AS "{name}"'
    return f'"{name}"'
