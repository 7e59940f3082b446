"""Judging all buckets, on all cores, in memory that does not grow with the load: a bucket at a time a process."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from reports.history_text import lines
from reports.model import Finding
from sim.worlds.load.facts import read_bucket
from sim.worlds.load.groups import Circumstances, judge_group
from sim.worlds.load.scope import DUPLICATES, LOSSES, judged

FINDINGS_MAX = 50
"""So many violations are shown with their histories; all are counted."""
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


def tally_of(groups: Iterable[Sequence[tuple[str, str, str]]], given: Circumstances) -> Tally:
    """Judge groups."""
    invariants = judged("delegation")
    tally = Tally()
    for facts in groups:
        done = judge_group(facts, given, invariants)
        tally.groups += 1
        tally.accepted += done.accepted
        tally.statuses.update(done.statuses)
        tally.not_observed |= done.not_observed
        if not done.violations:
            continue
        ids = {violation.invariant for violation in done.violations}
        tally.lost += bool(ids & LOSSES)
        tally.duplicates += bool(ids & DUPLICATES)
        tally.violations.update(violation.invariant for violation in done.violations)
        if len(tally.findings) < FINDINGS_MAX:
            told = tuple(lines(done.history))
            tally.findings += (
                Finding(invariant=each.invariant, subject=each.subject, sentence=each.sentence, lines=told)
                for each in done.violations
            )
    return tally


_given: list[Circumstances] = []


def _begin(given: Circumstances) -> None:
    _given[:] = [given]


def _judged(buckets: Sequence[Path], given: Circumstances, processes: int) -> Iterator[Tally]:
    if processes == 1 or sum(bucket.stat().st_size for bucket in buckets) < _ALONE_BYTES:
        _begin(given)
        yield from map(judge_bucket, buckets)
        return
    # Spawned: a fork would inherit a loop, connections and children that are not its own.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=(given,)) as pool:
        yield from pool.map(judge_bucket, buckets)
