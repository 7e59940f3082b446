"""Each invariant fails on the smallest spoiling of a correct run that breaks it, and on that none other does."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sim.invariants import registry
from sim.invariants.registry import ALL
from sim.invariants.verdict import judge
from sim.scenario.loading import load_file

from .histories import Run, scenario
from .spoiled_attempts import ATTEMPTS
from .spoiled_cursors import CURSORS
from .spoiled_executions import EXECUTIONS
from .spoiled_keys import KEYS
from .spoiled_mcp import MCP
from .spoiled_outcomes import OUTCOMES
from .spoiled_queues import QUEUE
from .spoiled_reads import READS
from .spoiled_records import RECORDS
from .spoiled_reports import REPORTS
from .spoiled_routes import ROUTES
from .spoiled_stops import STOPS

SCENARIOS = Path(__file__).parents[2] / "scenarios"


@dataclass(frozen=True)
class Case:
    """`spoiled` breaks `invariant` alone; the sentence about `subject` contains `says`."""

    invariant: str
    spoiled: Callable[[], Run]
    says: str
    subject: str


TABLES = (EXECUTIONS, ROUTES, ATTEMPTS, OUTCOMES, RECORDS, KEYS, MCP, QUEUE, CURSORS, REPORTS, STOPS, READS)
CASES = tuple(Case(*spoiled) for table in TABLES for spoiled in table)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.invariant}-{case.spoiled.__name__}")
def test_a_spoiled_run_breaks_one_invariant(case: Case) -> None:
    history = case.spoiled().history()
    judgement = judge(scenario(), history)

    assert [violation.invariant for violation in judgement.violations] == [case.invariant]
    violation = judgement.violations[0]
    assert case.says in violation.sentence
    assert violation.subject == case.subject
    assert violation.entries and all(0 <= index < len(history.entries) for index in violation.entries)
    assert judgement.verdict == "failed"


def test_every_invariant_has_a_case_that_breaks_it() -> None:
    assert {case.invariant for case in CASES} == {invariant.id for invariant in ALL}


def test_invariants_are_in_order_and_each_is_one_sentence() -> None:
    assert [invariant.id for invariant in ALL] == sorted({invariant.id for invariant in ALL})
    for invariant in ALL:
        assert invariant.statement.endswith(".") and ". " not in invariant.statement
        assert invariant.source


def test_the_readme_has_the_table() -> None:
    readme = Path(registry.__file__).with_name("README.md").read_text(encoding="utf-8")
    for each in ALL:
        file = each.check.__module__.rsplit(".", 1)[1]
        row = re.search(rf"^\| {each.id} \| (.*) \|$", readme, re.MULTILINE)
        assert row is not None, each.id
        statement, source, named, scenario = row[1].split(" | ")
        assert (statement, source, named) == (each.statement, each.source, f"`{file}.py`")
        if not scenario.startswith("none: "):
            covers = load_file(SCENARIOS / f"{scenario.strip('`')}.yaml").covers
            assert each.id in covers, f"{scenario} does not cover {each.id}"
