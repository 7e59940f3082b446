"""The broker of a live world: `python -m reference_impl` as a process, its settings in the environment."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

from reference_impl.config import Config
from sim.worlds.components.processes import Child

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


class LiveBroker:
    """The broker's process, through all its restarts."""

    def __init__(self, environment: Mapping[str, str], *, port: int, folder: Path) -> None:
        self._environment = environment
        self._port = port
        self._log = folder / "broker.log"
        self._child: Child | None = None

    def start(self) -> None:
        """Start the process. Raises ComponentFailed."""
        command = [sys.executable, "-m", "reference_impl"]
        self._child = Child("the broker", command, log=self._log, env=self._environment)

    async def ready(self) -> None:
        """Return when it listens. Raises ComponentFailed."""
        assert self._child is not None
        await self._child.listening(self._port, within_s=READY_WITHIN_S)

    def kill(self) -> None:
        """A power cut."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def stop(self) -> None:
        """The run is over."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def stand_still(self) -> None:
        """Stop its clock and its work."""
        if self._child is not None:
            self._child.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it work again."""
        if self._child is not None:
            self._child.signal(signal.SIGCONT)
