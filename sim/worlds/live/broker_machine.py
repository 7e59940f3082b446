"""What faults do to a broker's process, be it ours or another: the interface `Machine`, through all its restarts."""

from __future__ import annotations

import os
import signal
from abc import ABC, abstractmethod
from contextlib import suppress

from sim.worlds.components.processes import Child


class BrokerMachine(ABC):
    """A signal goes to all processes that the broker's command has started."""

    def __init__(self) -> None:
        self._child: Child | None = None
        self._asked = False

    @abstractmethod
    def run(self) -> Child:
        """A process that runs from now on. Raises ComponentFailed."""

    def start(self) -> None:
        """Run it, again. Raises ComponentFailed."""
        self._child = self.run()
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

    async def _listening(self, port: int, *, within_s: float) -> None:
        assert self._child is not None
        await self._child.listening(port, within_s=within_s)

    def _send(self, number: signal.Signals) -> None:
        if self._child is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.popen.pid, number)
