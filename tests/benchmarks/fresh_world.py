"""A fresh world: loop, broker, two agents, database emptied, one delegation, judged, torn down.

Each figure with a target is told twice: as it was measured, and as it would be on a host of the reference's speed, with
the speed of this one measured between the worlds. The stages and the work of Postgres are measured in a second pass,
which the watching makes a little slower.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import NamedTuple

from sim.worlds.workshop import Workshop
from tests.benchmarks import host_speed
from tests.benchmarks.figures import Figure
from tests.benchmarks.postgres_cpu import backends_watched
from tests.benchmarks.stages import GC, JUDGE, PLAY, SET_UP, TEAR_DOWN, observed
from tests.benchmarks.worlds import PUSH, WARM_UP_WORLDS, workshop

TITLE = "A fresh world, one delegation"
ROUNDS = 10


def measure(quick: bool) -> list[Figure]:
    """CPU and wall time of one world, its stages, its round trips, and the rate on one core."""
    rounds, worlds, requests = (1, 20, 20) if quick else (ROUNDS, 40, 300)
    with workshop(core=0) as shop:
        for seed in range(WARM_UP_WORLDS):
            shop.play(PUSH, seed)
        played = [_round(shop, worlds, host_speed.of([0], requests=requests)) for _ in range(rounds)]
        with backends_watched() as backends, observed() as stages:
            shop.play(PUSH, 0)
            before_s = backends.cpu_s()
            stages.reset()
            for seed in range(rounds * worlds):
                stages.begin()
                shop.play(PUSH, seed)
                stages.end()
            postgres_s = (backends.cpu_s() - before_s) / (rounds * worlds)
    here = _Round(*(median(column) for column in zip(*played, strict=True)))
    there = _Round(*(median(column) for column in zip(*map(_on_the_reference, played), strict=True)))
    return [
        host_speed.figure([each.speed for each in played]),
        *host_speed.twice("CPU of the Python process", 1e3 * here.cpu_s, 1e3 * there.cpu_s, "ms", at_most=6),
        *(
            Figure(f"  of it {stage}, mean", 1e3 * stages.cpu_s[stage] / (rounds * worlds), "ms")
            for stage in (SET_UP, PLAY, JUDGE, TEAR_DOWN, GC)
        ),
        Figure("CPU of Postgres, mean", 1e3 * postgres_s, "ms"),
        *host_speed.twice("wall", 1e3 * here.wall_s, 1e3 * there.wall_s, "ms", at_most=8),
        *(
            Figure(f"database round trips of the {who}", count / (rounds * worlds))
            for who, count in sorted(stages.round_trips.items())
        ),
        *host_speed.twice("worlds a wall second on one core", here.rate, there.rate, "/s", at_least=120),
    ]


class _Round(NamedTuple):
    """Medians of some worlds, with the speed of the host beside them. `rate`: worlds a wall second."""

    speed: float
    cpu_s: float
    wall_s: float
    rate: float


def _round(shop: Workshop, worlds: int, speed: float) -> _Round:
    begun_s = perf_counter()
    times = [_timed(shop, seed) for seed in range(worlds)]
    rate = worlds / (perf_counter() - begun_s)
    cpu_s, wall_s = (median(column) for column in zip(*times, strict=True))
    return _Round(speed, cpu_s, wall_s, rate)


def _on_the_reference(here: _Round) -> _Round:
    return _Round(1.0, here.cpu_s * here.speed, here.wall_s * here.speed, here.rate / here.speed)


def _timed(shop: Workshop, seed: int) -> tuple[float, float]:
    """CPU and wall seconds. The run itself is not kept: each collection would walk over it again."""
    run = shop.play(PUSH, seed)
    if run.judgement.verdict != "passed":
        raise AssertionError(f"the world of seed {seed} ought to pass: {run.judgement}")
    return run.cpu_s, run.wall_s
