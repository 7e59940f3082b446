"""Two servers of Toxiproxy's API, each a process of its own: ours, and the real one where there is one."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sim.worlds.components import toxiproxy_program

Kind = Literal["ours", "real"]

START_WITHIN_S = 60.0
TRIES = 3
"""A port that was free may be taken before the server has it: other tests run beside this one."""
ANSWER_WITHIN_S = 40.0
HOW_TO_GET = f"needs Toxiproxy's own programs: {toxiproxy_program.HOW_TO_GET}"
_ROOT = Path(__file__).parents[2]


def real_program(name: Literal["server", "cli"] = "server") -> str | None:
    """The path of Toxiproxy's own program."""
    program = toxiproxy_program.found(name)
    return None if program is None else program.path


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response as it came, less what the transport adds."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def json(self) -> Any:
        """The body as JSON, whatever its type claims."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; every request is a connection of its own."""

    kind: Kind
    port: int
    pid: int

    def ask(
        self, method: str, path: str, body: bytes | object = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request with these bytes, or this object as JSON."""
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_WITHIN_S)
        try:
            connection.request(method, path, payload, {"User-Agent": "tests", **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, tuple(response.getheaders()), response.read())
        finally:
            connection.close()


@contextmanager
def running(kind: Kind, *flags: str, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server for the length of a block. Raises RuntimeError with its last words."""
    program = [sys.executable, "-m", "fakes.toxiproxy"]
    if kind == "real":
        real = real_program()
        if real is None:
            raise RuntimeError(HOW_TO_GET)
        program = [real]
    with tempfile.TemporaryFile() as said:
        for _ in range(TRIES):
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port: int = probe.getsockname()[1]
            process = subprocess.Popen(
                [*program, "-port", str(port), *flags],
                cwd=_ROOT,
                env={**os.environ, "LOG_LEVEL": "error", **(environment or {})},
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
            server = Server(kind, port, process.pid)
            try:
                if _has_started(server, process):
                    yield server
                    return
            finally:
                _end(process)
        said.seek(0)
        raise RuntimeError(f"{' '.join(program)} did not start: {said.read().decode(errors='replace')}")


def _has_started(server: Server, process: subprocess.Popen[bytes]) -> bool:
    deadline_s = time.monotonic() + START_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline_s:
        if _answers(server):
            return True
        time.sleep(0.02)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(server: Server) -> bool:
    try:
        return server.ask("GET", "/version").status == 200
    except OSError:
        return False
