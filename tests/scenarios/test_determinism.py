"""The same code, scenario and seed give the same trace: in another process, with other string hashes, after other runs.

The gate that every scenario has to pass. Two processes play each; hash seed and number of workers
differ, so that each run also comes after different ones.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SEEDS = 1

Traces = dict[str, tuple[str, str, float]]


def traces(*, hash_seed: int, jobs: int) -> Traces:
    """By replay command: trace hash, verdict and virtual time of every scenario's runs."""
    ended = subprocess.run(
        [sys.executable, "-m", "sim.cli", "run", "--seeds", str(SEEDS), "--jobs", str(jobs), "--output", "json"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode in (0, 1, 2), ended.stderr
    runs = json.loads(ended.stdout)["runs"]
    return {run["replay"]: (run["trace_hash"], run["verdict"], run["virtual_s"]) for run in runs}


@pytest.fixture(scope="module")
def one() -> Traces:
    """All runs, by one worker."""
    return traces(hash_seed=1, jobs=1)


def test_every_scenario_has_the_same_trace_in_another_process(one: Traces) -> None:
    other = traces(hash_seed=2, jobs=3)
    files = [*REPOSITORY.glob("scenarios/**/*.yaml"), *REPOSITORY.glob("scenarios/**/*.yml")]
    loads = [file for file in files if file.parent.name == "load"]
    assert len(one) == SEEDS * (len(files) - len(loads))
    assert one.keys() == other.keys()
    assert {run: (one[run], other[run]) for run in one if one[run] != other[run]} == {}
    assert {verdict for _, verdict, _ in one.values()} == {"passed"}


def test_the_trace_depends_on_the_seed(one: Traces) -> None:
    by_scenario: dict[str, list[str]] = {}
    for replay, (trace, _, _) in one.items():
        by_scenario.setdefault(replay.partition(" --seed ")[0], []).append(trace)
    assert all(len(set(of_one)) == SEEDS for of_one in by_scenario.values())
