"""What a toxic does to one direction of one connection: a chain of stages between a source and its destination.

Theory: a direction carries bytes and then an end, in order. Each stage is given both and hands them on, later, cut, or
never. A stage that is taken out flushes what it holds at once. Nothing overtakes: an end stands in line behind the
bytes before it, so a reset strikes only after they were delivered.
"""

from __future__ import annotations

import asyncio
import math
import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import Literal, Protocol, TypeAlias

from fakes.toxiproxy.timings import TIMINGS
from fakes.toxiproxy.toxics import Toxic

End: TypeAlias = Literal["fin", "close", "reset"]
"""`fin` closes this direction; `close` closes the connection, by FIN; `reset` closes the connection, by RST."""

_MS, _US = 1e-3, 1e-6


class Outlet(Protocol):
    """Where a stage hands on what passes."""

    def feed(self, data: bytes) -> None:
        """Take bytes."""

    def end(self, kind: End) -> None:
        """Take the end; nothing follows it."""


class Stage(ABC):
    """One toxic at work; `outlet` is the next stage, or the destination."""

    def __init__(self, outlet: Outlet, toxic: Toxic) -> None:
        self.outlet = outlet
        self.type = toxic.type
        self.held_bytes = 0

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """Take bytes from upstream of this stage."""

    @abstractmethod
    def end(self, kind: End) -> None:
        """Take the end."""

    @abstractmethod
    def update(self, toxic: Toxic) -> None:
        """The toxic has other attributes now; it is of the same type."""

    @abstractmethod
    def give_way(self) -> bool:
        """Another stage takes this place: hand on at once what is held. False: it is too late for that."""

    @abstractmethod
    def remove(self) -> None:
        """The toxic was taken off: hand on at once what is held."""

    @abstractmethod
    def dispose(self) -> None:
        """The connection is over: forget everything, arm nothing."""


