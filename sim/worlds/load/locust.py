"""Locust as processes: one that does everything, or a master with workers. It is never imported here.

Importing Locust patches the sockets of a whole process, which asyncio does not survive. Its exit code says nothing of
a worker that was killed, so the processes are watched: who ends before the load does, is missing in the result.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import math
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import sim
from sim.worlds.components.processes import Child, ComponentFailed, Port
from sim.worlds.load.plan import STARTED, VARIABLE

INSTALL = "pip install 'fumble[load]'"
STARTS_WITHIN_S = 60
ENDS_WITHIN_S = 60.0
"""After the load's duration, for what is under way."""
STOP_S = 10
_LOOK_S = 0.02
WORKER_VARIABLE = "FUMBLE_LOAD_WORKER"


def check_installed() -> None:
    """Raises ComponentFailed."""
    if importlib.util.find_spec("locust") is None:
        raise ComponentFailed(f"load needs Locust, which is not installed for {sys.executable}; fix: {INSTALL}")


@dataclass(frozen=True, slots=True)
class Began:
    """When Locust's test began, on this machine's clocks."""

    monotonic_s: float
    unix_s: float


@dataclass(slots=True)
class Locust:
    """The processes of one load. `deaths` says which ended too early, and how."""

    locustfile: Path
    host: str
    plan: Path
    folder: Path
    users: int
    duration_s: float
    workers: int
    deaths: list[str] = field(default_factory=list)
    _children: list[Child] = field(default_factory=list)
    _port: Port | None = None

    def start(self) -> None:
        """Start everything. Raises ComponentFailed."""
        check_installed()
        if not self.locustfile.is_file():
            raise ComponentFailed(
                f"there is no {self.locustfile}, which says what users do; fix: name one with --locustfile"
            )
        lead = [
            *("--headless", "--only-summary", "--exit-code-on-error", "0"),
            *("--users", str(self.users), "--spawn-rate", str(max(self.users, 1))),
            *("--run-time", f"{math.ceil(self.duration_s)}s", "--json-file", str(self.folder / "locust")),
        ]
        if self.workers == 1:
            self._children = [self._child("Locust", "w1", lead)]
            return
        self._port = Port()
        bind = ("--master-bind-host", "127.0.0.1", "--master-bind-port", str(self._port.number))
        many = ("--master", "--expect-workers", str(self.workers), "--expect-workers-max-wait", str(STARTS_WITHIN_S))
        self._children = [self._child("the Locust master", "master", [*lead, *many, *bind])]
        joined = ("--worker", "--master-host", "127.0.0.1", "--master-port", str(self._port.number))
        for number in range(1, self.workers + 1):
            self._children.append(self._child(f"Locust worker {number}", f"w{number}", joined))

    async def began(self) -> Began:
        """Return when the test has begun. Raises ComponentFailed."""
        file = self.folder / STARTED
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + STARTS_WITHIN_S + 5
        while not file.exists():
            for child in self._children:
                if child.ended:
                    raise child.failure(f"ended with exit code {child.popen.returncode} before the load began")
            if loop.time() > give_up_s:
                raise self._children[0].failure("did not begin its test")
            await asyncio.sleep(_LOOK_S)
        return Began(**json.loads(file.read_text()))

    async def ended(self) -> None:
        """Return when all have ended; those that ended too early, or never, are among the `deaths`."""
        loop = asyncio.get_running_loop()
        began_s, give_up_s = loop.time(), loop.time() + self.duration_s + STOP_S + ENDS_WITHIN_S
        dead: set[str] = set()
        lead, *workers = self._children
        while not all(child.ended for child in self._children):
            for child in workers:
                if child.ended and not lead.ended and child.popen.returncode and child.name not in dead:
                    dead.add(child.name)
                    self.deaths.append(f"{child.name} {_how(child)} after {loop.time() - began_s:.1f} s")
            if loop.time() > give_up_s or (lead.ended and lead.popen.returncode):
                break
            await asyncio.sleep(_LOOK_S * 5)
        for child in self._children:
            if not child.ended:
                self.deaths.append(f"{child.name} did not end")
            elif child.popen.returncode and child.name not in dead:
                self.deaths.append(f"{child.name} {_how(child)} after {loop.time() - began_s:.1f} s")
        self.close()

    def requests(self) -> int | None:
        """How many requests Locust counted; None if it did not come to tell."""
        try:
            return sum(int(entry["num_requests"]) for entry in json.loads((self.folder / "locust.json").read_text()))
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def close(self) -> None:
        """End what still runs."""
        for child in self._children:
            child.stop()
        if self._port is not None:
            self._port.release()

    def _child(self, name: str, worker: str, more: Sequence[str]) -> Child:
        root = str(Path(sim.__file__).parents[1])
        command = [sys.executable, "-m", "locust", "--locustfile", str(self.locustfile), "--host", self.host]
        command += ["--stop-timeout", str(STOP_S), "--headless", *more]
        environment = {VARIABLE: str(self.plan), WORKER_VARIABLE: worker, "PYTHONPATH": root, "PYTHONUNBUFFERED": "1"}
        return Child(name, command, log=self.folder / f"{worker}.log", env=environment)


def _how(child: Child) -> str:
    code = child.popen.returncode
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
