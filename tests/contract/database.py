"""The database of the contract tests: emptied for each world, reached through the simulated network or real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import reference_impl
from sim.kernel import postgres_gateway
from sim.kernel.postgres_gateway import Backends
from sim.worlds.components.postgres import EmbeddedPostgres

NODE, PORT = "database", 5432
"""Where the simulated network has it."""


@dataclass(frozen=True, slots=True)
class Database:
    """`host`: a node, or, if it begins with a slash, the folder of a Unix socket (as everywhere with Postgres)."""

    name: str
    tables: postgres_gateway.Database
    backends: Backends
    socket_path: str
    host: str = NODE
    port: int = PORT

    def on_real_sockets(self) -> Database:
        """The same database as processes reach it that are not simulated."""
        folder, _, port = self.socket_path.rpartition("/.s.PGSQL.")
        return replace(self, host=folder, port=int(port))

    def url(self, *, host: str, port: int) -> str:
        """Where a client finds it behind `host:port`."""
        return f"postgresql://postgres:postgres@/{self.name}?host={host}&port={port}&sslmode=disable"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the server, on which nothing has been said yet."""
        if self.host.startswith("/"):
            return await asyncio.open_unix_connection(self.socket_path)
        return await asyncio.open_connection(self.host, self.port)


@contextlib.contextmanager
def contract_database(server: EmbeddedPostgres, name: str) -> Iterator[Database]:
    """A new database with the broker's schema."""
    server.create_database(name, Path(reference_impl.__file__).with_name("schema.sql").read_text())
    tables, backends = postgres_gateway.Database(server.socket_path, name), Backends(server.socket_path)
    try:
        yield Database(name, tables, backends, server.socket_path)
    finally:
        backends.close()
        tables.close()
