"""`python -m tests.load.stopped_user OPERATION FOLDER`: a user of a load is stopped in mid-operation.

A program of its own, because gevent belongs into Locust's processes and nowhere else.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gevent

from sim.worlds.load.plan import Plan
from sim.worlds.load.records import Recorder
from tests.load.test_operations_cut_short import OPERATIONS
from tests.unit.fumble_process import REPOSITORY

sys.path.append(str(REPOSITORY / "scenarios" / "load"))

from fumble_users.http import Broker
from fumble_users.operations import Load


class NeverAnswers:
    """A broker at which every request waits."""

    def request(self, *_: Any) -> None:
        gevent.sleep(1000)

    def leave_during(self, *_: Any, after_s: float) -> None:
        gevent.sleep(after_s)


def play(operation: str, folder: Path) -> None:
    """Have a user begin the operation, and stop him."""
    plan = Plan(str(folder), 1.0, 1, 1.0, 1, {"ann": "a-id", "bob": "b-id"})
    events = SimpleNamespace(request=SimpleNamespace(fire=lambda **_: None))
    recorder = Recorder(folder, "w1")
    load = Load(plan, SimpleNamespace(events=events), recorder, cast(Broker, NeverAnswers()))
    user = gevent.spawn(OPERATIONS[operation], load)
    gevent.sleep(0.01)
    user.kill()
    recorder.close()


if __name__ == "__main__":
    play(sys.argv[1], Path(sys.argv[2]))
