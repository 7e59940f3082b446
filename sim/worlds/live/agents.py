"""The fake agents of a live world: a process each, told over a pipe what to do, telling over a pipe what they saw."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

from fakes.agent import AgentSaw
from fakes.behaviour_json import encode
from sim.scenario.behaviours import Behaviour
from sim.worlds.components.processes import Child, ComponentFailed, Port, how

READY_WITHIN_S = 20.0
_SAW = [field.name for field in fields(AgentSaw)]


class LiveAgent:
    """One agent on a port of its own, through all its restarts. `observe(saw, monotonic_s)` hears what it saw."""

    def __init__(
        self,
        name: str,
        *,
        behaviours: Sequence[Behaviour],
        time_scale: float,
        starts: int,
        folder: Path,
        observe: Callable[[AgentSaw, float], None],
    ) -> None:
        """`starts`: how often it will be started, so that each finds a process that waits, warm."""
        self.name = name
        self._port = Port()
        self._behaviours = encode([hurried(behaviour, time_scale) for behaviour in behaviours])
        self._log = folder / f"agent-{name}.log"
        self._observe = observe
        self._contacts = 0
        self._rest = b""
        self._ready: asyncio.Future[None] | None = None
        self._warm = [self._warm_up() for _ in range(starts)]
        self._child: Child | None = None
        self._asked = False

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port.number

    def start(self) -> None:
        """Let it listen; `ready` waits for it. Raises ComponentFailed."""
        loop = asyncio.get_running_loop()
        self._child = child = self._warm.pop() if self._warm else self._warm_up()
        self._asked = False
        order = {
            "name": self.name,
            "host": "127.0.0.1",
            "port": self.port,
            "behaviours": self._behaviours,
            "contacts": self._contacts,
        }
        stdin, stdout = child.popen.stdin, child.popen.stdout
        assert stdin is not None and stdout is not None
        with suppress(BrokenPipeError):  # it ended: reading from it will say so
            stdin.write(json.dumps(order).encode() + b"\n")
            stdin.flush()
        os.set_blocking(stdout.fileno(), False)
        self._ready = loop.create_future()
        self._rest = b""
        loop.add_reader(stdout.fileno(), self._read)

    async def ready(self) -> None:
        """Return when it listens. Raises ComponentFailed."""
        assert self._child is not None and self._ready is not None
        hurry = getattr(asyncio.get_running_loop(), "scale", 1.0)
        try:
            async with asyncio.timeout(READY_WITHIN_S * hurry):
                await self._ready
        except TimeoutError:
            raise self._child.failure(f"is not ready after {READY_WITHIN_S:g} s") from None

    def kill(self) -> None:
        """A power cut. What it saw before is heard first."""
        if self._child is not None:
            self._end(self._child)
            self._child = None

    async def leave(self) -> bool:
        """Ask it to end, and wait until it is gone; False if it was killed before."""
        child = self._child
        if child is not None:
            self._asked = True
            assert child.popen.stdin is not None
            child.popen.stdin.close()
            await child.over()
            if self._child is not child:
                return False
            self.kill()
        return True

    def ended(self, now_s: float) -> ComponentFailed | None:
        """What to say if its process ended and nobody had asked it to; `now_s`: when that is seen."""
        if self._child is None or self._asked or not self._child.ended:
            return None
        return self._child.failure(f"{how(self._child)}, and no fault did that, seen {now_s:.1f} s after the beginning")

    def close(self) -> None:
        """The run is over."""
        if self._child is not None:
            self._end(self._child)
        for spare in self._warm:
            spare.kill()
        self._port.release()

    def stand_still(self) -> None:
        """Stop its clock and its work."""
        if self._child is not None:
            self._child.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it work again."""
        if self._child is not None:
            self._child.signal(signal.SIGCONT)

    def _warm_up(self) -> Child:
        """The next process: imported, and waiting for its order."""
        command = [sys.executable, "-m", "fakes.agent_process"]
        return Child(f"agent {self.name}", command, log=self._log, stdin=True, stdout=True)

    def _end(self, child: Child) -> None:
        stdout = child.popen.stdout
        assert stdout is not None
        asyncio.get_running_loop().remove_reader(stdout.fileno())
        child.popen.kill()
        child.popen.wait()
        self._take(stdout.fileno())
        child.kill()

    def _read(self) -> None:
        assert self._child is not None and self._child.popen.stdout is not None and self._ready is not None
        descriptor = self._child.popen.stdout.fileno()
        if not self._take(descriptor):
            asyncio.get_running_loop().remove_reader(descriptor)
            self._child.popen.wait()
            if not self._ready.done():
                self._ready.set_exception(self._child.failure("ended before it was ready"))

    def _take(self, descriptor: int) -> bool:
        """Take in what it has said so far; False at its end."""
        while True:
            try:
                data = os.read(descriptor, 65536)
            except BlockingIOError:
                return True
            if not data:
                return False
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._heard(line)

    def _heard(self, line: bytes) -> None:
        said = json.loads(line)
        if "port" in said:
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)
            return
        self._contacts = max(self._contacts, said["contact"])
        self._observe(AgentSaw(**{name: said[name] for name in _SAW}), said["at_s"])


def hurried(behaviour: Behaviour, time_scale: float) -> Behaviour:
    """The same behaviour in real seconds, of which `time_scale` scenario seconds make one."""
    changes = {
        field.name: getattr(behaviour, field.name) / time_scale
        for field in fields(behaviour)
        if field.name.endswith("_s")
    }
    return replace(behaviour, **changes)
