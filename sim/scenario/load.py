"""The load of a scenario as facts: who drives it, at which rate, for how long, and what is too slow or too much.

Closed users wait for an answer before they go on, so a broker that stalls is asked less and looks better than it is;
arrivals begin at their times whoever still waits. A load that says something about latency has both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

UserKind: TypeAlias = Literal[
    "delegator", "mcp_client", "inbox_poller", "canvas", "leaver", "duplicator", "poll_agent", "heart"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """`count` closed users of a kind; those that stand for a workspace (inbox, agent, heart) are one for each.

    `callers` and `targets`: workspaces that it acts for and delegates to; empty: all that fit. `think_s`: what lies
    between two tasks, on average. `share`: of its requests, on which a leaver hangs up. `busy_s`, `free_s`: how long a
    heart says that its workspace is busy, then free.
    """

    kind: UserKind
    count: int = 1
    callers: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    think_s: float = 1.0
    share: float = 0.5
    busy_s: float = 3.0
    free_s: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """The same number of arrivals in every second."""

    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """From one rate to another, evenly over the whole load."""

    from_rate: float
    to_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spike:
    """`rate`, but `peak` from `at_s` for `for_s`."""

    rate: float
    peak: float
    at_s: float
    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """`rate` on average for a long time, with gaps as chance leaves them (a Poisson process)."""

    rate: float


Shape: TypeAlias = Constant | Ramp | Spike | Soak


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Delegations that begin at their times; rates are arrivals a second."""

    shape: Shape
    callers: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is allowed; None: not judged. `failure_ratio`: of requests, from 0 to 1."""

    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    failure_ratio: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """`overall` is judged over the whole load, `during` in each fault's window, `outside` beside all of them.

    `recovery_s`: how long after a fault's end requests may still fail. `lost`, `duplicates`: so many delegations.
    """

    overall: Limits = Limits()
    outside: Limits = Limits()
    during: Limits = Limits()
    recovery_s: float | None = None
    lost: int = 0
    duplicates: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomFaults:
    """Faults drawn by the seed: one in each `every_s`, each for `for_s`."""

    every_s: float
    for_s: float
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The section `load` of a scenario."""

    duration_s: float
    users: tuple[Users, ...] = ()
    arrivals: tuple[Arrivals, ...] = ()
    gates: Gates = Gates()
    random_faults: RandomFaults | None = None


def unnamed_callers(load: Load, deliveries: Mapping[str, str]) -> list[str]:
    """Who delegates where nobody is named: all workspaces that poll and are nobody's target."""
    everybody: tuple[Users | Arrivals, ...] = (*load.users, *load.arrivals)
    named = {name for each in everybody for name in each.targets}
    return [name for name, delivery in deliveries.items() if delivery == "poll" and name not in named]


def callers_of(load: Load, deliveries: Mapping[str, str]) -> list[str]:
    """Everybody who delegates; `deliveries`: how each workspace is delivered to, by name."""
    unnamed = unnamed_callers(load, deliveries)
    everybody: tuple[Users | Arrivals, ...] = (*load.users, *load.arrivals)
    callers = [name for each in everybody for name in each.callers or unnamed]
    return list(dict.fromkeys(callers))
