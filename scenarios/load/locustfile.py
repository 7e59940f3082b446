"""The load of a scenario, for Locust: `fumble load SCENARIO` plays it with faults and judges what came of it.

Also usable the Locust way, against a broker that is running already:

    locust -f scenarios/load/locustfile.py --host http://127.0.0.1:8080 --scenario scenarios/load/steady.yaml

Then the workspaces of the scenario are registered first, and what the users did is written below reports/out/.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fumble_users.arrivals import Arriving
from fumble_users.closed import KINDS, Closed
from fumble_users.http import Broker
from fumble_users.operations import Load
from fumble_users.standalone import add_options, plan_for, register_workspaces
from locust import User, events
from locust.runners import MasterRunner, WorkerRunner

from sim.worlds.load.plan import STARTED, VARIABLE, Plan, read_plan
from sim.worlds.load.records import Recorder

WORKER = "FUMBLE_LOAD_WORKER"
"""The environment variable that names this process among its like."""


def _classes(plan: Plan) -> dict[str, type[User]]:
    """A class for each entry of the plan: Locust tells users apart by their class."""
    made: dict[str, type[User]] = {}
    for number, told in enumerate(plan.users, start=1):
        name = f"{told['kind']}_{number}"
        made[name] = type(name, (KINDS[told["kind"]],), {"told": told, "fixed_count": told["count"]})
    for number, told in enumerate(plan.arrivals, start=1):
        name = f"arrivals_{number}"
        made[name] = type(name, (Arriving,), {"told": told, "fixed_count": plan.workers})
    return made


PLAN = read_plan(Path(os.environ[VARIABLE])) if VARIABLE in os.environ else plan_for()
globals().update(_classes(PLAN))
add_options()


@events.init.add_listener
def _begin(environment: Any, **_: Any) -> None:
    runner = environment.runner
    if isinstance(runner, MasterRunner):
        return
    worker = os.environ.get(WORKER) or f"w{os.getpid()}"
    folder = Path(PLAN.folder)
    folder.mkdir(parents=True, exist_ok=True)
    recorder = Recorder(folder, worker)

    def connect() -> None:
        parts = urlsplit(environment.host)
        broker = Broker(parts.hostname or "127.0.0.1", parts.port or 80, timeout_s=PLAN.timeout_s)
        Closed.load = Arriving.load = Load(PLAN, environment, recorder, broker)

    @environment.events.test_start.add_listener
    def _(**_: Any) -> None:
        connect()

    @environment.events.quit.add_listener
    def _(**_: Any) -> None:
        recorder.close()


@events.test_start.add_listener
def _say_when(environment: Any, **_: Any) -> None:
    if isinstance(environment.runner, WorkerRunner):
        return
    if VARIABLE not in os.environ:
        register_workspaces(PLAN, environment.host)
    folder = Path(PLAN.folder)
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"{STARTED}.new"
    fresh.write_text(json.dumps({"monotonic_s": time.monotonic(), "unix_s": time.time()}))
    fresh.replace(folder / STARTED)
