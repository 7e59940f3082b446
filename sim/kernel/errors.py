"""How a simulation ends when it cannot go on: each kind of hang is a different error, and so is leaving the simulation.

The three hangs derive from BaseException on purpose: code under test that catches `Exception` must not swallow them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_KERNEL = str(Path(__file__).parent)
_STANDARD_LIBRARY = str(Path(os.__file__).parent)


class SimulationHang(BaseException):
    """The simulated world cannot make progress; the message says why, and where its tasks wait."""


class Deadlock(SimulationHang):
    """Nothing is ready, no timer is armed and no segment is under way, but the run is not over."""


class HorizonReached(SimulationHang):
    """Virtual time passed the horizon before the run was over: something waits for ever behind a timer."""


class Livelock(SimulationHang):
    """Too many callbacks ran in one instant of virtual time: something polls without letting time pass."""


class OutsideFailure(BaseException):
    """What the simulation rests on broke (a real Postgres died): no finding about the code under test.

    A BaseException, so that neither that code nor the loop can take it for an error of its own.
    """


class NotSimulated(RuntimeError):
    """The code under test left the simulation (a thread, a process, a real file descriptor, a blocking call)."""

    def __init__(self, what: str, advice: str = "") -> None:
        hint = f"; {advice}" if advice else ""
        super().__init__(f"{what} cannot be simulated, called at {_caller()}{hint}")


def _caller() -> str:
    """The innermost place that is neither the kernel nor the standard library: the user's own code, if there is any."""
    frame = sys._getframe(1)
    innermost = frame
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(("<", _KERNEL)):
            pass
        elif not path.startswith(_STANDARD_LIBRARY) or "site-packages" in path:
            return f"{path}:{frame.f_lineno} in {frame.f_code.co_name}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return f"{innermost.f_code.co_filename}:{innermost.f_lineno}"
