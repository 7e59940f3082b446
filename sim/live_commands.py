"""The commands of the live world: `live` plays scenarios over real sockets. What `run` does too is in `commands`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from reports import json_report, junit
from reports.model import RunReport, Summary
from reports.progress import Progress
from sim import commands, selection
from sim.cli import DEFAULT_TIME_SCALE
from sim.exits import Exit, Refused
from sim.foreign_options import named
from sim.scenario.model import Scenario
from sim.worlds.components.processes import ComponentFailed
from sim.worlds.live.foreign import Foreign
from sim.worlds.live.playable import not_playable
from sim.worlds.live.session import LiveSession, live_session


def live(options: argparse.Namespace) -> Exit:
    """Play scenarios one after another, report, judge. However it ends, what was played is reported."""
    scenarios = selection.with_steps(options.scenarios)
    foreign = named(options)
    if options.time_scale is None:
        options.time_scale = DEFAULT_TIME_SCALE if foreign is None else 1.0
    if foreign is not None:
        scenarios = _playable(scenarios, foreign, skip=options.skip_unplayable)
    junit_file = commands.writable(options.junit)
    done: list[RunReport] = []
    components: Mapping[str, str] = {}
    stopped: KeyboardInterrupt | ComponentFailed | None = None
    try:
        with session_of(options, foreign) as session, Progress(len(scenarios), sys.stderr) as progress:
            components = described(session)
            print(f"{introduced(session)}, {options.time_scale:g} scenario seconds a second", file=sys.stderr)
            for scenario in scenarios:
                report = session.play(scenario).report()
                done.append(report)
                progress.advance(failed=report.verdict != "passed")
    except (KeyboardInterrupt, ComponentFailed) as reason:
        stopped = reason
    summary = Summary(tuple(done), components)
    commands.show(summary, options.output)
    if junit_file is not None:
        commands.write(junit_file, junit.render(summary))
    if stopped is not None:
        raise commands.unfinished(stopped, len(done), f"{len(scenarios)} runs")
    return commands.exit_code(summary)


def described(session: LiveSession) -> Mapping[str, str]:
    """What takes part, for the report."""
    return {
        **json_report.packages(),
        **session.brokers.described,
        "toxiproxy": f"{session.toxiproxy.version()} ({session.toxiproxy.what})",
        "time_scale": f"{session.time_scale:g}",
    }


def introduced(session: LiveSession) -> str:
    """What takes part, on one line."""
    return f"live: {session.brokers.introduced}, Toxiproxy {session.toxiproxy.version()} ({session.toxiproxy.what})"


def _playable(scenarios: list[Scenario], foreign: Foreign, *, skip: bool) -> list[Scenario]:
    """Those that this broker can play. Refuses with those that it cannot, unless they are to be skipped."""
    refusals = {scenario.path: not_playable(scenario, foreign.adapter) for scenario in scenarios}
    reasons = [f"{path}: {reason}" for path, reason in refusals.items() if reason is not None]
    if reasons and not skip:
        raise Refused("the live world cannot play\n" + "\n".join(reasons), Exit.USAGE)
    if reasons:
        print(
            f"live: {len(reasons)} of {len(scenarios)} scenarios are not played\n" + "\n".join(reasons), file=sys.stderr
        )
    playable = [scenario for scenario in scenarios if refusals[scenario.path] is None]
    if not playable:
        raise Refused("no scenario is left to play", Exit.NOTHING)
    return playable


@contextmanager
def session_of(options: argparse.Namespace, foreign: Foreign | None = None) -> Iterator[LiveSession]:
    """The components that the command line names. Raises ComponentFailed."""
    with live_session(
        postgres=options.postgres,
        toxiproxy_at=options.toxiproxy,
        time_scale=options.time_scale or 1.0,
        logs=logs_folder(options.logs),
        foreign=foreign,
    ) as session:
        yield session


def logs_folder(path: str | None) -> Path | None:
    """The folder of `--logs`, which is there from now on."""
    logs = None if path is None else Path(path)
    if logs is not None:
        try:
            logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Refused(
                f"--logs {logs}: {error.strerror}; name a folder that can be written to", Exit.USAGE
            ) from None
    return logs
