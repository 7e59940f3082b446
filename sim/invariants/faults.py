"""When the run was disturbed, and where: the only thing that may excuse a broker for not getting on.

Safety is never excused. What is excused is a step that a fault made impossible, and only while that fault could have
reached it. A fault between a client and the broker, or the hanging up of a client, excuses nothing after acceptance.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from math import inf

from sim.history import FaultBegan, NodeChanged

CLIENT_LINK = "client-broker"
DATABASE = ("broker-database", "database")


@dataclass(slots=True)
class Disturbance:
    """A fault or a node that was not running, from `began_s` until `ended_s` (infinite: to the end)."""

    where: str
    began_s: float
    ended_s: float = inf

    def overlaps(self, from_s: float, to_s: float) -> bool:
        """Whether it was there at some time of the span, ends included."""
        return self.began_s <= to_s and self.ended_s >= from_s


def of_fault(entry: FaultBegan) -> Disturbance:
    """An open disturbance for a fault that began."""
    return Disturbance(entry.where, entry.at_s)


def of_node(entry: NodeChanged) -> Disturbance:
    """An open disturbance for a node that stopped."""
    return Disturbance(entry.node, entry.at_s)


def any_beyond_clients(disturbances: Sequence[Disturbance], operations: Set[str]) -> bool:
    """Whether anything but the way between clients and broker was disturbed."""
    return any(each.where != CLIENT_LINK and each.where not in operations for each in disturbances)


def any_to_what_the_broker_reads(disturbances: Sequence[Disturbance]) -> bool:
    """Whether the broker, its database, or what is unknown was disturbed: only then can it fail to read something."""
    return any(each.where in ("broker", *DATABASE, "") for each in disturbances)


def any_on_the_way_to_agents(
    disturbances: Sequence[Disturbance], operations: Set[str], from_s: float, to_s: float
) -> bool:
    """Whether, in the span, anything was disturbed through which a reply of an agent has to pass."""
    return any(
        each.overlaps(from_s, to_s)
        and each.where != CLIENT_LINK
        and each.where not in operations
        and each.where not in DATABASE
        for each in disturbances
    )
