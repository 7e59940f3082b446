"""How quick it was, and how much failed: over the whole load, second by second, and by the windows of faults.

Latency counts from when an operation was due. The buckets of a histogram grow by two per cent each, so a percentile is
right to two per cent, however many operations there are.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from sim.worlds.load.records import Recorded
from sim.worlds.load.windows import Window

_GROWTH = math.log(1.02)
LEAVES = ("the client left", "the load ended")
"""Outcomes that a client chose: neither quick nor slow, nor a failure."""


@dataclass(slots=True)
class Timing:
    """Latencies and failures of a set of operations."""

    buckets: Counter[int] = field(default_factory=Counter)
    answered: int = 0
    failed: int = 0
    slowest_s: float = 0.0

    def add(self, other: Timing) -> None:
        """Those of another set."""
        self.buckets.update(other.buckets)
        self.answered += other.answered
        self.failed += other.failed
        self.slowest_s = max(self.slowest_s, other.slowest_s)

    @property
    def count(self) -> int:
        """Operations, answered or failed."""
        return self.answered + self.failed

    @property
    def failure_ratio(self) -> float:
        """Of all operations, the part that failed; 0 if there were none."""
        return self.failed / self.count if self.count else 0.0

    def add_answered(self, latency_s: float, bucket: int) -> None:
        """One that was answered; `bucket` is that of its latency."""
        self.answered += 1
        self.buckets[bucket] += 1
        if latency_s > self.slowest_s:
            self.slowest_s = latency_s

    def percentile_s(self, percent: float) -> float | None:
        """So many of a hundred answers were not slower; None if there were none."""
        left = self.answered * percent / 100
        for bucket in sorted(self.buckets):
            left -= self.buckets[bucket]
            if left <= 0:
                return min(math.exp(bucket * _GROWTH), self.slowest_s)
        return self.slowest_s if self.answered else None


def bucket_of(latency_s: float) -> int:
    """Where in a histogram a latency is counted."""
    return round(math.log(max(latency_s, 1e-6)) / _GROWTH)


@dataclass(slots=True)
class WindowTiming:
    """What was measured in one window. `recovery_s`: how long after its end an operation began that failed."""

    window: Window
    timing: Timing = field(default_factory=Timing)
    recovery_s: float = 0.0


@dataclass(slots=True)
class Sample:
    """What waited at an instant: delegations under way, and items of the queue."""

    at_s: float
    under_way: int
    queued: int


class Measures:
    """Everything measured of one load."""

    def __init__(self, windows: Sequence[Window], *, aftermath_s: float) -> None:
        """`aftermath_s`: so long after a window operations are neither in it nor outside."""
        self.outside = Timing()
        self.windows = [WindowTiming(window) for window in windows]
        self.by_second: defaultdict[int, Timing] = defaultdict(Timing)
        self.by_action: defaultdict[str, Timing] = defaultdict(Timing)
        self._aftermath_s = aftermath_s

    @property
    def overall(self) -> Timing:
        """Of all operations."""
        overall = Timing()
        for timing in self.by_action.values():
            overall.add(timing)
        return overall

    def add(self, operation: Recorded) -> None:
        """Count an operation in, wherever it belongs."""
        if operation.outcome != "ok" and operation.said in LEAVES:
            return
        failed = operation.outcome != "ok" or (operation.status or 0) >= 500
        end_s = operation.began_s if operation.end_s is None else operation.end_s
        latency_s = end_s - operation.due_s
        where = [self.by_second[int(operation.due_s)], self.by_action[operation.action]]
        beside = True
        for each in self.windows:
            window = each.window
            if operation.due_s <= window.to_s and end_s >= window.from_s:
                where.append(each.timing)
            if operation.due_s <= window.to_s + self._aftermath_s and end_s >= window.from_s:
                beside = False
        if beside:
            where.append(self.outside)
        if failed:
            for timing in where:
                timing.failed += 1
            self._note_recovery(operation.began_s)
        else:
            bucket = bucket_of(latency_s)
            for timing in where:
                timing.add_answered(latency_s, bucket)

    def merge(self, other: Measures) -> None:
        """Those of other operations, in the same windows."""
        self.outside.add(other.outside)
        for mine, its in zip(self.windows, other.windows, strict=True):
            mine.timing.add(its.timing)
            mine.recovery_s = max(mine.recovery_s, its.recovery_s)
        for second, timing in other.by_second.items():
            self.by_second[second].add(timing)
        for action, timing in other.by_action.items():
            self.by_action[action].add(timing)

    def _note_recovery(self, began_s: float) -> None:
        for each in reversed(self.windows):
            if each.window.to_s < began_s:
                each.recovery_s = max(each.recovery_s, began_s - each.window.to_s)
                return
            if each.window.from_s <= began_s:
                return
