"""Stories: tests that run inside a fresh simulated world."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from sim.kernel import Simulation

Story: TypeAlias = Callable[[Simulation], Coroutine[Any, Any, None]]


def play(seed: int, story: Story) -> None:
    """Run a story in a fresh world, on its node `harness`."""
    with Simulation(seed) as sim:
        sim.run(story(sim))
