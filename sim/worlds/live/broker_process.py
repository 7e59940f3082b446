"""The broker of a live world: `python -m reference_impl` as a process, its settings in the environment."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

from reference_impl.config import Config
from sim.worlds.components.processes import Child, Port
from sim.worlds.live.broker_machine import BrokerMachine

READY_WITHIN_S = 30.0


def hurried(config: Config, time_scale: float) -> Config:
    """The same settings in real time, of which one second is `time_scale` scenario seconds."""
    durations = [
        field.name for field in fields(config) if isinstance(field.default, float)
    ]  # every number that is not whole is a duration
    return replace(config, **{name: getattr(config, name) / time_scale for name in durations})


def environment_of(config: Config) -> dict[str, str]:
    """The settings as the environment of a process."""
    return {field.metadata["name"]: _written(getattr(config, field.name)) for field in fields(config)}


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:.9g}" if isinstance(value, float) else str(value)


class LiveBroker(BrokerMachine):
    """The broker's process, through all its restarts."""

    def __init__(self, environment: Mapping[str, str], *, port: Port, starts: int, folder: Path) -> None:
        """`starts`: how often it will be started, so that each finds a process that waits, warm."""
        super().__init__()
        self._environment = environment
        self._port = port
        self._log = folder / "broker.log"
        self._warm = [self._warm_up() for _ in range(starts)]

    def run(self) -> Child:
        """One that waited, warm; `ready` waits until it listens. Raises ComponentFailed."""
        child = self._warm.pop() if self._warm else self._warm_up()
        stdin = child.popen.stdin
        assert stdin is not None
        with suppress(BrokenPipeError):  # it ended: waiting for it will say so
            stdin.write(b"\n")
            stdin.flush()
        return child

    async def ready(self) -> None:
        """Return when it listens. Raises ComponentFailed."""
        await self._listening(self._port.number, within_s=READY_WITHIN_S)

    def close(self) -> None:
        """The run is over."""
        super().close()
        for spare in self._warm:
            spare.kill()

    def _warm_up(self) -> Child:
        """The next process: imported, and waiting to be let run."""
        command = [sys.executable, "-m", "sim.worlds.live.warm_start", "reference_impl.__main__"]
        return Child("the broker", command, log=self._log, env=self._environment, stdin=True)
