"""A pytest plugin for continuous integration: a skipped test fails the run, because green has to mean tested.

`make test` loads it when CI is set. What depends on the user and the machine that CI happens to have may be skipped,
by the reasons below; there is always another test of the same thing that is not. Tests of containers may be skipped too
if `.ci/docker` could start no engine for them: the reason has to be the one that it told in FUMBLE_NO_DOCKER. Of a
module that is skipped as a whole, only the process that collected it knows, so the workers of pytest-xdist tell theirs
to the one that reports.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

ALLOWED_REASONS = ("this machine does not permit ", "only root has to change its user", "no Go 1.22 here: ")
NO_ENGINE = "no Docker engine: "

_skipped: dict[str, None] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _note(report.nodeid, report.longrepr)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _note(report.nodeid, report.longrepr)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    _skipped.update(dict.fromkeys(getattr(node, "workeroutput", {}).get("skipped", ())))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["skipped"] = list(_skipped)
    elif _skipped and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _skipped:
        terminalreporter.section("skipped, which fails a run in CI", red=True)
        for line in _skipped:
            terminalreporter.write_line(line)


def _note(test: str, skip: object) -> None:
    reason = str(skip[2] if isinstance(skip, tuple) else skip).removeprefix("Skipped: ")
    no_engine = os.environ.get("FUMBLE_NO_DOCKER")
    if not reason.startswith(ALLOWED_REASONS) and not (no_engine and reason == NO_ENGINE + no_engine):
        _skipped[f"{test}: {reason}"] = None
