"""A broker that is not ours, started by us with the command of its adapter, so that faults can strike it."""

from __future__ import annotations

import socket
from pathlib import Path

from sim.adapter.model import Adapter
from sim.worlds.components.processes import Child, ComponentFailed
from sim.worlds.live.broker_machine import BrokerMachine

READY_WITHIN_S = 30.0


class ForeignProcess(BrokerMachine):
    """The adapter's command, as a process."""

    def __init__(self, adapter: Adapter, address: tuple[str, int], *, folder: Path) -> None:
        super().__init__()
        assert adapter.command is not None
        self._command, self._env = adapter.command, adapter.env
        self._address = address
        self._log = folder / "broker.log"

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
        await self._listening(self._address[1], within_s=READY_WITHIN_S)

    def run(self) -> Child:
        """The command of the adapter."""
        return Child("the broker", self._command, log=self._log, env=self._env)
