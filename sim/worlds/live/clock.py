"""A real event loop whose clock runs faster than the wall's: a scenario's seconds become fractions of real ones.

Everything that waits on this loop (steps, faults, settling) is written in the scenario's seconds and stays as it is;
only what runs in other processes has to be told its durations divided by the scale.
"""

from __future__ import annotations

import asyncio
import selectors
import time


class _HurriedSelector(selectors.DefaultSelector):
    """Waits for the real length of a time-out that is given in scenario seconds."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self._scale = scale

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for readiness, at most `timeout` scenario seconds."""
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(
            None if timeout is None else timeout / self._scale
        )
        return ready


class ScaledLoop(asyncio.SelectorEventLoop):
    """`scale` of its seconds pass in one real second."""

    def __init__(self, scale: float) -> None:
        super().__init__(_HurriedSelector(scale))
        self.scale = scale
        self._began_s = time.monotonic()

    def time(self) -> float:
        """Scenario seconds."""
        return self.at(time.monotonic())

    def at(self, monotonic_s: float) -> float:
        """What this clock reads when `time.monotonic` reads `monotonic_s`, in whichever process of this machine."""
        return self._began_s + (monotonic_s - self._began_s) * self.scale
