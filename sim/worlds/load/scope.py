"""Which invariants are judged under load, and of what: all of them, but of small histories instead of one large one.

An invariant about one delegation (or message, or key) is judged of the history of that delegation, with the faults of
its time. One about an inbox or about heartbeats is judged of a workspace's polls or heartbeats. The same functions
judge here as everywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from sim.invariants.registry import ALL
from sim.invariants.violation import Invariant

Scope: TypeAlias = Literal["delegation", "inbox", "heartbeats", "none"]

_OTHERS: Mapping[str, Scope] = {
    "INV-81": "heartbeats",
    "INV-90": "inbox",
    "INV-91": "inbox",
    # To see mode reads, the harness would have to stand between broker and database.
    "INV-10": "none",
    # A listing holds 50 entries, and callers have more.
    "INV-42": "none",
    # The order of the queue is about pairs of messages, of which there are too many.
    "INV-74": "none",
}

LOSSES = frozenset({"INV-01", "INV-03", "INV-13", "INV-31", "INV-33", "INV-64"})
"""What is accepted, and its result, must be somewhere."""
DUPLICATES = frozenset({"INV-20", "INV-22", "INV-23", "INV-24", "INV-30", "INV-50", "INV-51", "INV-72", "INV-73"})
"""Nothing is done or told twice."""


def scope_of(invariant: str) -> Scope:
    """Of what an invariant is judged under load."""
    return _OTHERS.get(invariant, "delegation")


def judged(scope: Scope) -> tuple[Invariant, ...]:
    """The invariants of a scope."""
    return tuple(invariant for invariant in ALL if scope_of(invariant.id) == scope)


def not_judged() -> tuple[str, ...]:
    """Ids that a load does not answer."""
    return tuple(invariant.id for invariant in judged("none"))
