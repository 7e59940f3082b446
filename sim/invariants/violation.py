"""What an invariant is, and what it says when it does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from sim.invariants.delegations import Part, View


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant does not hold: one sentence, the history entries that show it, and whom it is about.

    `subject` (an operation's name, or a workspace's) and `invariant` are the identity of a failure while it shrinks.
    """

    invariant: str
    sentence: str
    entries: tuple[int, ...]
    subject: str


Check: TypeAlias = Callable[[View], Iterable[Violation]]


@dataclass(frozen=True, slots=True)
class Invariant:
    """`statement` is one sentence, `source` where it comes from; not judged unless all of `needs` was observed."""

    id: str
    statement: str
    source: str
    check: Check
    needs: frozenset[Part] = frozenset()
