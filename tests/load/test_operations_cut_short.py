"""Operations that are under way when Locust stops its users: each is written down as unknown, none is left open."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gevent
import pytest

from sim.worlds.load.plan import Plan
from sim.worlds.load.records import SUFFIX, Recorder, RecordFile

sys.path.append(str(Path(__file__).parents[2] / "scenarios" / "load"))

from fumble_users.http import Broker
from fumble_users.operations import Load

OPERATIONS: dict[str, Callable[[Load], object]] = {
    "a request": lambda load: load.delegate("ann", "bob"),
    "one that is hung up on": lambda load: load.delegate_and_leave("ann", "bob", after_s=1000),
    "two at once": lambda load: load.delegate_at_once("ann", "bob", key="k", times=2),
}


class NeverAnswers:
    """A broker at which every request waits."""

    def request(self, *_: Any) -> None:
        gevent.sleep(1000)

    def leave_during(self, *_: Any, after_s: float) -> None:
        gevent.sleep(after_s)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_a_stopped_user_had_begun_is_unknown(operation: str, tmp_path: Path) -> None:
    plan = Plan(str(tmp_path), 1.0, 1, 1.0, 1, {"ann": "a-id", "bob": "b-id"})
    told: list[str] = []
    events = SimpleNamespace(request=SimpleNamespace(fire=lambda **entry: told.append(entry["name"])))
    recorder = Recorder(tmp_path, "w1")
    load = Load(plan, SimpleNamespace(events=events), recorder, cast(Broker, NeverAnswers()))
    user = gevent.spawn(OPERATIONS[operation], load)
    gevent.sleep(0.01)
    user.kill()
    recorder.close()
    file = RecordFile(tmp_path / f"w1{SUFFIX}", 0.0, 0.0)
    found = [(each.outcome, each.said) for each in file.operations()]
    assert found == [("unknown", "the load ended")] * (2 if operation == "two at once" else 1)
    assert not file.troubles and not told
