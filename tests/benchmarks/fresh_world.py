"""A fresh world: loop, broker, two agents, database emptied, one delegation, judged, torn down.

The stages and the work of Postgres are measured in a second pass, which the watching makes a little slower.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter

from sim.worlds.workshop import Workshop
from tests.benchmarks.figures import Figure
from tests.benchmarks.postgres_cpu import backends_watched
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
        times = [_timed(shop, seed) for seed in range(worlds)]
        rate = worlds / (perf_counter() - begun_s)
        with backends_watched() as backends, observed() as stages:
            shop.play(PUSH, 0)
            before_s = backends.cpu_s()
            stages.reset()
            for seed in range(worlds):
                stages.begin()
                shop.play(PUSH, seed)
                stages.end()
            postgres_s = (backends.cpu_s() - before_s) / worlds
    python_s, wall_s = (median(column) for column in zip(*times, strict=True))
    return [
        Figure("CPU of the Python process, median", 1e3 * python_s, "ms", at_most=6),
        *(
            Figure(f"  of it {stage}, mean", 1e3 * stages.cpu_s[stage] / worlds, "ms")
            for stage in (SET_UP, PLAY, JUDGE, TEAR_DOWN, GC)
        ),
        Figure("CPU of Postgres, mean", 1e3 * postgres_s, "ms"),
        Figure("wall, median", 1e3 * wall_s, "ms", at_most=8),
        *(
            Figure(f"database round trips of the {who}", count / worlds)
            for who, count in sorted(stages.round_trips.items())
        ),
        Figure("worlds a CPU second, Postgres included", 1 / (python_s + postgres_s), "/s", at_least=120),
        Figure("worlds a wall second on one core", rate, "/s", at_least=120),
    ]


def _timed(shop: Workshop, seed: int) -> tuple[float, float]:
    """CPU and wall seconds. The run itself is not kept: each collection would walk over it again."""
    run = shop.play(PUSH, seed)
    if run.judgement.verdict != "passed":
        raise AssertionError(f"the world of seed {seed} ought to pass: {run.judgement}")
    return run.cpu_s, run.wall_s
