"""A Postgres for the live world: where it comes from, and one database in it for the length of a run.

The harness talks to it straight, not through the links that faults strike.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from sim.worlds.components import containers
from sim.worlds.components.containers import Container
from sim.worlds.components.postgres import FOR_CLIENTS, EmbeddedPostgres, PostgresUnavailable
from sim.worlds.components.processes import ComponentFailed
from sim.worlds.components.run_record import RunRecord

DATABASE_PREFIX = "fumble_live_"
_ASK_WITHIN_S = 10.0
_START_WITHIN_S = 60.0
_TRY_FOR_S = 2.0
_USER, _PORT = "postgres", 5432  # in a container


@dataclass(frozen=True, slots=True)
class LivePostgres:
    """A server. `dsn` leads to a database in which others can be created; `what` says how it was found."""

    dsn: str
    what: str
    version: str = ""
    is_named: bool = False
    """It is the user's own: what we make there stays if we are killed."""

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        parts = urlsplit(self.dsn)
        return parts.hostname or "127.0.0.1", parts.port or 5432

    def dsn_of(self, database: str, *, address: tuple[str, int] | None = None) -> str:
        """For another database of the server, perhaps reached another way; such a way speaks no TLS."""
        parts = urlsplit(self.dsn)
        host, port = address or self.address
        credentials = parts.netloc.rpartition("@")[0]
        return urlunsplit(("postgresql", f"{credentials}@{host}:{port}", f"/{database}", "sslmode=disable", ""))


@contextmanager
def obtained(where: str, *, record: RunRecord, on_disk: bool = False) -> Iterator[LivePostgres]:
    """A server for the length of a block. `where`: `auto`, `embedded`, `docker` or a DSN.

    `record`: where its container is noted. `on_disk`: an embedded one will have much to store. Raises ComponentFailed.
    """
    if where in ("auto", "embedded"):
        try:
            server = EmbeddedPostgres(listen_tcp=True, on_disk=on_disk, settings=FOR_CLIENTS)
        except PostgresUnavailable as error:
            raise ComponentFailed(str(error)) from None
        try:
            yield LivePostgres(server.dsn(), "embedded", server.version)
        finally:
            server.stop()
    elif where == "docker":
        yield from _in_container(record)
    else:
        parts = urlsplit(where)
        if parts.scheme not in ("postgres", "postgresql") or not parts.hostname or not parts.username:
            raise ComponentFailed(
                "--postgres: this is no DSN of a server; write postgresql://user:password@host:5432/postgres"
            )
        yield LivePostgres(where, "as named", is_named=True)


def _in_container(record: RunRecord) -> Iterator[LivePostgres]:
    password = secrets.token_hex(16)
    settings = [f"{name}={value}" for name, value in {**FOR_CLIENTS, "fsync": "off"}.items()]
    with containers.running(
        containers.POSTGRES,
        ["postgres", *(word for setting in settings for word in ("-c", setting))],
        env={"POSTGRES_USER": _USER, "POSTGRES_PASSWORD": password, "POSTGRES_DB": _USER},
        port=_PORT,
        record=record,
    ) as container:
        host, port, version = _when_it_answers(container, password)
        dsn = f"postgresql://{_USER}:{password}@{host}:{port}/{_USER}"
        yield LivePostgres(dsn, f"container {containers.POSTGRES.image}", version)


def _when_it_answers(container: Container, password: str) -> tuple[str, int, str]:
    """Host, port and version. That the password is right shows that the server is the container's."""
    give_up_s = time.monotonic() + _START_WITHIN_S
    while True:
        if (code := container.exit_code) is not None:
            raise container.failure(f"ended with exit code {code}")
        try:
            addresses = container.addresses(_PORT)
        except ComponentFailed:
            if container.exit_code is None:
                raise
            continue
        for host, port in addresses:
            with suppress(OSError, asyncpg.InterfaceError, asyncpg.PostgresError):
                return host, port, asyncio.run(_version(host, port, password))
        if time.monotonic() > give_up_s:
            raise container.failure(f"does not answer after {_START_WITHIN_S:g} s")
        time.sleep(0.05)


async def _version(host: str, port: int, password: str) -> str:
    async with asyncio.timeout(_TRY_FOR_S):
        session = await asyncpg.connect(host=host, port=port, user=_USER, password=password, database=_USER, ssl=False)
    version = session.get_settings().server_version
    await session.close(timeout=_TRY_FOR_S)
    return str(version)


@contextmanager
def _said_clearly(server: LivePostgres) -> Iterator[None]:
    host, port = server.address
    try:
        yield
    except (OSError, asyncpg.InterfaceError, asyncpg.PostgresError, ValueError) as error:
        said = str(error) or type(error).__name__
        raise ComponentFailed(
            f"Postgres ({server.what}, at {host}:{port}) cannot be used: {said[:300]}\n"
            "fix: name a server whose user may create databases, or leave --postgres out to get an embedded one"
        ) from None


async def connect(server: LivePostgres, database: str) -> asyncpg.Connection[asyncpg.Record]:
    """A connection of the harness. Raises ComponentFailed."""
    with _said_clearly(server):
        return await asyncpg.connect(server.dsn_of(database), timeout=_ASK_WITHIN_S * _hurry())


async def create_database(server: LivePostgres) -> str:
    """A fresh database with the broker's schema; its name. Raises ComponentFailed."""
    name = DATABASE_PREFIX + secrets.token_hex(6)
    schema = files("reference_impl").joinpath("schema.sql").read_text()
    with _said_clearly(server):
        session = await asyncpg.connect(server.dsn_of(_home(server)), timeout=_ASK_WITHIN_S * _hurry())
        try:
            await session.execute(f'CREATE DATABASE "{name}"')
        finally:
            await session.close()
    database = await connect(server, name)
    try:
        await database.execute(schema)
    finally:
        await database.close()
    return name


async def drop_database(server: LivePostgres, name: str) -> None:
    """Remove it, whoever still uses it. Raises ComponentFailed."""
    session = await connect(server, _home(server))
    try:
        with _said_clearly(server):
            await session.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await session.close()


def _home(server: LivePostgres) -> str:
    return urlsplit(server.dsn).path.lstrip("/") or "postgres"


def _hurry() -> float:
    """Scenario seconds in a real one, on the present loop."""
    return float(getattr(asyncio.get_running_loop(), "scale", 1.0))
