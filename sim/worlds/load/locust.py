"""Locust as processes: one that does everything, or a master with workers. It is never imported here.

Importing Locust patches the sockets of a whole process, which asyncio does not survive. Its exit code says nothing of
a worker that was killed, so the processes are watched: who ends before the load does, is missing in the result.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import sim
from sim.worlds.components.processes import Child, ComponentFailed, Port, how
from sim.worlds.load.plan import SHOWN_VARIABLE, STARTED, VARIABLE, WORKER_VARIABLE

INSTALL = "pip install 'fumble[load]'"
STARTS_WITHIN_S = 60
JOIN_WITHIN_S = 600
"""For workers elsewhere, which somebody has to start."""
ENDS_WITHIN_S = 60.0
"""After the load's duration, for what is under way."""
STOP_S = 10
_LOOK_S = 0.02


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
    shown: str
    """What lets users in, for their environment."""
    folder: Path
    users: int
    duration_s: float
    workers: int
    expected: int = 0
    """Workers that will join from elsewhere."""
    listen: tuple[str, int] | None = None
    """Where the master listens for them; None: on a free port of loopback."""
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
            *("--only-summary", "--json-file", str(self.folder / "locust")),
            *("--users", str(self.users), "--spawn-rate", str(max(self.users, 1))),
        ]
        if self.workers + self.expected == 1:
            self._children = [self._child("Locust", "w1", lead)]
            return
        if self.listen is None:
            self._port = Port()
        else:
            _check_free(*self.listen)
        host, port = self.listen or ("127.0.0.1", self._port.number if self._port else 0)
        wait_s = JOIN_WITHIN_S if self.expected else STARTS_WITHIN_S
        many = ("--master", "--expect-workers", str(self.workers + self.expected))
        bind = ("--master-bind-host", host, "--master-bind-port", str(port), "--expect-workers-max-wait", str(wait_s))
        self._children = [self._child("the Locust master", "master", [*lead, *many, *bind])]
        reached = "127.0.0.1" if host in ("0.0.0.0", "*") else host
        joined = ("--worker", "--master-host", reached, "--master-port", str(port))
        for number in range(1, self.workers + 1):
            self._children.append(self._child(f"Locust worker {number}", f"w{number}", joined))

    async def began(self) -> Began:
        """Return when the test has begun. Raises ComponentFailed."""
        file = self.folder / STARTED
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + (JOIN_WITHIN_S if self.expected else STARTS_WITHIN_S) + 5
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
                    self.deaths.append(f"{child.name} {how(child)} after {loop.time() - began_s:.1f} s")
            if loop.time() > give_up_s or (lead.ended and lead.popen.returncode):
                break
            await asyncio.sleep(_LOOK_S * 5)
        for child in self._children:
            if not child.ended:
                self.deaths.append(f"{child.name} did not end")
            elif child.popen.returncode and child.name not in dead:
                self.deaths.append(f"{child.name} {how(child)} after {loop.time() - began_s:.1f} s")
        self.close()

    def requests(self) -> int | None:
        """How many requests Locust counted; None if it did not come to tell."""
        try:
            return sum(int(entry["num_requests"]) for entry in json.loads((self.folder / "locust.json").read_text()))
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def stop(self) -> None:
        """Ask for an end before the time is over, for which `ended` waits: users may finish what they have begun."""
        self._children[0].signal(signal.SIGTERM)

    def close(self) -> None:
        """End what still runs, at once."""
        for child in self._children:
            child.stop()
        if self._port is not None:
            self._port.release()

    def _child(self, name: str, worker: str, more: Sequence[str]) -> Child:
        # Requests that fail are the load's to judge: an exit code is for what goes wrong with Locust.
        options = ["--host", self.host, "--stop-timeout", str(STOP_S), "--exit-code-on-error", "0", *more]
        shown = {SHOWN_VARIABLE: self.shown}
        return locust_child(name, worker, self.locustfile, self.plan, self.folder, options, **shown)


def _check_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        # As Locust's own socket does, which may follow one that has just been closed.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0" if host == "*" else host, port))
        except OSError as error:
            raise ComponentFailed(
                f"--listen {host}:{port}: workers cannot be listened for there: {error.strerror}\n"
                "fix: name an address of this machine and a port that is free"
            ) from None


def locust_child(
    name: str, worker: str, locustfile: Path, plan: Path, folder: Path, options: Sequence[str], **more: str
) -> Child:
    """A process of Locust, which finds our modules. `more`: further variables of its environment."""
    root = str(Path(sim.__file__).parents[1])
    environment = {VARIABLE: str(plan), WORKER_VARIABLE: worker, "PYTHONPATH": root, "PYTHONUNBUFFERED": "1", **more}
    command = [sys.executable, "-m", "locust", "--headless", "--locustfile", str(locustfile), *options]
    return Child(name, command, log=folder / f"{worker}.log", env=environment)
