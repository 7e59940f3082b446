"""The fault engine (Jepsen's nemesis): joins each fault's trigger to its action, and heals what it did.

A fault strikes at most once. One whose trigger never came, or that found nothing to act on, has no `FaultBegan` in the
history, and the run is then inconclusive: a fault that did not happen proves nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from sim.history import FaultBegan, FaultEnded, History, NodeChanged
from sim.scenario.model import (
    Action,
    AddToxic,
    AtTime,
    Disconnect,
    Down,
    Fault,
    Kill,
    OnOperation,
    OperationPoint,
    Pause,
    Stop,
)
from sim.scenario.wording import describe_fault
from sim.worlds.http_client import Exchange
from sim.worlds.world import Undo, World

UNENDING_S = 60.0
"""A fault without an end of its own is healed so long after it struck, if the system has not come to rest before."""


class FaultEngine:
    """All faults of one run."""

    def __init__(
        self, faults: Sequence[Fault], world: World, history: History, exchanges: Mapping[str, Exchange]
    ) -> None:
        self._faults = faults
        self._world = world
        self._history = history
        self._exchanges = exchanges
        self._at_points: dict[tuple[str, OperationPoint], list[Fault]] = {}
        self._active: dict[str, Undo] = {}
        self._dead: dict[str, None] = {}
        self._stopping: dict[str, None] = {}
        self._ending: dict[str, None] = {}
        self._last_strike_s = 0.0
        self._last_time_s = max((fault.when.at_s for fault in faults if isinstance(fault.when, AtTime)), default=-1.0)

    def arm(self) -> None:
        """Set every trigger; times count from now."""
        loop = asyncio.get_running_loop()
        for fault in self._faults:
            match fault.when:
                case AtTime(at_s=at_s):
                    loop.call_later(at_s, self._strike, fault)
                case OnOperation(operation=operation, point=point):
                    self._at_points.setdefault((operation, point), []).append(fault)
                case trigger:
                    self._world.watch(trigger, _calling(self._strike, fault))

    def reached(self, operation: str) -> Callable[[OperationPoint], None] | None:
        """What an operation has to call at each of its points; None when no fault waits there."""
        if not any(name == operation for name, _ in self._at_points):
            return None

        def reach(point: OperationPoint) -> None:
            for fault in self._at_points.pop((operation, point), ()):
                self._strike(fault)

        return reach

    def will_end(self) -> bool:
        """Whether a fault is still to come at its time, or lasts and has an end of its own."""
        return bool(self._ending) or self._world.now_s() <= self._last_time_s

    def overdue(self) -> bool:
        """Whether something lasts that nobody ends, and it had its time to do harm."""
        return bool(self._unending()) and self._world.now_s() >= self._last_strike_s + UNENDING_S

    def heal(self) -> None:
        """Undo what lasts and has no end of its own: take toxics off, start nodes that are down."""
        for name in self._unending():
            if name in self._dead:
                self._restart(name)
            else:
                self._end(name)

    def _unending(self) -> list[str]:
        return [name for name in (*self._active, *self._dead) if name not in self._ending]

    def _strike(self, fault: Fault) -> None:
        undo = self._act(fault)
        if undo is None:
            return
        self._active[fault.name] = undo
        if isinstance(fault.do, Kill | Stop | Disconnect):
            self._end(fault.name)
        elif fault.for_s is not None:
            self._ending[fault.name] = None
            asyncio.get_running_loop().call_later(fault.for_s, self._end, fault.name)

    def _act(self, fault: Fault) -> Undo | None:
        """Begin the action; None when there is nothing to act on."""
        action = fault.do
        if isinstance(action, Disconnect):
            exchange = self._exchanges.get(action.operation)
            if exchange is None:
                return None
            self._began(fault)
            exchange.hang_up(reset=action.ending == "reset")
            return _nothing
        if isinstance(action, Kill | Stop) and action.node in self._dead:
            return None
        if isinstance(action, Stop) and action.node in self._stopping:
            return None
        self._began(fault)
        match action:
            case AddToxic():
                return self._world.add_toxic(action)
            case Down(link=link):
                return self._world.cut(link)
            case Pause(node=node):
                self._world.pause(node, fault.for_s or 0.0)
                self._history.add(NodeChanged(self._world.now_s(), node, "paused"))
                return lambda: self._history.add(NodeChanged(self._world.now_s(), node, "resumed"))
            case Kill(node=node):
                self._world.kill(node)
                self._gone(action, "killed")
                return _nothing
            case Stop(node=node):
                # Until it is gone the run is not at rest.
                self._stopping[node] = self._ending[node] = None
                self._history.add(NodeChanged(self._world.now_s(), node, "stopping"))
                self._world.stop(node, lambda: self._gone(action, "stopped"))
                return _nothing

    def _gone(self, action: Kill | Stop, how: Literal["killed", "stopped"]) -> None:
        node = action.node
        self._stopping.pop(node, None)
        self._ending.pop(node, None)
        self._dead[node] = None
        self._history.add(NodeChanged(self._world.now_s(), node, how))
        if action.restart_after_s is not None:
            self._ending[node] = None
            asyncio.get_running_loop().call_later(action.restart_after_s, self._restart, node)

    def _began(self, fault: Fault) -> None:
        self._last_strike_s = self._world.now_s()
        self._history.add(FaultBegan(self._world.now_s(), fault.name, describe_fault(fault), _where(fault.do)))

    def _end(self, name: str) -> None:
        self._ending.pop(name, None)
        undo = self._active.pop(name, None)
        if undo is not None:
            undo()
            self._history.add(FaultEnded(self._world.now_s(), name))

    def _restart(self, node: str) -> None:
        self._ending.pop(node, None)
        if node in self._dead:
            del self._dead[node]
            self._world.start(node)
            self._history.add(NodeChanged(self._world.now_s(), node, "started"))


def _where(action: Action) -> str:
    """What an action strikes: a link, a node or an operation."""
    match action:
        case AddToxic(link=where) | Down(link=where):
            return where
        case Kill(node=where) | Stop(node=where) | Pause(node=where):
            return where
        case Disconnect(operation=where):
            return where


def _nothing() -> None:
    """What heals a fault that is over in the instant it strikes."""


def _calling(strike: Callable[[Fault], None], fault: Fault) -> Callable[[], None]:
    return lambda: strike(fault)
