"""What the commands `run` and `replay` do. Parsing is in `cli`, which scenarios were named in `selection`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from reports import json_report, junit, terminal
from reports.history_text import lines
from reports.model import RunReport, Summary
from reports.progress import Progress
from sim import interrupts
from sim.campaign import CampaignBroken, Job, cores, runs, working
from sim.cli import PROCESSES_MAX
from sim.exits import Exit, Refused
from sim.invariants.verdict import Verdict
from sim.selection import with_steps
from sim.stdout import say
from sim.worlds.components.postgres import FOR_GATEWAY, EmbeddedPostgres, PostgresUnavailable
from sim.worlds.components.processes import ComponentFailed
from sim.worlds.workshop import Workshop

SESSIONS_PER_PROCESS = 40
"""On the server: a broker's pool, the pools of those that lost their power in the same run, and the harness's own."""

VERDICT_EXITS: Mapping[Verdict, Exit] = {"failed": Exit.FAILED, "inconclusive": Exit.INCONCLUSIVE}


def run(options: argparse.Namespace) -> Exit:
    """Play scenarios, report, judge. However it ends, what was played is reported."""
    scenarios = with_steps(options.scenarios)
    junit_file = writable(options.junit)
    seeds = range(options.seed_from, options.seed_from + options.seeds)
    jobs = [Job(scenario, seed) for scenario in scenarios for seed in seeds]
    done: dict[int, RunReport] = {}
    version = ""
    stopped: KeyboardInterrupt | CampaignBroken | None = None
    try:
        processes = min(options.jobs or len(cores()), PROCESSES_MAX, len(jobs))
        with postgres(processes) as server:
            version = server.version
            with (
                working(jobs, runs(server), processes=processes, ahead=2) as reports,
                Progress(len(jobs), sys.stderr) as progress,
            ):
                for number, report in reports:
                    done[number] = report
                    progress.advance(failed=report.verdict != "passed")
    except (KeyboardInterrupt, CampaignBroken) as reason:
        stopped = reason
    summary = Summary(tuple(done[number] for number in sorted(done)), json_report.components(postgres=version))
    show(summary, options.output)
    if junit_file is not None:
        write(junit_file, junit.render(summary))
    if stopped is not None:
        raise unfinished(stopped, len(done), f"{len(jobs)} runs")
    return exit_code(summary)


def replay(options: argparse.Namespace) -> Exit:
    """Play one run again, physically like the first time, and show its history."""
    scenarios = with_steps(options.scenarios)
    if len(scenarios) > 1:
        raise Refused(f"{options.scenario} has {len(scenarios)} scenarios; name the one to replay", Exit.USAGE)
    with postgres(processes=1) as server:
        finished = Workshop(server, "fumble_replay", core=cores()[0]).play(scenarios[0], options.seed)
        summary = Summary((finished.report(),), json_report.components(postgres=server.version))
    if options.output == "text":
        say("\n".join(lines(finished.history)) + "\n\n")
    show(summary, options.output)
    return exit_code(summary)


def writable(path: str | None) -> Path | None:
    """Where to write, tried before the runs so that no result is lost."""
    if path is None:
        return None
    try:
        with open(path, "a", encoding="utf-8"):
            return Path(path)
    except OSError as error:
        raise Refused(
            f"--junit {path}: {error.strerror}; name a file in a folder that exists and can be written to", Exit.USAGE
        ) from None


def write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refused(f"cannot write {file}: {error.strerror}; name another file", Exit.INTERNAL) from None


@contextmanager
def postgres(processes: int) -> Iterator[EmbeddedPostgres]:
    """The embedded server for the length of a block, with room for so many processes that play."""
    room = {"max_connections": str(SESSIONS_PER_PROCESS * (processes + 1))}
    try:
        server = EmbeddedPostgres(settings={**FOR_GATEWAY, **room})
    except PostgresUnavailable as error:
        raise Refused(str(error), Exit.INTERNAL) from None
    try:
        yield server
    finally:
        with interrupts.ignored():
            server.stop()


def unfinished(reason: KeyboardInterrupt | CampaignBroken | ComponentFailed, done: int, all_of_it: str) -> Refused:
    """How a command ends that was stopped; `all_of_it`: what it would have done, such as `8 runs`."""
    when = f"after {done} of {all_of_it}"
    if isinstance(reason, KeyboardInterrupt):
        return Refused(f"interrupted {when}", Exit.INTERRUPTED)
    if isinstance(reason, ComponentFailed):
        return Refused(f"{reason} ({when})" if done else str(reason), Exit.INTERNAL)
    if reason.trace and os.environ.get("FUMBLE_DEBUG"):
        return Refused(f"{reason} ({when})\n{reason.trace}", Exit.INTERNAL)
    hint = (
        "\nfix: unless something ended Postgres, report it; FUMBLE_DEBUG=1 shows the traceback" if reason.trace else ""
    )
    return Refused(f"{reason} ({when}){hint}", Exit.INTERNAL)


def show(summary: Summary, output: str) -> None:
    if output == "json":
        say(json_report.render(summary))
    elif summary.runs:
        columns = shutil.get_terminal_size((110, 24)).columns
        colour = terminal.colour_wanted(sys.stdout, os.environ)
        say(terminal.render(summary, columns=columns, colour=colour))


def exit_code(summary: Summary) -> Exit:
    """The worst verdict decides."""
    return next((code for verdict, code in VERDICT_EXITS.items() if summary.count(verdict)), Exit.PASSED)
