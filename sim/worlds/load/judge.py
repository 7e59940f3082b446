"""Judging all that was sorted, on all cores, in memory that does not grow with the load: piece by piece."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path
from typing import Protocol

from sim.worlds.load.facts import read_bucket
from sim.worlds.load.groups import Circumstances, Group, group_of, judge_groups
from sim.worlds.load.scope import judged
from sim.worlds.load.tally import Tally

TOGETHER = 24
"""So many groups are at most judged as one history: that there is one at all costs as much as some groups in it."""
_ALONE_BYTES = 4_000_000
"""Less than this is judged sooner than a process starts."""


class Piece(Protocol):
    """What one process judges at a time."""

    @property
    def size_bytes(self) -> int:
        """How much there is to read for it."""

    def judge(self, given: Circumstances) -> Tally:
        """What comes of it."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The groups of a bucket of facts."""

    file: Path

    @property
    def size_bytes(self) -> int:
        """Of its file."""
        return self.file.stat().st_size

    def judge(self, given: Circumstances) -> Tally:
        """Judge each group."""
        return tally_of((group_of(facts, given) for facts in read_bucket(self.file).values()), given)


def judge_pieces(pieces: Sequence[Piece], given: Circumstances, *, processes: int) -> Tally:
    """Judge all; the largest first, that none is left at the end while other processes have nothing to do."""
    tally = Tally()
    sizes = {piece: piece.size_bytes for piece in pieces}
    by_size = sorted(pieces, key=sizes.__getitem__, reverse=True)
    for each in _judged(by_size, given, processes if sum(sizes.values()) >= _ALONE_BYTES else 1):
        tally.add(each)
    return tally


def tally_of(groups: Iterable[Group], given: Circumstances) -> Tally:
    """Judge groups: neighbours at once, which is quicker, and each alone where something does not hold."""
    tally = Tally()
    for _, alike in groupby(groups, key=attrgetter("spans")):
        while several := list(islice(alike, TOGETHER)):
            done = judge_groups(several, given, _INVARIANTS)
            if done.violations:
                for group in several:
                    tally.count(judge_groups([group], given, _INVARIANTS))
            else:
                tally.count(done, groups=len(several))
    return tally


_INVARIANTS = judged("delegation")
_given: list[Circumstances] = []


def _begin_process(given: Circumstances) -> None:
    # Histories are trees: they go when nobody needs them, and looking for cycles in them takes a third of the time.
    gc.disable()
    _given[:] = [given]


def _judge_in_process(piece: Piece) -> Tally:
    return piece.judge(_given[0])


def _judged(pieces: Sequence[Piece], given: Circumstances, processes: int) -> Iterator[Tally]:
    if processes == 1:
        yield from (piece.judge(given) for piece in pieces)
        return
    # Spawned: a fork would inherit a loop, connections and children that are not its own.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin_process, initargs=(given,)) as pool:
        yield from pool.map(_judge_in_process, pieces)
