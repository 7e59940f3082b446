"""Arrivals: delegations that begin at their times, whoever still waits for an answer.

Each process of `workers` takes an equal part of the rate. The times follow from the shape alone: the k-th arrival is
due when the integral of the rate reaches k. How many may be under way is bounded; beyond that they begin late, and
their latency says so, because it counts from when they were due.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import gevent
from gevent.pool import Pool
from locust import User, task
from locust.exception import StopUser

from fumble_users.operations import Load

UNDER_WAY_MAX = 2000
_STEP_S = 0.001


class Arriving(User):  # type: ignore[misc]
    """Begins the arrivals of one entry of the plan, in this process."""

    abstract = True
    told: ClassVar[Mapping[str, Any]]
    load: ClassVar[Load]

    @task
    def arrive(self) -> None:
        """All of them."""
        plan = self.load.plan
        chance = random.Random(f"{plan.seed}/{self.load.recorder.worker}/{self.told['shape']}")
        pool = Pool(UNDER_WAY_MAX)
        began_s = time.monotonic()
        try:
            for due in times(self.told, plan.duration_s, plan.workers, chance):
                due_s = began_s + due
                if (early_s := due_s - time.monotonic()) > 0:
                    gevent.sleep(early_s)
                source, target = chance.choice(self.told["callers"]), chance.choice(self.told["targets"])
                pool.spawn(self.load.delegate, source, target, due_s=due_s)
            pool.join(timeout=plan.timeout_s)
        finally:
            pool.kill()
        raise StopUser


def times(told: Mapping[str, Any], duration_s: float, share_of: int, chance: random.Random) -> Iterator[float]:
    """When each arrival is due, in seconds since the beginning, for one of `share_of` equal parts."""
    if told["shape"] == "soak":
        at_s = 0.0
        while (at_s := at_s + chance.expovariate(told["rate"] / share_of)) < duration_s:
            yield at_s
        return
    rate = _rate(told, duration_s)
    owed = chance.random()
    for step in range(int(duration_s / _STEP_S)):
        owed += rate(step * _STEP_S) * _STEP_S / share_of
        while owed >= 1:
            owed -= 1
            yield step * _STEP_S


def _rate(told: Mapping[str, Any], duration_s: float) -> Callable[[float], float]:
    """Arrivals a second, by the time."""
    if told["shape"] == "constant":
        return lambda at_s: float(told["rate"])
    if told["shape"] == "ramp":
        first, last = told["from_rate"], told["to_rate"]
        return lambda at_s: float(first + (last - first) * at_s / duration_s)
    begins_s, ends_s = told["at_s"], told["at_s"] + told["for_s"]
    return lambda at_s: float(told["peak"] if begins_s <= at_s < ends_s else told["rate"])
