"""The JSON report is one object with everything a program needs to decide and to replay."""

from __future__ import annotations

import json
import platform

from reports import json_report
from reports.model import Summary

from .reports_made import HOSTILE, hostile, three


def test_the_report_has_version_components_and_runs() -> None:
    report = json.loads(json_report.render(three()))
    assert (report["version"], report["components"]["postgres"]) == (1, "16.2")
    assert [(run["scenario"], run["seed"], run["verdict"]) for run in report["runs"]] == [
        ("lost_ack", 1, "passed"),
        ("lost_ack", 2, "failed"),
        ("all_well", 7, "passed"),
        ("never_struck", 7, "inconclusive"),
    ]


def test_a_run_says_what_broke_and_how_to_replay_it() -> None:
    run = json.loads(json_report.render(three()))["runs"][1]
    assert (run["trace_hash"], run["virtual_s"], run["cpu_ms"]) == ("c0ffee", 12.5, 3.25)
    assert run["replay"] == "fumble run scenarios/terminal/lost_ack.yaml --seed 7"
    assert run["violations"] == [
        {
            "invariant": "INV-30",
            "subject": "d1",
            "sentence": "d1 ended twice",
            "history": ["#3  1.000000s  d1  d1 ended twice"],
        }
    ]


def test_hostile_text_comes_back_as_it_was() -> None:
    text = json_report.render(Summary((hostile(),)))
    assert text.isascii()
    assert json.loads(text)["runs"][0]["violations"][0]["sentence"] == HOSTILE


def test_components_are_the_installed_ones() -> None:
    found = json_report.components(postgres="16.2")
    assert set(found) == {"python", "aiohttp", "asyncpg", "postgres"}
    assert found["python"] == platform.python_version() and found["aiohttp"][0].isdigit()
