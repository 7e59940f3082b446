"""What a world has to offer so that a scenario can be played in it: the one interface between `play` and the worlds.

Clock, network and process control differ between worlds; everything else is shared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from sim.history import Final
from sim.scenario.model import AddToxic, Trigger

Undo = Callable[[], None]


class World(Protocol):
    """A place where a broker, its agents and its database run."""

    def now_s(self) -> float:
        """Seconds since the first step."""

    def broker_address(self) -> tuple[str, int]:
        """Where clients reach the broker (through the fault proxy, where there is one)."""

    def agent_url(self, workspace: str) -> str:
        """Where the broker reaches a workspace's agent (through the fault proxy, where there is one)."""

    def start_client(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a client's work."""

    def watch(self, trigger: Trigger, strike: Callable[[], None]) -> None:
        """Call `strike` once, when a link trigger is reached."""

    def add_toxic(self, toxic: AddToxic) -> Undo:
        """Put a toxic on a link now."""

    def cut(self, link: str) -> Undo:
        """Take a link down now."""

    def kill(self, node: str) -> None:
        """Cut a node's power."""

    def stop(self, node: str, gone: Callable[[], None]) -> None:
        """Ask a node's program to end, as SIGTERM does; `gone` is called once its process has ended."""

    def start(self, node: str) -> None:
        """Start again a node that was killed, or is gone."""

    def pause(self, node: str, duration_s: float) -> None:
        """Let a node stand still."""

    async def statuses(self) -> Mapping[str, str]:
        """The present status of every delegation and every item of the queue that the broker has a row of, by id."""

    async def final(self, callers: Sequence[str]) -> Final:
        """The state of the broker after settling; `callers` are the workspaces whose inbox is to be read."""
