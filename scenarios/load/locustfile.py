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

import gevent
from fumble_users.arrivals import Arriving
from fumble_users.closed import KINDS, Closed
from fumble_users.handing_over import MESSAGE, HandingOver, TakingOver
from fumble_users.http import Broker
from fumble_users.operations import Load
from fumble_users.standalone import add_options, plan_for, register_workspaces
from locust import User, events
from locust.runners import MasterRunner, Runner, WorkerRunner

from sim.worlds.load.plan import (
    BROKER_VARIABLE,
    SHIP_VARIABLE,
    SHOWN_VARIABLE,
    STARTED,
    VARIABLE,
    WORKER_VARIABLE,
    Plan,
    plan_in,
)
from sim.worlds.load.records import SUFFIX, Recorder

PLAN = plan_in(
    Path(os.environ[VARIABLE]).read_text(encoding="utf-8") if VARIABLE in os.environ else plan_for().text(),
    os.environ.get(SHOWN_VARIABLE, ""),
)
FOLDER = Path(PLAN.folder)
_GOES_AFTER_S = 1.0


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


globals().update(_classes(PLAN))
add_options(PLAN)


@events.init.add_listener
def _begin(environment: Any, **_: Any) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    if isinstance(environment.runner, MasterRunner):
        environment.runner.register_message(MESSAGE, TakingOver(FOLDER))
    else:
        _write_down(environment)


def _write_down(environment: Any) -> None:
    """Have the users of this process write down what they do, until it ends."""
    recorder = Recorder(FOLDER, os.environ.get(WORKER_VARIABLE) or f"w{os.getpid()}")
    handing_over = HandingOver(environment.runner, FOLDER / f"{recorder.worker}{SUFFIX}")
    ships = SHIP_VARIABLE in os.environ

    @environment.events.test_start.add_listener
    def _(**_: Any) -> None:
        plan = plan_in(environment.parsed_options.fumble_plan)
        if (plan.users, [*plan.members]) != (PLAN.users, [*PLAN.members]):
            raise SystemExit("the master plays another scenario than this worker; name the same file for both")
        parts = urlsplit(os.environ.get(BROKER_VARIABLE) or environment.host)
        broker = Broker(parts.hostname or "127.0.0.1", parts.port or 80, timeout_s=plan.timeout_s)
        Closed.load = Arriving.load = Load(plan, environment, recorder, broker)
        if ships:
            gevent.spawn(handing_over.go_on)

    @environment.events.user_error.add_listener
    def _(user_instance: User, exception: BaseException, **_: Any) -> None:
        recorder.trouble(f"{type(user_instance).__name__} failed by itself: {type(exception).__name__}: {exception}")

    @environment.events.test_stop.add_listener
    def _(**_: Any) -> None:
        recorder.close()
        if ships:
            handing_over.send()
        if isinstance(environment.runner, WorkerRunner) and VARIABLE in os.environ:
            # There is one test: waiting for the master's word would take long, and it may be gone by then.
            gevent.spawn_later(_GOES_AFTER_S, environment.runner.quit)


@events.test_start.add_listener
def _say_when(environment: Any, **_: Any) -> None:
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        return
    if VARIABLE not in os.environ:
        register_workspaces(PLAN, environment.host)
    if VARIABLE in os.environ:
        gevent.spawn(_end_in_time, runner, time.monotonic() + PLAN.duration_s)
    fresh = FOLDER / f"{STARTED}.new"
    fresh.write_text(json.dumps({"monotonic_s": time.monotonic(), "unix_s": time.time()}))
    fresh.replace(FOLDER / STARTED)


def _end_in_time(runner: Runner, ends_s: float) -> None:
    """Stop before quitting: a worker that is told to quit has no time left to hand anything over.

    Locust's own run time begins when its loop last looked at the clock, which may be seconds before the test does.
    """
    while (left_s := ends_s - time.monotonic()) > 0:
        gevent.sleep(left_s)
    runner.stop()
    runner.quit()