class DelayLine(Stage):
    """latency, bandwidth, slicer, slow_close, noop: everything passes, but not before it is due."""

    def __init__(self, outlet: Outlet, toxic: Toxic, draw: random.Random) -> None:
        super().__init__(outlet, toxic)
        self._toxic = toxic
        self._draw = draw
        self._timing = TIMINGS[toxic.type]
        self._loop = asyncio.get_running_loop()
        self._line: deque[tuple[float, bytes | End, float]] = deque()
        """What is held: when it is due, what, and when it came in."""
        self._busy_until_s = -math.inf
        self._timer: asyncio.TimerHandle | None = None

    def feed(self, data: bytes) -> None:
        self._take(data, self._loop.time())
        self._release()

    def end(self, kind: End) -> None:
        self._take_end(kind, self._loop.time())
        self._release()

    def update(self, toxic: Toxic) -> None:
        """As in Toxiproxy: the chunk that is being timed goes on at once, later ones wait by the new attributes."""
        self._toxic = toxic
        line, self._line = self._line, deque()
        self.held_bytes = 0
        self._busy_until_s = self._loop.time()
        timed_now_s = line[0][2] if line else 0.0
        for _, item, came_s in line:
            if not isinstance(item, bytes):
                self._take_end(item, came_s)
            elif came_s == timed_now_s:
                self._line.append((-math.inf, item, came_s))
                self.held_bytes += len(item)
            else:
                self._take(item, came_s)
        self._release()

    def give_way(self) -> bool:
        self.remove()
        return True

    def remove(self) -> None:
        self._cancel()
        self._let_out(math.inf)

    def dispose(self) -> None:
        self._cancel()
        self._line.clear()
        self.held_bytes = 0

    def _take(self, data: bytes, came_s: float) -> None:
        busy_s = max(0.0, self._busy_until_s - came_s)
        for due_s, piece in self._timing(self._toxic.attributes, self._draw, data, busy_s):
            self._line.append((came_s + due_s, piece, came_s))
            self.held_bytes += len(piece)
            self._busy_until_s = came_s + due_s
        if self._toxic.type == "slicer":
            self._busy_until_s += self._toxic.attributes["delay"] * _US

    def _take_end(self, kind: End, came_s: float) -> None:
        due_s = max(came_s, self._busy_until_s)
        if self._toxic.type == "slow_close" and kind != "reset":
            due_s += self._toxic.attributes["delay"] * _MS
        self._line.append((due_s, kind, came_s))

    def _release(self) -> None:
        self._cancel()
        self._let_out(self._loop.time())
        if self._line and self._timer is None and self._line[0][0] < math.inf:
            self._timer = self._loop.call_at(self._line[0][0], self._on_time, self._line[0][0])

    def _on_time(self, due_s: float) -> None:
        # A loop may run a timer a clock resolution early; the piece it was armed for is due all the same.
        self._timer = None
        self._let_out(due_s)
        self._release()

    def _let_out(self, until_s: float) -> None:
        while self._line and self._line[0][0] <= until_s:
            _, item, _ = self._line.popleft()
            if isinstance(item, bytes):
                self.held_bytes -= len(item)
                self.outlet.feed(item)
            else:
                self.outlet.end(item)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Timeout(Stage):
    """Drops all data; closes after so long without any, never if 0. Taking it off closes as well: data is missing."""

    def __init__(self, outlet: Outlet, toxic: Toxic, draw: random.Random) -> None:
        super().__init__(outlet, toxic)
        self._timeout_s = toxic.attributes["timeout"] * _MS
        self._timer: asyncio.TimerHandle | None = None
        self._arm()

    def feed(self, data: bytes) -> None:
        self._arm()

    def end(self, kind: End) -> None:
        self.dispose()
        self.outlet.end(kind)

    def update(self, toxic: Toxic) -> None:
        self._timeout_s = toxic.attributes["timeout"] * _MS
        self._arm()

    def give_way(self) -> bool:
        self.dispose()
        return True

    def remove(self) -> None:
        self.end("close")

    def dispose(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self.dispose()
        if self._timeout_s:
            self._timer = asyncio.get_running_loop().call_later(self._timeout_s, self.end, "close")


class ResetPeer(Stage):
    """Waits for the first sign in its direction, swallows everything from there, and resets after the timeout."""

    def __init__(self, outlet: Outlet, toxic: Toxic, draw: random.Random) -> None:
        super().__init__(outlet, toxic)
        self._timeout_s = toxic.attributes["timeout"] * _MS
        self._timer: asyncio.TimerHandle | None = None

    def feed(self, data: bytes) -> None:
        self._strike()

    def end(self, kind: End) -> None:
        self._strike()

    def update(self, toxic: Toxic) -> None:
        self._timeout_s = toxic.attributes["timeout"] * _MS  # a timer that runs stays: it is too late

    def give_way(self) -> bool:
        return self._timer is None

    def dispose(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def remove(self) -> None:
        if self._timer is not None:  # bytes were swallowed: the connection cannot go on
            self._timer.cancel()
            self._reset()

    def _strike(self) -> None:
        if self._timeout_s == 0:
            self._reset()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._timeout_s, self._reset)

    def _reset(self) -> None:
        self.outlet.end("reset")


class LimitData(Stage):
    """Lets so many bytes pass on this connection, then closes it."""

    def __init__(self, outlet: Outlet, toxic: Toxic, draw: random.Random) -> None:
        super().__init__(outlet, toxic)
        self._limit_bytes = toxic.attributes["bytes"]
        self._passed_bytes = 0

    def feed(self, data: bytes) -> None:
        passing = data[: max(0, self._limit_bytes - self._passed_bytes)]
        self._passed_bytes += len(passing)
        if passing:
            self.outlet.feed(passing)
        if self._passed_bytes >= self._limit_bytes:
            self.outlet.end("close")

    def end(self, kind: End) -> None:
        self.outlet.end(kind)

    def update(self, toxic: Toxic) -> None:
        """What has passed before counts; the next chunk finds the new limit."""
        self._limit_bytes = toxic.attributes["bytes"]

    def give_way(self) -> bool:
        return True

    def remove(self) -> None:
        """Nothing is held."""

    def dispose(self) -> None:
        """Nothing is held."""


_OTHERS: Mapping[str, type[Timeout] | type[ResetPeer] | type[LimitData]] = {
    "timeout": Timeout,
    "reset_peer": ResetPeer,
    "limit_data": LimitData,
}


def stage_for(toxic: Toxic, outlet: Outlet, draw: random.Random) -> Stage:
    """The stage that carries out `toxic`; random choices come from `draw`."""
    return _OTHERS.get(toxic.type, DelayLine)(outlet, toxic, draw)
