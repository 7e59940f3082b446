"""Using the users without fumble: the plan comes from a scenario file, the workspaces are registered over HTTP."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from locust import events

from fumble_users.http import Broker
from sim.scenario.loading import load_file
from sim.scenario.problems import ScenarioError
from sim.worlds.load.plan import VARIABLE, Plan, plan_of
from sim.worlds.tables import members_of

DEFAULT = Path(__file__).resolve().parents[1] / "steady.yaml"


def add_options(plan: Plan) -> None:
    """Teach Locust our options. The plan is one of them, as Locust's master tells its workers of those."""

    @events.init_command_line_parser.add_listener
    def _(parser: Any, **_: Any) -> None:
        parser.add_argument("--fumble-plan", default=plan.text(), help=argparse.SUPPRESS)
        if VARIABLE not in os.environ:
            parser.add_argument("--scenario", default=str(DEFAULT), help="the scenario whose load is played")
            parser.add_argument("--records", default="", help="the folder for what users did")
            parser.add_argument("--agent-url", default="", help="where push targets are reached; without it they poll")


def plan_for() -> Plan:
    """The plan of the scenario that the command line names. Ends the process if it is not valid."""
    options, _ = _parser().parse_known_args(sys.argv[1:])
    try:
        scenario = load_file(options.scenario)
    except ScenarioError as error:
        raise SystemExit(f"{options.scenario} cannot be used\n{error}") from None
    if scenario.load is None:
        raise SystemExit(f"{options.scenario} has no section `load`; name one of scenarios/load/")
    folder = Path(options.records or f"reports/out/load-{os.getpid()}")
    return plan_of(
        scenario.load,
        members_of(scenario),
        folder=folder,
        duration_s=scenario.load.duration_s,
        seed=1,
        workers=1,
    )


def register_workspaces(plan: Plan, host: str) -> None:
    """Make the broker know all workspaces. Ends the process if it does not answer."""
    options, _ = _parser().parse_known_args(sys.argv[1:])
    parts = urlsplit(host)
    broker = Broker(parts.hostname or "127.0.0.1", parts.port or 80, timeout_s=plan.timeout_s)
    for name, workspace_id in plan.members.items():
        pushes = name in plan.pushed and options.agent_url
        place = {"url": options.agent_url, "delivery_mode": "push"} if pushes else {"delivery_mode": "poll"}
        body = {"id": workspace_id, "url": "", "agent_card": {"name": name}, **place}
        status, answer = broker.request("POST", "/registry/register", body)
        if status != 200:
            raise SystemExit(f"{host} did not register {name}: {status} {answer}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--scenario", default=str(DEFAULT))
    parser.add_argument("--records", default="")
    parser.add_argument("--agent-url", default="")
    return parser
