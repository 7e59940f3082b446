"""Every scenario of the repository holds of the reference broker, on a few seeds each; `fumble run` plays more.

A scenario that fails here is wrong itself, or has found a defect of the broker or of the harness: the message is the
block that `fumble run` would print, with the command that plays the run again.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from reports.terminal import block
from sim.scenario.loading import load_file
from sim.worlds.broker_settings import check_settings
from sim.worlds.workshop import Workshop

ROOT = Path(__file__).parents[2] / "scenarios"
FILES = sorted(file for file in ROOT.rglob("*.yaml") if file.parent.name != "load")  # see `tests/load`
SEEDS = (2,)  # `test_determinism` plays the first


def test_there_are_scenarios() -> None:
    """A wrong folder would otherwise be a suite without tests."""
    assert FILES


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT).with_suffix("")))
def test_it_holds(workshop: Workshop, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Passed, not merely not failed: a fault that never began would prove nothing."""
    caplog.set_level(logging.CRITICAL)  # a broker under faults logs more than anybody wants to read beside the block
    scenario = load_file(file)
    check_settings(scenario)
    for seed in SEEDS:
        run = workshop.play(scenario, seed)
        assert run.judgement.verdict == "passed", "\n" + block(run.report())
