"""`fumble load` as its user sees it: a few seconds with everything real.

How quick anything is, is not judged here.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.load.few_seconds import SCENARIO, load
from tests.unit.fumble_process import REPOSITORY


def test_a_load_with_everything_passes(folder: Path) -> None:
    done, report = load(folder, "everything.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert report["verdict"] == "passed" and not report["reasons"] and not report["violations"]
    actions = {each["what"].split()[0]: each["count"] for each in report["actions"]}
    # A person on a canvas sends something by chance.
    assert actions.keys() - {"send"} == {"delegate", "mcp", "check", "inbox", "list", "report", "heartbeat"}
    assert report["accepted"] > 50 and report["judged"] >= report["accepted"] * 0.5
    assert report["not_observed"] == ["INV-10", "INV-42", "INV-74"]
    assert {gate["gate"]: gate["held"] for gate in report["gates"]} == {"lost": True, "duplicates": True}


def test_faults_strike_and_two_workers_share_the_load(folder: Path) -> None:
    done, report = load(folder, "blip.yaml", "--workers", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [band["what"].split(":")[0] for band in report["bands"]][:1] == ["f1"]
    assert len(report["timings"]) >= 3 and report["workers"] == 2


def test_a_gate_that_does_not_hold_fails_the_load(folder: Path) -> None:
    (folder / "strict.yaml").write_text(SCENARIO + "  gates: {p50: 1us}\n")
    done, report = load(folder, "strict.yaml", "--duration", "2s")
    assert done.returncode == 1 and report["verdict"] == "failed"
    assert [gate["held"] for gate in report["gates"]] == [False, True, True]


def test_every_load_of_the_repository_is_in_its_folder() -> None:
    everywhere = {file for file in (REPOSITORY / "scenarios").rglob("*.yaml") if "\nload:\n" in file.read_text()}
    assert everywhere == set((REPOSITORY / "scenarios" / "load").glob("*.yaml")) and len(everywhere) >= 6


def test_locust_is_never_imported_here() -> None:
    assert "gevent" not in sys.modules and "locust" not in sys.modules
