"""Faults drawn by chance for a long load: the same seed draws the same, so that what was found can be played again."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from sim.scenario.load import Load
from sim.scenario.model import Action, AddToxic, AtTime, Down, Fault, Kill, Pause, Scenario
from sim.scenario.names import AGENT_LINK, AGENT_NODE, CLIENT_LINK, DATABASE_LINK

Draw = Callable[[random.Random, Sequence[str], float], Action]


def with_random_faults(scenario: Scenario, load: Load, duration_s: float) -> Scenario:
    """The scenario with one more fault in each span that its load asks for."""
    wanted = load.random_faults
    if wanted is None:
        return scenario
    chance = random.Random(wanted.seed)
    agents = [workspace.name for workspace in scenario.workspaces if workspace.delivery == "push"]
    faults = list(scenario.faults)
    begins_s = 0.0
    while begins_s + wanted.every_s <= duration_s:
        at_s = round(begins_s + chance.uniform(0, wanted.every_s - wanted.for_s), 3)
        action = chance.choice(_DRAWS if agents else _WITHOUT_AGENTS)(chance, agents, wanted.for_s)
        # A machine that has lost its power comes back by itself; anything else has to be ended.
        for_s = None if isinstance(action, Kill) else wanted.for_s
        faults.append(Fault(name=f"f{len(faults) + 1}", when=AtTime(at_s=at_s), do=action, for_s=for_s))
        begins_s += wanted.every_s
    return replace(scenario, faults=tuple(faults))


def _slow_database(chance: random.Random, agents: Sequence[str], for_s: float) -> Action:
    attributes = {"latency": chance.choice((20, 100, 400)), "jitter": 10}
    return AddToxic(link=DATABASE_LINK, type="latency", attributes=attributes)


def _no_database(chance: random.Random, agents: Sequence[str], for_s: float) -> Action:
    return Down(link=DATABASE_LINK)


def _cut_clients(chance: random.Random, agents: Sequence[str], for_s: float) -> Action:
    return AddToxic(
        link=CLIENT_LINK, type="reset_peer", attributes={"timeout": chance.choice((0, 20, 100))}, toxicity=0.5
    )


def _cut_agent(chance: random.Random, agents: Sequence[str], for_s: float) -> Action:
    link = AGENT_LINK + chance.choice(agents)
    return AddToxic(link=link, type="limit_data", attributes={"bytes": chance.choice((50, 250, 2000))}, toxicity=0.5)


def _no_agent(chance: random.Random, agents: Sequence[str], for_s: float) -> Action:
    return Kill(node=AGENT_NODE + chance.choice(agents), restart_after_s=for_s)


def _still_agent(chance: random.Random, agents: Sequence[str], for_s: float) -> Action:
    return Pause(node=AGENT_NODE + chance.choice(agents))


_WITHOUT_AGENTS: tuple[Draw, ...] = (_slow_database, _no_database, _cut_clients)
_DRAWS: tuple[Draw, ...] = (*_WITHOUT_AGENTS, _cut_agent, _no_agent, _still_agent)
