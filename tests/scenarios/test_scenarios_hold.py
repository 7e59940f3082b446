"""Every scenario of the repository holds of the reference broker, and is the same to the last byte in another process.

A scenario that does not hold is wrong itself, or has found a defect of the broker or of the harness: the message is the
block that `fumble run` would print, with the command that plays the run again. The other process has other string
hashes and several workers, so that there each run also comes after different ones.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from reports.terminal import block
from sim.scenario.loading import load_file
from sim.worlds.broker_settings import check_settings
from sim.worlds.run import Run
from sim.worlds.workshop import Workshop

REPOSITORY = Path(__file__).parents[2]
ROOT = REPOSITORY / "scenarios"
FILES = sorted(file for file in ROOT.rglob("*.yaml") if file.parent.name != "load")  # see `tests/load`
SEED = 1

Traces = Mapping[str, tuple[str, float]]


@pytest.fixture(scope="module")
def elsewhere() -> Traces:
    """By the command that plays it again: each run's trace hash and virtual time in another process."""
    command = [sys.executable, "-m", "sim.cli", "run", "--seed-from", str(SEED), "--seeds", "1", "--jobs", "3"]
    ended = subprocess.run(
        [*command, "--output", "json"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONHASHSEED": "2"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode in (0, 1, 2), ended.stderr
    return {run["replay"]: (run["trace_hash"], run["virtual_s"]) for run in json.loads(ended.stdout)["runs"]}


def replay(file: Path) -> str:
    """The command that plays it again."""
    return f"fumble replay {file.relative_to(REPOSITORY)} --seed {SEED}"


def played(workshop: Workshop, file: Path, seed: int) -> Run:
    """The scenario in this process."""
    scenario = load_file(file)
    check_settings(scenario)
    return workshop.play(scenario, seed)


def test_there_are_scenarios(elsewhere: Traces) -> None:
    """A wrong folder would otherwise be a suite without tests."""
    assert FILES and elsewhere.keys() == {replay(file) for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT).with_suffix("")))
def test_it_holds_and_repeats(
    workshop: Workshop, elsewhere: Traces, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Passed, not merely not failed: a fault that never began would prove nothing."""
    caplog.set_level(logging.CRITICAL)  # a broker under faults logs more than anybody wants to read beside the block
    run = played(workshop, file, SEED)
    assert run.judgement.verdict == "passed", "\n" + block(run.report())
    report = run.report()
    assert (report.trace_hash, report.virtual_s) == elsewhere[replay(file)]


def test_the_trace_depends_on_the_seed(workshop: Workshop) -> None:
    assert len({played(workshop, FILES[0], seed).trace_hash for seed in range(1, 4)}) == 3
