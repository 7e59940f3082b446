"""What Locust's processes are told: the load of a scenario with everything resolved, as one JSON file.

This module is imported by Locust's processes: it must not import asyncio, nor anything that does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sim.adapter.model import CONTRACT_PATHS
from sim.history import Member
from sim.scenario.load import Arrivals, Load, Users, unnamed_callers
from sim.worlds.dialect import Dialect

VARIABLE = "FUMBLE_LOAD_PLAN"
"""The environment variable that names the file."""
WORKER_VARIABLE = "FUMBLE_LOAD_WORKER"
"""Names a process among its like."""
BROKER_VARIABLE = "FUMBLE_LOAD_BROKER"
"""Where workers reach the broker, if not where their master does."""
SHIP_VARIABLE = "FUMBLE_LOAD_SHIP"
"""Set where what is written down has to be sent to the master."""
SHOWN_VARIABLE = "FUMBLE_LOAD_SHOWN"
"""What lets users in: it belongs into no file."""
STARTED = "started.json"
"""Locust writes this file into the run's folder when its test begins: when that was, on both clocks."""
ONE_EACH = {"inbox_poller": "callers", "poll_agent": "targets", "heart": "targets"}
"""Users that stand for one workspace, and where theirs are named: two of them would take rows from each other."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What lets users in: `headers` with every request, and `tokens` by the name of the workspace that has one."""

    headers: Mapping[str, str] = field(default_factory=dict)
    tokens: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))


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
    paths: Mapping[str, str] = field(default_factory=lambda: CONTRACT_PATHS)
    shown: Shown = field(default_factory=Shown)

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    def write(self, file: Path) -> None:
        """Put it where Locust will read it, without what lets users in: that is in `SHOWN_VARIABLE`."""
        file.write_text(replace(self, shown=Shown()).text(), encoding="utf-8")

    def dialect(self) -> Dialect:
        """How the broker is spoken to."""
        return Dialect(self.paths, self.shown.headers, dict(self.shown.tokens))


def plan_in(text: str, shown: str = "") -> Plan:
    """The plan whose `text` this is; `shown`: what lets users in, if that came another way."""
    read = json.loads(text)
    if shown:
        read["shown"] = json.loads(shown)
    return Plan(**{**read, "shown": Shown(**read["shown"])})


def plan_of(
    load: Load,
    members: Mapping[str, Member],
    *,
    folder: Path,
    duration_s: float,
    seed: int,
    workers: int,
    dialect: Dialect | None = None,
) -> Plan:
    """Fill in who acts for whom: callers are all workspaces that nobody names as a target, targets all others.

    `dialect`: how the broker is spoken to; None: as the contract says.
    """
    spoken = dialect or Dialect()
    callers = unnamed_callers(load, {name: member.delivery for name, member in members.items()})
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
        paths=spoken.paths,
        shown=Shown(spoken.headers, spoken.tokens),
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
