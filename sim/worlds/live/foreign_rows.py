"""The tables of a broker that is not ours, read and never written: what of them the contract knows, for one run.

A table that is not there, or lacks a column that invariants read, is left out: what needs it is then not observed. The
column `seq` may be missing; rows then come in the order of their times, and keep no order within one of these.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from sim.history import Row
from sim.worlds.components.processes import ComponentFailed
from sim.worlds.live.foreign_tables import ForeignTables
from sim.worlds.tables import read_rows

_ASK_WITHIN_S = 10.0
_DOCUMENTS = ("request_body", "response_body", "payload", "body")


@dataclass(frozen=True, slots=True)
class _Table:
    """`owners`: the columns with the workspaces that a row belongs to. `order`: by what rows came, if they have it.

    `columns`: without these, the table is as good as not there.
    """

    owners: tuple[str, ...]
    order: tuple[str, ...]
    columns: str


_TABLES: Mapping[str, _Table] = {
    "activity_logs": _Table(
        ("workspace_id",),
        ("seq", "created_at", "id"),
        "id workspace_id activity_type source_id target_id method request_body response_body status error_detail "
        "created_at",
    ),
    "delegations": _Table(
        ("caller_id", "callee_id"),
        ("created_at", "delegation_id"),
        "delegation_id caller_id callee_id status result_preview error_detail last_heartbeat deadline created_at "
        "updated_at",
    ),
    "structure_events": _Table(
        ("workspace_id",), ("seq", "created_at", "id"), "event_type workspace_id payload created_at"
    ),
    "a2a_queue": _Table(
        ("workspace_id",),
        ("enqueued_at", "id"),
        "id workspace_id priority body status attempts enqueued_at expires_at last_error",
    ),
    "workspaces": _Table(("id",), ("id",), "id last_heartbeat_at"),
}
_COLUMNS = """
SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns
WHERE table_schema = ANY(current_schemas(false)) AND table_name = ANY($1::text[])"""


class ForeignRows:
    """A connection that reads. Errors are ComponentFailed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: asyncpg.Connection[asyncpg.Record] | None = None
        self._queries: dict[str, str] = {}
        self._columns: dict[str, dict[str, str]] = {}

    @property
    def address(self) -> tuple[str, int]:
        """Where the server listens."""
        parts = urlsplit(self._url)
        return parts.hostname or "127.0.0.1", parts.port or 5432

    async def connect(self) -> None:
        """Connect, and see which tables there are. Raises ComponentFailed."""
        with self._said_clearly():
            self._session = session = await asyncpg.connect(
                self._url,
                timeout=_ASK_WITHIN_S * getattr(asyncio.get_running_loop(), "scale", 1.0),
                server_settings={"default_transaction_read_only": "on", "application_name": "fumble"},
            )
            for table, column, kind in await session.fetch(_COLUMNS, list(_TABLES)):
                self._columns.setdefault(table, {})[column] = kind
        self._queries = {
            name: _query(name, table, set(self._columns[name]))
            for name, table in _TABLES.items()
            if name in self._columns and set(table.columns.split()) <= self._columns[name].keys()
        }

    @property
    def has_delegations(self) -> bool:
        """Whether the delegations can be seen at all."""
        return "activity_logs" in self._queries

    async def clock(self) -> datetime:
        """What the server's clock reads. Raises ComponentFailed."""
        with self._said_clearly():
            now: datetime = await self._asked().fetchval("SELECT clock_timestamp()")
        return now

    async def read(self, workspaces: Sequence[str]) -> dict[str, Sequence[Row]]:
        """The rows that belong to the workspaces, by table. Raises ComponentFailed."""
        tables: dict[str, list[dict[str, Any]]] = {}
        with self._said_clearly():
            for name, query in self._queries.items():
                tables[name] = json.loads(await self._asked().fetchval(query, list(workspaces)))
        rows = read_rows(json.dumps(tables))
        return {name: [_plain(row) for row in those] for name, those in rows.items()}

    async def statuses(self, workspaces: Sequence[str]) -> dict[str, str]:
        """Every delegation and item of the queue of the workspaces. Raises ComponentFailed."""
        rows = await self.read(workspaces)
        found = {str(row["id"]): str(row["status"]) for row in rows.get("a2a_queue", ())}
        for row in rows.get("activity_logs", ()):
            if row["activity_type"] == "delegation" and row["method"] == "delegate":
                found[str((row["request_body"] or {}).get("delegation_id"))] = str(row["status"])
        return found

    def tables(self, workspaces: Sequence[str]) -> ForeignTables:
        """All tables, with the rows that belong to the workspaces. Raises ComponentFailed if one is not there."""
        missing = [
            f"{name} ({', '.join(sorted(set(table.columns.split()) - self._columns.get(name, {}).keys()))})"
            for name, table in _TABLES.items()
            if name not in self._queries
        ]
        if missing:
            raise ComponentFailed(
                f"--database-url: a load is judged by all tables of the contract or by none, and there are no "
                f"{'; no '.join(missing)}\nfix: leave --database-url out to play over HTTP alone"
            )
        owners = {name: table.owners for name, table in _TABLES.items()}
        return ForeignTables(self._asked(), self._columns, owners, workspaces)

    async def close(self) -> None:
        """Disconnect."""
        if self._session is not None:
            await self._session.close()

    def _asked(self) -> asyncpg.Connection[asyncpg.Record]:
        assert self._session is not None
        return self._session

    @contextmanager
    def _said_clearly(self) -> Iterator[None]:
        try:
            yield
        except (OSError, asyncpg.InterfaceError, asyncpg.PostgresError, ValueError) as error:
            host, port = self.address
            said = str(error) or type(error).__name__
            raise ComponentFailed(
                f"--database-url: the tables at {host}:{port} cannot be read: {said[:300]}\n"
                "fix: name the broker's database and a user who may read it, or leave --database-url out to play "
                "without rows"
            ) from None


def _query(name: str, table: _Table, columns: set[str]) -> str:
    mine = " OR ".join(f"{owner}::text = ANY($1::text[])" for owner in table.owners)
    order = ", ".join(f"t.{column}" for column in table.order if column in columns)
    return f"SELECT coalesce(json_agg(t ORDER BY {order}), '[]')::text FROM (SELECT * FROM {name} WHERE {mine}) t"


def _plain(row: Row) -> Row:
    """Times without a zone are taken for UTC, and JSON that is kept as text is decoded."""

    def value_of(name: str, value: Any) -> Any:
        if isinstance(value, datetime) and value.tzinfo is None:
            return value.replace(tzinfo=UTC)
        if name in _DOCUMENTS and isinstance(value, str):
            try:
                return json.loads(value)
            except ValueError:
                return value
        return value

    return {name: value_of(name, value) for name, value in row.items()}
