"""Operations that are under way when Locust stops its users: each is written down as unknown, none is left open."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sim.worlds.load.records import SUFFIX, RecordFile
from tests.unit.fumble_process import REPOSITORY

OPERATIONS: dict[str, Callable[[Any], object]] = {
    "a request": lambda load: load.delegate("ann", "bob"),
    "one that is hung up on": lambda load: load.delegate_and_leave("ann", "bob", after_s=1000),
    "two at once": lambda load: load.delegate_at_once("ann", "bob", key="k", times=2),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_a_stopped_user_had_begun_is_unknown(operation: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.load.stopped_user", operation, str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    file = RecordFile(tmp_path / f"w1{SUFFIX}", 0.0, 0.0)
    found = [(each.outcome, each.said) for each in file.operations()]
    assert found == [("unknown", "the load ended")] * (2 if operation == "two at once" else 1)
    assert not file.troubles
