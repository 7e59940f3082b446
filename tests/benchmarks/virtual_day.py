"""A virtual day: one world, 24 hours, a delegation every 10 s and a fault every minute; its speed and its memory.

The scenario is built here and played by the same player as every scenario. A history grows with what is done, by
design, and so does the database; so that growth of anything else shows, the history here forgets all but its last
entries, and nothing is judged. Measured is the resident set of the Python process at quarters of the day.
"""

from __future__ import annotations

import gc
from collections import deque
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from sim.kernel import Simulation
from sim.scenario.model import AddToxic, AtTime, Delegate, Down, Fault, Kill, Reply, Scenario, Step, Workspace
from sim.worlds.simulated import SimulatedWorld, Workshop
from tests.benchmarks.figures import Figure
from tests.benchmarks.worlds import PUSH, WARM_UP_WORLDS, workshop

TITLE = "A virtual day: a delegation every 10 s, a fault every minute"
HORIZON_S = 40 * 3600.0
HISTORY_ENTRIES = 1000
DELEGATION_EVERY_S, FAULT_EVERY_S, FAULT_FOR_S = 10, 60, 2.0

_LINKS = ("broker-agent:bob", "broker-database")
_ACTIONS = tuple(
    action
    for link in _LINKS
    for action in (
        AddToxic(link=link, type="latency", attributes={"latency": 1000}),
        AddToxic(link=link, type="reset_peer", attributes={"timeout": 0}),
        Down(link=link),
    )
)


def day(hours: float) -> Scenario:
    """The scenario of so many hours."""
    end_s = int(hours * 3600)
    steps = tuple(
        Step(does=Delegate(op=f"d{at_s}", source="ann", target="bob"), at_s=float(at_s))
        for at_s in range(0, end_s, DELEGATION_EVERY_S)
    )
    # Shifted by so much that each strikes while a delegation is under way.
    times_s = range(FAULT_EVERY_S, end_s, FAULT_EVERY_S)
    faults = tuple(
        Fault(name=f"f{number}", when=AtTime(at_s=at_s + 0.001), do=action, for_s=FAULT_FOR_S)
        for number, (at_s, action) in enumerate(zip(times_s, cycle(_ACTIONS), strict=False))
    )
    return Scenario(
        path="day.yaml", family="", name="day", title="A virtual day", covers=(), steps=steps, faults=faults,
        workspaces=(Workspace(name="ann", delivery="poll"), Workspace(name="bob", agent=(Reply(after_s=1.0),))),
    )  # fmt: skip
