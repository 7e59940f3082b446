"""A delegation that is retried after 8 s: how much virtual time passes in a second of real time, on one core.

A run's last minutes are a quiet wait in which little happens, and cost little. So three ratios are told: of the whole
run; of its part up to the agent's last answer, against the real time of that part, set-up included; and the strictest,
those virtual seconds against the real time of the whole run.
"""

from __future__ import annotations

from statistics import median
from time import CLOCK_MONOTONIC, clock_gettime
from unittest.mock import patch

from sim.history import Contact, Entry, History
from sim.worlds.workshop import Workshop
from tests.benchmarks.figures import Figure
from tests.benchmarks.worlds import RETRY, WARM_UP_WORLDS, workshop

TITLE = "A delegation with its 8 s retry: virtual seconds a wall second, one core"


def measure(quick: bool) -> list[Figure]:
    """The three ratios, and what they are made of."""
    worlds = 10 if quick else 200
    with workshop(core=0) as shop:
        for seed in range(WARM_UP_WORLDS):
            shop.play(RETRY, seed)
        played = [_play(shop, seed) for seed in range(worlds)]
    virtual_s, wall_s, ended_s, part_wall_s = (median(column) for column in zip(*played, strict=True))
    part = f"{ended_s:.1f} s in {1e3 * part_wall_s:.1f} ms"
    return [
        Figure("whole run", virtual_s / wall_s, "times", note=f"{virtual_s:.1f} s in {1e3 * wall_s:.1f} ms"),
        Figure("up to the agent's last answer", ended_s / part_wall_s, "times", at_least=1500, note=part),
        Figure("up to there, against the whole run's wall", ended_s / wall_s, "times"),
    ]


def _play(shop: Workshop, seed: int) -> tuple[float, float, float, float]:
    """Virtual and wall seconds of one run, then of its part up to the agent's last answer."""
    answered: list[tuple[float, float]] = []
    add = History.add

    def noting(history: History, entry: Entry) -> None:
        if isinstance(entry, Contact) and entry.stage == "answered":
            answered.append((entry.at_s, _real_s()))
        add(history, entry)

    with patch.object(History, "add", noting):
        begun_s = _real_s()
        run = shop.play(RETRY, seed)
    if len(answered) != 2:
        raise AssertionError(f"the agent ought to have answered twice, and answered {len(answered)} times")
    ended_s, real_s = answered[-1]
    return run.virtual_s, run.wall_s, ended_s, real_s - begun_s


def _real_s() -> float:
    """Real seconds, also inside a simulation, where `time.perf_counter` is virtual."""
    return clock_gettime(CLOCK_MONOTONIC)
