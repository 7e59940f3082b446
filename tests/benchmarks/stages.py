"""Where the CPU time of a world goes, and how often it asks Postgres: seen at the doors between its stages."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import process_time
from typing import Any
from unittest.mock import patch

from sim.kernel.postgres_gateway import ControlSession, Gateway
from sim.kernel.postgres_gateway.backend import Backend
from sim.worlds import simulated, workshop
from sim.worlds.play import Player

SET_UP, PLAY, JUDGE, TEAR_DOWN, GC = "set-up", "play", "final, judge", "tear-down", "gc"


class Stages:
    """CPU seconds by stage, and database round trips by who asks."""

    def __init__(self) -> None:
        self.cpu_s: Counter[str] = Counter()
        self.round_trips: Counter[str] = Counter()
        self._stage = SET_UP
        self._since_s = 0.0

    def reset(self) -> None:
        """Forget what was counted."""
        self.cpu_s.clear()
        self.round_trips.clear()

    def begin(self) -> None:
        """A world begins."""
        self._stage, self._since_s = SET_UP, process_time()

    def end(self) -> None:
        """The world is over."""
        self.cpu_s[self._stage] += process_time() - self._since_s

    def enter(self, stage: str) -> None:
        """What ran until now belongs to the stage before."""
        now_s = process_time()
        self.cpu_s[self._stage] += now_s - self._since_s
        self._stage, self._since_s = stage, now_s

    def count(self, who: str) -> None:
        """One round trip."""
        self.round_trips[who] += 1


@contextmanager
def observed() -> Iterator[Stages]:
    """Watch the worlds that are played within the block; call `begin` before each and `end` after it."""
    stages = Stages()
    doors: list[tuple[Any, str, Callable[[], None]]] = [
        (Player, "play", lambda: stages.enter(PLAY)),
        (simulated.SimulatedWorld, "final", lambda: stages.enter(JUDGE)),
        (Gateway, "close", lambda: stages.enter(TEAR_DOWN)),
        (workshop, "judge", lambda: stages.enter(JUDGE)),
        (workshop.Simulation, "close", lambda: stages.enter(TEAR_DOWN)),
        (gc, "collect", lambda: stages.enter(GC)),
        (Backend, "send", lambda: stages.count("broker")),
        (ControlSession, "query", lambda: stages.count("harness")),
        (ControlSession, "run", lambda: stages.count("harness")),
    ]
    with ExitStack() as stack:
        for owner, name, at_door in doors:
            stack.enter_context(patch.object(owner, name, _announced(getattr(owner, name), at_door)))
        yield stages


def _announced(function: Callable[..., Any], at_door: Callable[[], None]) -> Callable[..., Any]:
    def announced(*args: Any, **kwargs: Any) -> Any:
        at_door()
        return function(*args, **kwargs)

    return announced
