"""A broker, or the floor, as a process of its own on a real Postgres: started, watched, ended."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

START_WITHIN_S = 60

BROKER = ("-m", "reference_impl")
FLOOR = ("-m", "tests.benchmarks.load.floor")
_LISTENING = b"listening on port "


@dataclass(frozen=True, slots=True)
class Service:
    """A running process that listens on loopback."""

    pid: int
    port: int

    def memory_bytes(self) -> int | None:
        """Resident memory, the most there ever was; None where the system does not tell."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return None
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024


@asynccontextmanager
async def running(module: tuple[str, ...], environment: Mapping[str, str]) -> AsyncIterator[Service]:
    """The service for the length of the block. Raises RuntimeError with its last words if it does not start."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *module, env={**os.environ, **environment}, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    last_words = b""
    try:
        async with asyncio.timeout(START_WITHIN_S):
            while _LISTENING not in (line := await process.stderr.readline()):
                if not line:
                    raise RuntimeError(f"{' '.join(module)} did not start: {last_words.decode(errors='replace')}")
                last_words = line
        # A pipe that nobody reads would stop the service when it is full.
        reading = asyncio.create_task(process.stderr.read())
        yield Service(process.pid, int(line.rpartition(b" ")[2]))
        reading.cancel()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
