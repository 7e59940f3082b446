"""A fresh world: loop, broker, two agents, database emptied, one delegation, judged, torn down.

Checked against the split: its stages are measured in a second pass, which the watching makes a little slower.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter

from tests.benchmarks.figures import Figure
from tests.benchmarks.stages import GC, JUDGE, PLAY, SET_UP, TEAR_DOWN, observed
from tests.benchmarks.worlds import PUSH, WARM_UP_WORLDS, workshop

TITLE = "A fresh world, one delegation"


def measure(quick: bool) -> list[Figure]:
    """CPU and wall time of one world, its stages, its round trips, and the rate on one core."""
    worlds = 20 if quick else 400
    with workshop(core=0) as shop:
        for seed in range(WARM_UP_WORLDS):
            shop.play(PUSH, seed)
        begun_s = perf_counter()
        runs = [shop.play(PUSH, seed) for seed in range(worlds)]
        rate = worlds / (perf_counter() - begun_s)
        with observed() as stages:
            for seed in range(worlds):
                stages.begin()
                shop.play(PUSH, seed)
                stages.enter("")
    failed = [run.seed for run in runs if run.judgement.verdict != "passed"]
    if failed:
        raise AssertionError(f"worlds that ought to pass did not: seeds {failed}")
    split = [
        Figure(f"  of it {stage}", 1e3 * stages.cpu_s[stage] / worlds, "ms")
        for stage in (SET_UP, PLAY, JUDGE, TEAR_DOWN, GC)
    ]
    trips = [
        Figure(f"  database round trips of the {who}", count / worlds) for who, count in stages.round_trips.items()
    ]
    return [
        Figure("CPU of the Python process, median", 1e3 * median(run.cpu_s for run in runs), "ms", at_most=6),
        *split,
        Figure("wall, median", 1e3 * median(run.wall_s for run in runs), "ms", at_most=8),
        *trips,
        Figure("worlds a second on one core", rate, "/s", at_least=120),
    ]
