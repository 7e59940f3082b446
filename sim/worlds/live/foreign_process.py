"""A broker that is not ours, started by us with the command of its adapter, so that faults can strike it."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

from sim.adapter.model import Adapter
from sim.worlds.components.processes import Child, ComponentFailed

READY_WITHIN_S = 30.0


class ForeignProcess:
    """The interface `Machine`. A signal goes to all processes that the command has started."""

    def __init__(self, adapter: Adapter, address: tuple[str, int], *, folder: Path) -> None:
        assert adapter.command is not None
        self._command, self._env = adapter.command, adapter.env
        self._address = address
        self._log = folder / "broker.log"
        self._child: Child | None = None
        self._asked = False

    async def first_start(self) -> None:
        """Start it, and return when it listens. Raises ComponentFailed."""
        with socket.socket() as probe:
            probe.settimeout(1.0)
            if probe.connect_ex(self._address) == 0:
                host, port = self._address
                raise ComponentFailed(
                    f"something listens on {host}:{port} already, where {self._command[0]} would\n"
                    "fix: stop it, or take `command` out of the adapter to play against what runs there"
                )
        self.start()
        assert self._child is not None
        await self._child.listening(self._address[1], within_s=READY_WITHIN_S)

    def start(self) -> None:
        """Run it, again. Raises ComponentFailed."""
        self._child = Child("the broker", self._command, log=self._log, env=self._env)
        self._asked = False

    def kill(self) -> None:
        """A power cut."""
        if self._child is not None:
            self._send(signal.SIGKILL)
            self._child.kill()
            self._child = None

    async def leave(self) -> bool:
        """Ask it to end, and wait until it is gone; False if it was killed before."""
        child = self._child
        if child is not None:
            self._asked = True
            self._send(signal.SIGTERM)
            await child.over()
            if self._child is not child:
                return False
            self.kill()
        return True

    def ended(self) -> str | None:
        """How it ended, if nobody had asked it to."""
        if self._child is None or self._asked or not self._child.ended:
            return None
        return f"exit code {self._child.popen.returncode}"

    def close(self) -> None:
        """The run is over."""
        self.kill()

    def stand_still(self) -> None:
        """Stop its clock and its work."""
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it work again."""
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        if self._child is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.popen.pid, number)
