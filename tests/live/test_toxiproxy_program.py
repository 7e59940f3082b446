"""Where Toxiproxy's own program is looked for, and what `--toxiproxy auto` takes where there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sim.worlds.components import toxiproxy
from sim.worlds.components.processes import ComponentFailed
from sim.worlds.components.run_record import RunRecord
from sim.worlds.components.toxiproxy_program import VERSION, found

CACHED = f"fumble/toxiproxy-server-{VERSION}"


def program(path: Path, *, mode: int = 0o755) -> Path:
    """A program that does what Toxiproxy's would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -m fakes.toxiproxy "$@"\n')
    path.chmod(mode)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has none yet; PATH is its `bin`, the user's cache its `cache`."""
    monkeypatch.delenv("TOXIPROXY_SERVER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def taken(machine: Path, where: str) -> str:
    """What is said of the server that is obtained."""
    with toxiproxy.obtained(where, folder=machine, record=RunRecord(machine / "record.json")) as server:
        assert server.version()
        return server.what


def test_the_variable_comes_before_path_and_path_before_the_cache(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found() is None
    program(machine / "cache" / CACHED)
    assert str(found()) == f"program toxiproxy-server-{VERSION}, in the cache"
    program(machine / "bin" / "toxiproxy-server")
    assert str(found()) == "program toxiproxy-server, on PATH"
    mine = program(machine / "go" / "server")
    monkeypatch.setenv("TOXIPROXY_SERVER", str(mine))
    there = found()
    assert str(there) == "program server, named in TOXIPROXY_SERVER"
    assert there is not None and Path(there.path) == mine


def test_without_a_variable_for_the_cache_it_is_in_the_home_folder(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(machine))
    cached = program(machine / ".cache" / CACHED)
    there = found()
    assert there is not None and Path(there.path) == cached


def test_what_cannot_be_run_is_no_program(machine: Path) -> None:
    program(machine / "cache" / CACHED, mode=0o644)
    assert found() is None


def test_server_and_client_are_told_apart(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = program(machine / "bin" / "toxiproxy-cli")
    there = found("cli")
    assert there is not None and Path(there.path) == client and found() is None
    monkeypatch.setenv("TOXIPROXY_CLI", str(machine / "gone"))
    with pytest.raises(ComponentFailed, match=r"no program .*gone, named in TOXIPROXY_CLI; fix:"):
        found("cli")


def test_auto_takes_the_program_where_there_is_one_and_says_which(machine: Path) -> None:
    assert taken(machine, "auto") == "embedded"
    program(machine / "cache" / CACHED)
    assert taken(machine, "auto") == taken(machine, "path") == f"program toxiproxy-server-{VERSION}, in the cache"
    assert taken(machine, "embedded") == "embedded"


def test_a_program_that_is_asked_for_has_to_be_there(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ComponentFailed, match=r"path: there is no toxiproxy-server; fix: run \.ci/toxiproxy"):
        taken(machine, "path")
    monkeypatch.setenv("TOXIPROXY_SERVER", "no-such-program")
    with pytest.raises(ComponentFailed, match="no program no-such-program, named in TOXIPROXY_SERVER"):
        taken(machine, "auto")
