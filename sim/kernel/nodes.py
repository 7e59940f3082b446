"""Nodes: simulated machines that can lose their power, come back, or stand still.

Whose code runs is told by a ContextVar that holds the **incarnation** of a node. asyncio copies the context into every
handle, task and timer, so ownership follows whatever way work was spawned (eager tasks included), and the loop can
enforce it at the one place through which everything passes: where it dispatches. Killing an incarnation therefore
stops all its work at once and runs no `finally`. Its sockets are closed by the network as a kernel would after
SIGKILL: peers see FIN, or RST where data was left unread, and connecting to it is refused.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from sim.kernel.loop import SimLoop
    from sim.kernel.sockets import SimSocket

T = TypeVar("T")

RUNNING: contextvars.ContextVar[Incarnation] = contextvars.ContextVar("incarnation")


def owner_of(context: contextvars.Context) -> Incarnation | None:
    """Whose work a context carries; an empty one, made by hand, is claimed by the incarnation that runs now."""
    owner = context.get(RUNNING)
    if owner is None and (owner := RUNNING.get(None)) is not None:
        context.run(RUNNING.set, owner)
    return owner


class Incarnation:
    """One life of a node, from start to kill."""

    __slots__ = ("dead", "node", "parked", "paused", "salt", "sockets", "tasks")

    def __init__(self, node: Node, salt: int) -> None:
        self.node = node
        self.salt = salt
        self.dead = False
        self.paused = False
        self.parked: list[asyncio.Handle] = []
        self.sockets: dict[SimSocket, None] = {}
        self.tasks: dict[asyncio.Task[Any], None] = {}


class Node:
    """A simulated machine with a name, an address, and one incarnation at a time."""

    def __init__(self, loop: SimLoop, name: str, address: str) -> None:
        self._loop = loop
        self.name = name
        self.address = address
        self.on_exit: Callable[[SystemExit], None] | None = None
        """Told when code of this machine calls for `sys.exit`; without it, that ends the simulation."""
        self.incarnation = Incarnation(self, loop.new_salt())

    def context(self) -> contextvars.Context:
        """A fresh context that belongs to the present incarnation."""
        context = contextvars.copy_context()
        context.run(RUNNING.set, self.incarnation)
        return context

    def spawn(self, coroutine: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
        """Run `coroutine` as part of this machine. Raises RuntimeError when the machine has no power."""
        if self.incarnation.dead:
            coroutine.close()
            raise RuntimeError(f"node {self.name!r} is down; restart() it first")
        task: asyncio.Task[T] = self._loop.create_task(coroutine, name=name or self.name, context=self.context())
        # asyncio holds tasks weakly: one that nobody else knows would vanish at some garbage collection.
        tasks = self.incarnation.tasks
        tasks[task] = None
        task.add_done_callback(lambda done: tasks.pop(done, None))
        return task

    def kill(self) -> None:
        """Cut the power: no callback of this incarnation runs any more, no `finally` runs, its sockets are gone."""
        dead = self.incarnation
        if dead.dead:
            return
        dead.dead = True
        self._loop.bury(dead)
        for socket in list(dead.sockets):
            socket.close()

    def restart(self) -> None:
        """Power on again: a new incarnation with nothing running yet. Kills the old one if it still lives."""
        self.kill()
        self.incarnation = Incarnation(self, self._loop.new_salt())

    def pause(self, duration_s: float) -> None:
        """Stand still for `duration_s` virtual seconds; segments still arrive, timers that fall due wait."""
        incarnation = self.incarnation
        incarnation.paused = True
        self._loop.screen()
        self._loop.after(duration_s, self.resume, incarnation)

    def resume(self, incarnation: Incarnation | None = None) -> None:
        """End a pause early, or when its time is over; what fell due meanwhile runs now, in its order."""
        sleeper = incarnation or self.incarnation
        if sleeper.paused and not sleeper.dead:
            sleeper.paused = False
            self._loop.unpark(sleeper)
