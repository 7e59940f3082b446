"""The fault engine (Jepsen's nemesis): joins each fault's trigger to its action, and heals what it did.

A fault strikes at most once. One whose trigger never came, or that found nothing to act on, has no `FaultBegan` in the
history, and the run is then inconclusive: a fault that did not happen proves nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from sim.history import FaultBegan, FaultEnded, History, NodeChanged
from sim.scenario.model import (
    AddToxic,
    AtTime,
    Disconnect,
    Down,
    Fault,
    Kill,
    OnOperation,
    OperationPoint,
    Pause,
)
from sim.scenario.wording import describe_fault
from sim.worlds.http_client import Exchange
from sim.worlds.world import Undo, World


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

    def busy(self) -> bool:
        """Whether a fault that ends by itself still lasts."""
        timed = {fault.name for fault in self._faults if fault.for_s is not None}
        returning = {
            fault.do.node
            for fault in self._faults
            if isinstance(fault.do, Kill) and fault.do.restart_after_s is not None
        }
        return any(name in timed for name in self._active) or any(node in returning for node in self._dead)

    def heal(self) -> None:
        """Undo everything that still lasts, and start every node that is down."""
        for name in list(self._active):
            self._end(name)
        for node in list(self._dead):
            self._restart(node)

    def _strike(self, fault: Fault) -> None:
        undo = self._act(fault)
        if undo is None:
            return
        self._active[fault.name] = undo
        loop = asyncio.get_running_loop()
        match fault.do:
            case Kill(node=node, restart_after_s=float(delay_s) | int(delay_s)):
                loop.call_later(delay_s, self._restart, node)
            case Kill() | Disconnect():
                pass
            case _ if fault.for_s is not None:
                loop.call_later(fault.for_s, self._end, fault.name)
        if isinstance(fault.do, Kill | Disconnect):
            self._end(fault.name)

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
        if isinstance(action, Kill) and action.node in self._dead:
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
                self._dead[node] = None
                self._world.kill(node)
                self._history.add(NodeChanged(self._world.now_s(), node, "killed"))
                return _nothing

    def _began(self, fault: Fault) -> None:
        self._history.add(FaultBegan(self._world.now_s(), fault.name, describe_fault(fault)))

    def _end(self, name: str) -> None:
        undo = self._active.pop(name, None)
        if undo is not None:
            undo()
            self._history.add(FaultEnded(self._world.now_s(), name))

    def _restart(self, node: str) -> None:
        if node in self._dead:
            del self._dead[node]
            self._world.start(node)
            self._history.add(NodeChanged(self._world.now_s(), node, "started"))


def _nothing() -> None:
    """What heals a fault that is over in the instant it strikes."""


def _calling(strike: Callable[[Fault], None], fault: Fault) -> Callable[[], None]:
    return lambda: strike(fault)
