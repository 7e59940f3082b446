"""What the commands do: `run`, `check` and `replay`. Parsing and exit codes are in `cli`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from reports import json_report, junit, terminal
from reports.history_text import lines
from reports.model import RunReport, Summary
from reports.progress import Progress
from sim.campaign import Job, cores, workers
from sim.cli import DEFAULT_SCENARIOS, Exit
from sim.invariants.verdict import Verdict
from sim.scenario.loading import discover, load_file
from sim.scenario.model import Scenario
from sim.scenario.problems import ScenarioError
from sim.worlds.broker_settings import UnknownSetting, check_settings
from sim.worlds.components.postgres import EmbeddedPostgres, PostgresUnavailable
from sim.worlds.simulated import Workshop

VERDICT_EXITS: Mapping[Verdict, Exit] = {"failed": Exit.FAILED, "inconclusive": Exit.INCONCLUSIVE}


class Refused(Exception):
    """The command cannot be carried out; the message has cause, place and fix."""

    def __init__(self, message: str, exit_code: Exit) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def check(options: argparse.Namespace) -> Exit:
    """Read scenarios; say everything that is wrong with them."""
    scenarios = _load(options.scenario)
    print(f"{len(scenarios)} scenarios are valid")
    return Exit.PASSED


def run(options: argparse.Namespace) -> Exit:
    """Play scenarios, report, judge."""
    scenarios = _load(options.scenario)
    junit_file = _writable(options.junit)
    jobs = [Job(scenario, seed) for scenario in scenarios for seed in range(1, options.seeds + 1)]
    count = min(options.jobs or len(cores()), len(jobs))
    reports: list[RunReport] = []
    interrupted = False
    version = ""
    try:
        with _postgres() as server:
            version = server.version
            with workers(server, count) as pool, Progress(len(jobs), sys.stderr) as progress:
                for report in pool.play(jobs):
                    reports.append(report)
                    progress.advance(failed=report.verdict != "passed")
    except KeyboardInterrupt:
        interrupted = True
    summary = Summary(_in_order(reports, jobs), json_report.components(postgres=version))
    _show(summary, options.output)
    if junit_file is not None:
        junit_file.write_text(junit.render(summary), encoding="utf-8")
    if interrupted:
        print(f"fumble: interrupted after {len(reports)} of {len(jobs)} runs", file=sys.stderr)
        return Exit.INTERRUPTED
    return _exit_code(summary)


def replay(options: argparse.Namespace) -> Exit:
    """Play one run again, physically like the first time, and show its history."""
    (scenario, *_) = _load([options.scenario])
    with _postgres() as server:
        finished = Workshop(server, "fumble_replay", core=cores()[0]).play(scenario, options.seed)
        summary = Summary((finished.report(),), json_report.components(postgres=server.version))
    if options.output == "text":
        print("\n".join(lines(finished.history)))
        print()
    _show(summary, options.output)
    return _exit_code(summary)


def _load(paths: Sequence[str]) -> list[Scenario]:
    """All scenarios of files and folders. Refuses with the mistakes of every file at once."""
    given = list(paths) or [DEFAULT_SCENARIOS]
    problems: list[str] = []
    scenarios: list[Scenario] = []
    try:
        files = discover(given)
    except ScenarioError as error:
        raise Refused(str(error), Exit.USAGE) from None
    for file in files:
        try:
            scenario = load_file(file)
            check_settings(scenario)
            scenarios.append(scenario)
        except (ScenarioError, UnknownSetting) as error:
            problems.append(str(error))
    if problems:
        raise Refused("invalid scenarios\n" + "\n".join(problems), Exit.USAGE)
    if not scenarios:
        raise Refused(f"no scenario in {', '.join(given)}; scenarios are files that end in .yaml", Exit.NOTHING)
    return scenarios


def _writable(path: str | None) -> Path | None:
    """Where to write, tried before the runs so that no result is lost."""
    if path is None:
        return None
    file = Path(path)
    try:
        file.touch()
    except OSError as error:
        raise Refused(f"--junit {path}: {error.strerror}; name a file in a folder that exists", Exit.USAGE) from None
    return file


@contextmanager
def _postgres() -> Iterator[EmbeddedPostgres]:
    """The embedded server for the length of a block."""
    try:
        server = EmbeddedPostgres()
    except PostgresUnavailable as error:
        raise Refused(str(error), Exit.INTERNAL) from None
    try:
        yield server
    finally:
        server.stop()


def _show(summary: Summary, output: str) -> None:
    if output == "json":
        print(json_report.render(summary))
    elif summary.runs:
        columns = shutil.get_terminal_size((110, 24)).columns
        colour = terminal.colour_wanted(sys.stdout, os.environ)
        print(terminal.render(summary, columns=columns, colour=colour), end="")


def _in_order(reports: Sequence[RunReport], jobs: Sequence[Job]) -> tuple[RunReport, ...]:
    """Reports in the order of their jobs, however they came back."""
    place = {(job.scenario.path, job.seed): number for number, job in enumerate(jobs)}
    return tuple(sorted(reports, key=lambda report: place[report.path, report.seed]))


def _exit_code(summary: Summary) -> Exit:
    """The worst verdict decides."""
    return next((code for verdict, code in VERDICT_EXITS.items() if summary.count(verdict)), Exit.PASSED)
