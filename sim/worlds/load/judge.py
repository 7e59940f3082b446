"""Judging all that was sorted, piece by piece, so that memory does not grow with the load."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Protocol

from sim.worlds.load.facts import read_bucket
from sim.worlds.load.groups import Circumstances, Group, group_of, judge_groups
from sim.worlds.load.scope import judged
from sim.worlds.load.tally import Tally
from sim.worlds.load.windows import Span

TOGETHER = 32
"""So many groups are at most judged as one history: that there is one at all costs as much as some groups in it."""
_LOTS = 32
"""The pieces are given out in so many lots, each with what all of them share."""


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

    files: tuple[Path, ...]

    @property
    def size_bytes(self) -> int:
        """Of its files."""
        return sum(file.stat().st_size for file in self.files)

    def judge(self, given: Circumstances) -> Tally:
        """Judge each group."""
        return tally_of((group_of(facts, given) for facts in read_bucket(self.files).values()), given)


def judge_pieces(pieces: Sequence[Piece], given: Circumstances, executor: Executor) -> Tally:
    """Judge all; the largest first, that none is left at the end while other processes have nothing to do."""
    tally = Tally()
    by_size = sorted(pieces, key=lambda piece: piece.size_bytes, reverse=True)
    lots = [by_size[number::_LOTS] for number in range(_LOTS)]
    for done in [executor.submit(_judge_lot, lot, given) for lot in lots if lot]:
        tally.add(done.result())
    return tally


def tally_of(groups: Iterable[Group], given: Circumstances) -> Tally:
    """Judge groups: neighbours at once, which is quicker, and each alone where something does not hold."""
    tally = Tally()
    for _, alike in groupby(groups, key=_alike):
        while several := list(islice(alike, TOGETHER)):
            done = judge_groups(several, given, _INVARIANTS)
            if done.violations:
                for group in several:
                    tally.count(judge_groups([group], given, _INVARIANTS))
            else:
                tally.count(done, groups=len(several))
    return tally


def _alike(group: Group) -> tuple[Sequence[Span], bool, bool]:
    """Who may be judged together.

    A nameless request would be taken for that of whoever is alone with its agent. And where a listing tells of some, it
    would seem to be silent of the others.
    """
    return group.spans, bool(group.name), bool(group.states)


def _judge_lot(pieces: Sequence[Piece], given: Circumstances) -> Tally:
    tally = Tally()
    for piece in pieces:
        tally.add(piece.judge(given))
    return tally


_INVARIANTS = judged("delegation")
