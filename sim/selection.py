"""Which scenarios were named on the command line, and `check`, which needs no more. Nothing that plays is imported."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from sim.cli import DEFAULT_SCENARIOS
from sim.exits import Exit, Refused
from sim.scenario.loading import discover, load_file
from sim.scenario.model import Scenario
from sim.scenario.problems import ScenarioError
from sim.stdout import say
from sim.worlds.broker_settings import UnknownSetting, check_settings


def check(options: argparse.Namespace) -> Exit:
    """They were read, and nothing is wrong with them."""
    count = len(options.scenarios)
    say("1 scenario is valid\n" if count == 1 else f"{count} scenarios are valid\n")
    return Exit.PASSED


def load(paths: Sequence[str]) -> list[Scenario]:
    """All scenarios of files and folders. Refuses with the mistakes of every file at once."""
    if not paths and not os.path.exists(DEFAULT_SCENARIOS):
        here = f"there is no folder {DEFAULT_SCENARIOS} in {os.getcwd()}"
        raise Refused(f"no scenario was named, and {here}; name files or folders", Exit.USAGE)
    given = list(paths) or [DEFAULT_SCENARIOS]
    problems: list[str] = []
    scenarios: list[Scenario] = []
    try:
        files = discover(given)
    except ScenarioError as error:
        raise Refused(f"cannot read what was named\n{error}", Exit.USAGE) from None
    for file in files:
        try:
            scenario = load_file(file)
            check_settings(scenario)
            scenarios.append(scenario)
        except (ScenarioError, UnknownSetting) as error:
            problems.append(str(error))
    if problems:
        raise Refused("invalid scenarios\n" + "\n\n".join(problems), Exit.USAGE)
    if not scenarios:
        raise Refused(f"no scenario in {', '.join(given)}; scenarios are files that end in .yaml", Exit.NOTHING)
    return scenarios


def with_steps(scenarios: Sequence[Scenario]) -> list[Scenario]:
    """Those that have steps to play; of the others, whose load is for `fumble load`, one line tells."""
    loads = [scenario.path for scenario in scenarios if scenario.load is not None]
    if len(loads) == len(scenarios):
        raise Refused(
            f"{', '.join(loads)}: there is a load and no steps; fix: play it with `fumble load`", Exit.NOTHING
        )
    if loads:
        print(f"not played: {len(loads)} scenarios with a load, which `fumble load` plays", file=sys.stderr)
    return [scenario for scenario in scenarios if scenario.load is None]
