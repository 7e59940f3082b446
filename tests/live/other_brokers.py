"""For tests that play against a broker which is not ours: it runs as a process, fumble plays, the report is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sim.worlds.components.processes import Port

REPOSITORY = Path(__file__).parents[2]
TIMEOUT_S = 120
BROKER = Path(__file__).with_name("other_broker.py")
ADAPTER = """
paths: {mcp: none, record: none, report: none, send: none, events: none}
durations: {retry_delay: 300ms, settle: 4s, quiet: 1s}
"""
"""What the thin broker has of the contract, and how long it waits."""


@contextmanager
def other_broker(*arguments: str, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """The thin broker, for the length of a block; its URL."""
    port = Port()
    process = subprocess.Popen([*command_of(port.number), *arguments], env={**os.environ, **(env or {})})
    try:
        yield f"http://127.0.0.1:{port.number}"
        assert process.poll() is None, "the broker has ended by itself"
    finally:
        process.kill()
        process.wait()
        port.release()


def command_of(port: int) -> list[str]:
    """What runs the thin broker."""
    return [sys.executable, str(BROKER), "--port", str(port)]


def story(folder: Path, name: str, text: str) -> str:
    """A scenario file."""
    file = folder / f"{name}.yaml"
    file.write_text(text)
    return str(file)


def adapter(folder: Path, text: str = ADAPTER) -> str:
    """An adapter file."""
    file = folder / "adapter.yml"
    file.write_text(text)
    return str(file)


def played(*arguments: str, env: Mapping[str, str] | None = None) -> tuple[int, list[dict[str, Any]]]:
    """`fumble live`: its exit code and its runs."""
    done = live("--output", "json", *arguments, env=env)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)["runs"]


def broken(run: Mapping[str, Any]) -> set[str]:
    """The invariants that a run does not keep."""
    return {violation["invariant"] for violation in run["violations"]}


def live(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`fumble live` as a process."""
    command = [sys.executable, "-m", "sim.cli", "live", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_S, cwd=REPOSITORY, env={**os.environ, **(env or {})}
    )
