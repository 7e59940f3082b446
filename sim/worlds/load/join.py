"""Workers that take part in a load that is led elsewhere: they act here, and what they did is written down there."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from sim.scenario.model import Scenario
from sim.worlds.components.processes import Child, ComponentFailed, how
from sim.worlds.load.locust import check_installed, locust_child
from sim.worlds.load.plan import BROKER_VARIABLE, SHIP_VARIABLE, plan_of
from sim.worlds.tables import members_of

_LOOK_S = 0.1


def join(
    scenario: Scenario, *, master: tuple[str, int], broker: str | None, workers: int, locustfile: Path, folder: Path
) -> list[str]:
    """Start workers, and return when all have ended: which ended too early, and how. Raises ComponentFailed."""
    check_installed()
    assert scenario.load is not None
    if not locustfile.is_file():
        raise ComponentFailed(f"there is no {locustfile}, which says what users do; fix: name one with --locustfile")
    plan = folder / "plan.json"
    duration_s = scenario.load.duration_s
    plan_of(scenario.load, members_of(scenario), folder=folder, duration_s=duration_s, seed=1, workers=workers).write(
        plan
    )
    host, port = master
    options = ["--worker", "--master-host", host, "--master-port", str(port)]
    more = {SHIP_VARIABLE: "1", **({BROKER_VARIABLE: broker} if broker else {})}
    children: list[Child] = []
    try:
        for number in range(1, workers + 1):
            name = f"{socket.gethostname()}-{os.getpid()}-{number}"
            children.append(locust_child(f"worker {name}", name, locustfile, plan, folder, options, **more))
        while not all(child.ended for child in children):
            time.sleep(_LOOK_S)
        return [str(child.failure(how(child))) for child in children if child.popen.returncode]
    finally:
        for child in children:
            child.stop()
