"""A virtual day: one world, 24 hours, a delegation every 10 s and a fault every minute; its speed and its memory.

The scenario is built here and played by the player of every scenario. A history grows with what is done, by design; so
that growth of anything else shows, the history here forgets all but its last entries, and nothing is judged. Speed and
memory are those of the day itself: the last look at the database afterwards, which reads every row, is not in them.
"""

from __future__ import annotations

import gc
import logging
import os
from collections import Counter, deque
from dataclasses import dataclass
from itertools import cycle
from time import CLOCK_MONOTONIC, clock_gettime, process_time

from sim.kernel import Simulation
from sim.scenario.model import AddToxic, AtTime, Delegate, Down, Fault, Reply, Scenario, Step, Workspace
from sim.worlds.simulated import SimulatedWorld
from sim.worlds.workshop import Workshop
from tests.benchmarks.figures import Figure
from tests.benchmarks.worlds import PUSH, WARM_UP_WORLDS, workshop

TITLE = "A virtual day: a delegation every 10 s, a fault every minute"
HISTORY_ENTRIES = 1000
DELEGATION_EVERY_S, FAULT_EVERY_S, FAULT_FOR_S = 10, 60, 2.0
FAULT_OFFSET_S = 0.001
"""Each fault strikes while a delegation is under way."""

_STRIKES = tuple(
    action
    for link in ("broker-agent:bob", "broker-database")
    for action in (
        AddToxic(link=link, type="latency", attributes={"latency": 1000}),
        AddToxic(link=link, type="reset_peer", attributes={"timeout": 0}),
        Down(link=link),
    )
)


@dataclass(frozen=True, slots=True)
class Sample:
    """The process at one instant of the day, after a garbage collection; `peak_bytes` is from before it."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    resident_bytes: int
    objects: Counter[str]


def measure(quick: bool) -> list[Figure]:
    """Virtual seconds a wall second, and memory at quarters of the day."""
    hours = 0.2 if quick else 24.0
    logging.getLogger().addHandler(logging.NullHandler())  # the broker has much to say of these faults
    with workshop(core=0) as shop:
        for seed in range(WARM_UP_WORLDS):
            shop.play(PUSH, seed)
        begun = _sample()
        quarter, half, end = _played(shop, day(hours))
    delegations = hours * 3600 / DELEGATION_EVERY_S
    growth = (end.resident_bytes - half.resident_bytes) / (delegations / 2)
    kept = end.objects - half.objects
    most = ", ".join(f"{count} {name}" for name, count in kept.most_common(3)) or "none"
    wall_s, cpu_s = end.wall_s - begun.wall_s, end.cpu_s - begun.cpu_s
    return [
        Figure("virtual seconds a wall second", hours * 3600 / wall_s, "times", note=f"{hours:g} h in {wall_s:.1f} s"),
        Figure("virtual seconds a CPU second of Python", hours * 3600 / cpu_s, "times"),
        Figure("CPU a delegation", 1e3 * cpu_s / delegations, "ms"),
        *(
            Figure(f"resident at {part}", sample.resident_bytes / 2**20, "MiB")
            for part, sample in (("the start", begun), ("25 %", quarter), ("50 %", half), ("100 %", end))
        ),
        Figure("peak resident, at those instants", end.peak_bytes / 2**20, "MiB"),
        Figure("growth a delegation, second half", growth, "bytes", at_most=1024),
        Figure("more objects at 100 % than at 50 %", float(kept.total()), note=most),
    ]


def day(hours: float) -> Scenario:
    """The scenario of so many hours."""
    end_s = round(hours * 3600)
    return Scenario(
        path="day.yaml",
        family="",
        name="day",
        title="A virtual day",
        covers=(),
        workspaces=(Workspace(name="ann", delivery="poll"), Workspace(name="bob", agent=(Reply(after_s=1.0),))),
        steps=tuple(
            Step(does=Delegate(op=f"d{at_s}", source="ann", target="bob"), at_s=float(at_s))
            for at_s in range(0, end_s, DELEGATION_EVERY_S)
        ),
        faults=tuple(
            Fault(name=f"f{at_s}", when=AtTime(at_s=at_s + FAULT_OFFSET_S), do=strike, for_s=FAULT_FOR_S)
            for at_s, strike in zip(range(FAULT_EVERY_S, end_s, FAULT_EVERY_S), cycle(_STRIKES), strict=False)
        ),
    )


def _played(shop: Workshop, scenario: Scenario) -> tuple[Sample, Sample, Sample]:
    """Play it; the process at 25 %, 50 % and 100 % of it."""
    length_s = (scenario.steps[-1].at_s or 0.0) + DELEGATION_EVERY_S
    samples: list[Sample] = []
    with Simulation(0) as simulation:
        world = SimulatedWorld(simulation, scenario, shop)
        world.history.entries = deque(maxlen=HISTORY_ENTRIES)  # it has to be a list for judging only
        for part in (0.25, 0.5, 1.0):
            simulation.loop.after(part * length_s, lambda: samples.append(_sample()))
        try:
            simulation.run(world.play())
        finally:
            world.close()
    quarter, half, end = samples
    return quarter, half, end


def _sample() -> Sample:
    peak_bytes = _resident_bytes()
    gc.collect()
    objects = Counter(f"{type(thing).__module__}.{type(thing).__qualname__}" for thing in gc.get_objects())
    return Sample(clock_gettime(CLOCK_MONOTONIC), process_time(), peak_bytes, _resident_bytes(), objects)


def _resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
