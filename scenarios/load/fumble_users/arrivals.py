"""Arrivals: delegations that begin at their times, whoever still waits for an answer.

Each process of `workers` takes an equal part of the rate. How many may be under way is bounded; beyond that they begin
late, and their latency says so, because it counts from when they were due.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import gevent
from gevent.pool import Pool
from locust import User, task
from locust.exception import StopUser

from fumble_users.operations import Load
from fumble_users.times import times

UNDER_WAY_MAX = 2000


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
