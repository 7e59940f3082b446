"""What Locust's processes are told: the load of a scenario with everything resolved, as one JSON file.

This module is imported by Locust's processes: it must not import asyncio, nor anything that does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sim.history import Member
from sim.scenario.load import Arrivals, Load, Users

VARIABLE = "FUMBLE_LOAD_PLAN"
"""The environment variable that names the file."""
WORKER_VARIABLE = "FUMBLE_LOAD_WORKER"
"""Names a process among its like."""
BROKER_VARIABLE = "FUMBLE_LOAD_BROKER"
"""Where workers reach the broker, if not where their master does."""
SHIP_VARIABLE = "FUMBLE_LOAD_SHIP"
"""Set where what is written down has to be sent to the master."""
STARTED = "started.json"
"""Locust writes this file into the run's folder when its test begins: when that was, on both clocks."""
ONE_EACH = {"inbox_poller": "callers", "poll_agent": "targets", "heart": "targets"}
"""Users that stand for one workspace, and where theirs are named: two of them would take rows from each other."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`members`: workspace ids by name; `pushed`: who is delivered to by push.

    `users`, `arrivals`: as `Users` and `Arrivals`, with all names filled in."""

    folder: str
    duration_s: float
    seed: int
    timeout_s: float
    workers: int
    members: Mapping[str, str]
    pushed: Sequence[str] = ()
    users: Sequence[Mapping[str, Any]] = field(default_factory=list)
    arrivals: Sequence[Mapping[str, Any]] = field(default_factory=list)

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    def write(self, file: Path) -> None:
        """Put it where Locust will read it."""
        file.write_text(self.text(), encoding="utf-8")


def plan_in(text: str) -> Plan:
    """The plan whose `text` this is."""
    return Plan(**json.loads(text))


def plan_of(
    load: Load, members: Mapping[str, Member], *, folder: Path, duration_s: float, seed: int, workers: int
) -> Plan:
    """Fill in who acts for whom: callers are all workspaces that nobody names as a target, targets all others."""
    everybody: tuple[Users | Arrivals, ...] = (*load.users, *load.arrivals)
    named = {name for each in everybody for name in each.targets}
    callers = [name for name, member in members.items() if member.delivery == "poll" and name not in named]
    targets = [name for name in members if name not in callers]
    return Plan(
        folder=str(folder),
        duration_s=duration_s,
        seed=seed,
        timeout_s=30.0,
        workers=workers,
        members={name: member.workspace_id for name, member in members.items()},
        pushed=[name for name, member in members.items() if member.delivery == "push"],
        users=[user for each in load.users for user in _filled_users(each, members, callers, targets)],
        arrivals=[_filled_arrivals(each, callers, targets) for each in load.arrivals],
    )


def _filled_users(
    users: Users, members: Mapping[str, Member], callers: Sequence[str], targets: Sequence[str]
) -> list[dict[str, Any]]:
    filled = {**asdict(users), "callers": users.callers or callers, "targets": users.targets or targets}
    if (side := ONE_EACH.get(users.kind)) is None:
        return [filled]
    fitting = [
        name
        for name in filled[side]
        if getattr(users, side) or users.kind != "poll_agent" or members[name].delivery == "poll"
    ]
    return [{**filled, "count": 1, side: [name]} for name in fitting]


def _filled_arrivals(arrivals: Arrivals, callers: Sequence[str], targets: Sequence[str]) -> dict[str, Any]:
    shape = arrivals.shape
    return {
        "shape": type(shape).__name__.lower(),
        **asdict(shape),
        "callers": arrivals.callers or callers,
        "targets": arrivals.targets or targets,
    }
