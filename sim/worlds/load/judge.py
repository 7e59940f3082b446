"""Judging all buckets, on all cores, in memory that does not grow with the load: a bucket at a time a process."""

from __future__ import annotations

import gc
import multiprocessing
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from reports.history_text import lines
from reports.model import Finding
from sim.worlds.load.facts import Fact, read_bucket
from sim.worlds.load.groups import Circumstances, Judged, judge_group
from sim.worlds.load.scope import DUPLICATES, LOSSES, judged

FINDINGS_MAX = 50
"""So many violations are shown with their histories; all are counted."""
TOGETHER = 6
"""Groups judged as one history: more cost more, as some invariants compare everything with everything."""
_ALONE_BYTES = 4_000_000
"""Less than this is judged sooner than a process starts."""


@dataclass(slots=True)
class Tally:
    """What came of many groups. `lost` and `duplicates` count groups, each once."""

    groups: int = 0
    accepted: int = 0
    lost: int = 0
    duplicates: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    not_observed: set[str] = field(default_factory=set)

    def count(self, done: Judged, *, groups: int = 1) -> None:
        """Add what came of one group, or of several in which nothing is wrong."""
        self.groups += groups
        self.accepted += done.accepted
        self.statuses.update(done.statuses)
        self.not_observed |= done.not_observed
        if not done.violations:
            return
        ids = {violation.invariant for violation in done.violations}
        self.lost += bool(ids & LOSSES)
        self.duplicates += bool(ids & DUPLICATES)
        self.violations.update(violation.invariant for violation in done.violations)
        if len(self.findings) < FINDINGS_MAX:
            told = tuple(lines(done.history))
            self.findings += (
                Finding(invariant=each.invariant, subject=each.subject, sentence=each.sentence, lines=told)
                for each in done.violations
            )

    def add(self, other: Tally) -> None:
        """Add what came of others."""
        self.groups += other.groups
        self.accepted += other.accepted
        self.lost += other.lost
        self.duplicates += other.duplicates
        self.statuses.update(other.statuses)
        self.violations.update(other.violations)
        self.findings += other.findings[: FINDINGS_MAX - len(self.findings)]
        self.not_observed |= other.not_observed


def judge_buckets(buckets: Sequence[Path], given: Circumstances, *, processes: int) -> Tally:
    """Judge every group of every bucket."""
    tally = Tally()
    for each in _judged(buckets, given, processes):
        tally.add(each)
    return tally


def judge_bucket(bucket: Path) -> Tally:
    """Judge the groups of one bucket, under the circumstances of this process."""
    return tally_of(read_bucket(bucket).values(), _given[0])


def tally_of(groups: Iterable[Sequence[Fact]], given: Circumstances) -> Tally:
    """Judge groups: a few at once, which is quicker, and each alone where something does not hold."""
    tally = Tally()
    left = iter(groups)
    while several := list(islice(left, TOGETHER)):
        done = judge_group([fact for facts in several for fact in facts], given, _INVARIANTS)
        if done.violations:
            for facts in several:
                tally.count(judge_group(facts, given, _INVARIANTS))
        else:
            tally.count(done, groups=len(several))
    return tally


_INVARIANTS = judged("delegation")
_given: list[Circumstances] = []


def _begin(given: Circumstances) -> None:
    _given[:] = [given]


def _begin_process(given: Circumstances) -> None:
    # Histories are trees: they go when nobody needs them, and looking for cycles in them takes a third of the time.
    gc.disable()
    _begin(given)


def _judged(buckets: Sequence[Path], given: Circumstances, processes: int) -> Iterator[Tally]:
    if processes == 1 or sum(bucket.stat().st_size for bucket in buckets) < _ALONE_BYTES:
        _begin(given)
        yield from map(judge_bucket, buckets)
        return
    # Spawned: a fork would inherit a loop, connections and children that are not its own.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin_process, initargs=(given,)) as pool:
        yield from pool.map(judge_bucket, buckets)
