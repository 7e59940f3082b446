"""A world for gateway tests: a real loop on loopback, unmodified asyncpg, one gateway over warm backends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import asyncpg.connection

from sim.kernel.postgres_gateway import Backends, Database, Gateway, Statement
from sim.worlds.components.postgres import EmbeddedPostgres

SCHEMA = """
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE item (id int PRIMARY KEY, name text UNIQUE, n int NOT NULL DEFAULT 0, parent int REFERENCES parent);
CREATE TABLE log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text);
CREATE TYPE mood AS ENUM ('ok', 'sad');
CREATE TABLE felt (id int, mood mood);
"""


@dataclass
class World:
    """One gateway and the port it listens on."""

    gateway: Gateway
    port: int
    database: str
    statements: list[Statement] = field(default_factory=list)

    async def connect(self, **options: Any) -> Any:
        return await asyncpg.connect(**self.address, **options)

    @property
    def address(self) -> dict[str, Any]:
        return {
            "host": "127.0.0.1", "port": self.port, "user": "postgres", "password": "x",
            "database": self.database, "ssl": False,
        }  # fmt: skip


@dataclass
class Bench:
    """What worlds share: server, database, backends."""

    server: EmbeddedPostgres
    name: str
    database: Database
    backends: Backends

    @asynccontextmanager
    async def world(self, *, fast: bool = True, seed: int = 1, seed_sql: str = "") -> AsyncIterator[World]:
        vars(asyncpg.connection)["_uid"] = 0
        self.database.reset(*filter(None, seed_sql.split("; ")))
        statements: list[Statement] = []
        gateway = Gateway(self.backends, random=random.Random(seed), fast=fast, on_statement=statements.append)
        listener = await asyncio.get_running_loop().create_server(gateway.protocol_factory, "127.0.0.1", 0)
        try:
            port = listener.sockets[0].getsockname()[1]
            yield World(gateway, port, self.name, statements)
        finally:
            gateway.close()
            listener.close()

    def play(self, story: Callable[[World], Awaitable[Any]], **options: Any) -> Any:
        """Run ``story`` in a fresh world, at most 20 real seconds."""

        async def played() -> Any:
            async with self.world(**options) as world, asyncio.timeout(20):
                return await story(world)

        return asyncio.run(played())


def make_bench(server: EmbeddedPostgres, name: str) -> Bench:
    server.create_database(name, SCHEMA)
    return Bench(server, name, Database(server.socket_path, name), Backends(server.socket_path))
