"""The command of the load world: `load` plays the load of a scenario, with its faults, and judges what came of it."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from reports import load_text
from reports.html import load_page
from sim import commands
from sim.exits import Exit, Refused
from sim.foreign_options import named
from sim.live_commands import described, introduced, logs_folder
from sim.scenario.load import Load, Spike
from sim.scenario.model import AtTime, Scenario
from sim.stdout import say
from sim.worlds.components.processes import ComponentFailed
from sim.worlds.live.foreign import Foreign
from sim.worlds.live.playable import not_playable
from sim.worlds.live.session import live_session
from sim.worlds.load.join import join
from sim.worlds.load.locust import check_installed
from sim.worlds.load.random_faults import with_random_faults
from sim.worlds.load.report import report_of
from sim.worlds.load.run import LoadRun
from sim.worlds.load.session import LOCUSTFILE, play_load


def load(options: argparse.Namespace) -> Exit:
    """Play one load, report, judge. However it ends, what could be judged is reported."""
    scenario, section = _one_with_a_load(options)
    duration_s = options.duration or section.duration_s
    _refuse_what_would_be_left_out(scenario, section, duration_s)
    scenario = with_random_faults(scenario, section, duration_s)
    if options.master is not None:
        return _join(scenario, options)
    if options.listen is not None and not options.expect:
        raise Refused("--listen is for workers from elsewhere; fix: say how many with --expect", Exit.USAGE)
    foreign = named(options)
    if foreign is not None and (reason := not_playable(scenario, foreign.adapter)) is not None:
        raise Refused(f"that broker cannot be put under this load\n{scenario.path}: {reason}", Exit.USAGE)
    page = _page(options.html, scenario.name)
    try:
        check_installed()
        with live_session(
            postgres=options.postgres,
            toxiproxy_at=options.toxiproxy,
            time_scale=1.0,
            on_disk=True,
            logs=logs_folder(options.logs),
            foreign=foreign,
        ) as session:
            print(f"{introduced(session)}, {duration_s:g} s of load", file=sys.stderr)
            run = play_load(
                session,
                scenario,
                section,
                locustfile=None if options.locustfile is None else Path(options.locustfile),
                duration_s=duration_s,
                workers=options.workers,
                expected=options.expect,
                listen=options.listen,
                seed=options.seed,
            )
            components = described(session)
    except ComponentFailed as error:
        raise Refused(str(error), Exit.INTERNAL) from None
    report = report_of(run, components, options=_again(options, foreign))
    say(load_text.render_json(report) if options.output == "json" else load_text.render(report))
    commands.write(page, load_page.render(report))
    print(f"report: {page}", file=sys.stderr)
    return _exit_of(run)


def _again(options: argparse.Namespace, foreign: Foreign | None) -> str:
    """What else has to be said for the same load."""
    said = f" --workers {options.workers}"
    if options.seed != 1:
        said += f" --seed {options.seed}"
    if options.locustfile is not None:
        said += f" --locustfile {shlex.quote(options.locustfile)}"
    return said + (foreign.options if foreign is not None else "")


def _join(scenario: Scenario, options: argparse.Namespace) -> Exit:
    locustfile = Path(options.locustfile or Path(scenario.path).with_name(LOCUSTFILE))
    try:
        with tempfile.TemporaryDirectory(prefix="fumble-load-") as temporary:
            deaths = join(
                scenario,
                master=options.master,
                broker=options.host,
                workers=options.workers,
                locustfile=locustfile,
                folder=logs_folder(options.logs) or Path(temporary),
            )
    except ComponentFailed as error:
        raise Refused(str(error), Exit.INTERNAL) from None
    if deaths:
        raise Refused("\n".join(deaths), Exit.FAILED)
    return Exit.PASSED


def _one_with_a_load(options: argparse.Namespace) -> tuple[Scenario, Load]:
    path, count = options.scenario, len(options.scenarios)
    if count > 1:
        raise Refused(f"{path} has {count} scenarios; name the one whose load is to be played", Exit.USAGE)
    (scenario,) = options.scenarios
    if scenario.load is None:
        raise Refused(f"{path} has steps and no load; fix: play it with `fumble run` or `fumble live`", Exit.USAGE)
    return scenario, scenario.load


def _refuse_what_would_be_left_out(scenario: Scenario, section: Load, duration_s: float) -> None:
    """A load that is cut short must still be the one that its scenario tells of."""
    if (reason := next(_left_out(scenario, section, duration_s), None)) is not None:
        raise Refused(f"--duration {duration_s:g}s: {reason}; fix: give the load more time", Exit.USAGE)


def _left_out(scenario: Scenario, section: Load, duration_s: float) -> Iterator[str]:
    late = [each.when.at_s for each in scenario.faults if isinstance(each.when, AtTime) if each.when.at_s >= duration_s]
    if late:
        yield f"{len(late)} of the faults strike later, the first at {min(late):g} s"
    for arrivals in section.arrivals:
        if isinstance(shape := arrivals.shape, Spike) and (ends_s := shape.at_s + shape.for_s) > duration_s:
            yield f"the spike ends later, at {ends_s:g} s"
    if (random := section.random_faults) is not None and random.every_s > duration_s:
        yield f"random faults strike once in each {random.every_s:g} s, so there would be none"


def _page(path: str | None, scenario: str) -> Path:
    """Where the HTML report goes, tried before the load so that no result is lost."""
    file = Path(path) if path is not None else Path("reports", "out", f"load-{scenario}.html")
    try:
        if path is None:
            file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8"):
            return file
    except OSError as error:
        raise Refused(f"--html {file}: {error.strerror}; name a file that can be written to", Exit.USAGE) from None


def _exit_of(run: LoadRun) -> Exit:
    if run.verdict == "failed":
        return Exit.FAILED
    if run.broken:
        return Exit.INTERNAL
    return Exit.PASSED if run.verdict == "passed" else Exit.INCONCLUSIVE
