"""Programs that a live world runs: started on loopback, watched, stood still, and gone when their owner is.

On Linux a child is killed by the system when this process dies, were it by SIGKILL. What it says goes to a log file of
its own, whose end is shown when it does not get ready.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
STOP_WITHIN_S = 5.0
_TAIL_LINES = 8
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class ComponentFailed(Exception):
    """A part of the live world does not start, or is gone; the message names the part, the cause and the fix."""


class Child:
    """A program that runs. `name` is what messages call it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
        stdout: bool = False,
    ) -> None:
        """Start it. `stdin`, `stdout`: that is a pipe of ours; otherwise it is empty, and the log has the output.

        Raises ComponentFailed.
        """
        self.name = name
        self.log = log
        owner = os.getpid()

        def die_with_owner() -> None:
            assert _LIBC is not None
            _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != owner:
                os._exit(1)

        try:
            with log.open("ab") as said:
                self.popen = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                    stdout=subprocess.PIPE if stdout else said,
                    stderr=said,
                    env={**os.environ, **(env or {})},
                    start_new_session=True,  # Ctrl-C in the terminal is our business
                    preexec_fn=die_with_owner if _LIBC is not None else None,
                )
        except OSError as error:
            raise ComponentFailed(f"{name}: cannot start {command[0]}: {error.strerror}") from None

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.exit_code is not None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; less than 0 after a signal."""
        return self.popen.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        with suppress(ProcessLookupError):
            self.popen.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut does, and wait until it is gone."""
        self.popen.kill()
        self.popen.wait()
        self._close_pipes()

    def stop(self) -> None:
        """Ask it to end, insist after `STOP_WITHIN_S`, and return when it is gone."""
        self.signal(signal.SIGCONT)
        if self.popen.stdin is not None:
            self.popen.stdin.close()
        self.signal(signal.SIGTERM)
        try:
            self.popen.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        self._close_pipes()

    async def over(self) -> None:
        """Return when it has ended, for whatever reason."""
        while not self.ended:  # noqa: ASYNC110
            # A process does not call back.
            await asyncio.sleep(0.01 * getattr(asyncio.get_running_loop(), "scale", 1.0))

    def failure(self, problem: str) -> ComponentFailed:
        """An error that says what its log ends with."""
        return failure(self.name, problem, self.log.read_text(errors="backslashreplace") if self.log.exists() else "")

    async def listening(self, port: int, *, within_s: float) -> None:
        """Return when it accepts connections on `port`. `within_s` is real time. Raises ComponentFailed."""
        await listening(self.name, "127.0.0.1", port, within_s=within_s, child=self)

    def _close_pipes(self) -> None:
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def how(child: Child) -> str:
    """How a process ended."""
    code = child.popen.returncode
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def failure(name: str, problem: str, log: str) -> ComponentFailed:
    """An error that says what a log ends with."""
    said = "".join(f"\n  | {line}" for line in log.splitlines()[-_TAIL_LINES:]) or "\n  (it said nothing)"
    return ComponentFailed(f"{name} {problem}; the end of its log:{said}")


async def listening(name: str, host: str, port: int, *, within_s: float, child: Child | None = None) -> None:
    """Return when connections to the address are accepted, within real seconds. Raises ComponentFailed."""
    loop = asyncio.get_running_loop()
    hurry = getattr(loop, "scale", 1.0)
    give_up_s = loop.time() + within_s * hurry
    while True:
        with socket.socket() as probe:
            probe.setblocking(False)
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(hurry):
                    await loop.sock_connect(probe, (host, port))
                    return
        if child is not None and child.ended:
            raise child.failure(f"ended with exit code {child.popen.returncode} before it listened")
        if loop.time() >= give_up_s:
            problem = f"does not listen on {host}:{port} after {within_s:g} s"
            raise child.failure(problem) if child is not None else ComponentFailed(f"{name} {problem}")
        await asyncio.sleep(0.01 * hurry)


class Port:
    """A port of loopback that stays ours while nobody listens on it: connections to it are refused.

    A port that was merely free a moment ago may meanwhile be the near end of somebody's connection.
    """

    def __init__(self) -> None:
        self._reserved = socket.socket()
        # With it, a program that sets it too (asyncio and Go do) may listen here.
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.number = int(self._reserved.getsockname()[1])

    def release(self) -> None:
        """Give it back."""
        self._reserved.close()
