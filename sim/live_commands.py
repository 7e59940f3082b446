"""The commands of the live world: `live` plays scenarios over real sockets. What `run` does too is in `commands`."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from math import ceil
from pathlib import Path

from reports import agreement_text, json_report, junit
from reports.agreement_text import Compared
from reports.model import RunReport, Summary
from reports.progress import Progress
from sim import commands
from sim.agreement import Divergence, compare
from sim.cli import DEFAULT_TIME_SCALE
from sim.exits import Exit, Refused
from sim.foreign_options import named
from sim.scenario.model import Scenario
from sim.worlds.components.processes import ComponentFailed
from sim.worlds.live.foreign import Foreign
from sim.worlds.live.playable import not_playable
from sim.worlds.live.session import LiveSession, live_session
from sim.worlds.workshop import Workshop

PACES = (100.0, 20.0, 5.0, 1.0)
COMFORTABLE = 20.0
"""Scenario seconds a second at which processes still start and answer in time for most scenarios."""


def live(options: argparse.Namespace) -> Exit:
    """Play scenarios one after another, report, judge. However it ends, what was played is reported."""
    scenarios = commands.with_steps(commands.load(options.scenario))
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
        with _session(options, foreign) as session, Progress(len(scenarios), sys.stderr) as progress:
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
    _raise_if_stopped(stopped, f"after {len(done)} of {len(scenarios)} runs", begun=bool(done))
    return commands.exit_code(summary)


def agree(options: argparse.Namespace) -> Exit:
    """Play each scenario in both worlds and compare what came of it. However it ends, what was compared is reported."""
    scenarios = commands.with_steps(commands.load(options.scenario))
    done: list[Compared] = []
    components: Mapping[str, str] = {}
    stopped: KeyboardInterrupt | ComponentFailed | None = None
    try:
        with commands.postgres(processes=1) as server, _session(options) as session:
            components = described(session)
            print(introduced(session), file=sys.stderr)
            # A simulated broker's complaints are part of the play; those of a live one are in its log.
            logging.getLogger().addHandler(logging.NullHandler())
            workshop = Workshop(server, "fumble_agree")
            with Progress(len(scenarios), sys.stderr) as progress:
                for scenario in scenarios:
                    done.append(_compared(scenario, workshop, session, options))
                    progress.advance(failed=done[-1].answer == "differs")
    except (KeyboardInterrupt, ComponentFailed) as reason:
        stopped = reason
    if options.output == "json":
        commands.say(agreement_text.render_json(done, components))
    elif done:
        commands.say(agreement_text.render(done))
    _raise_if_stopped(stopped, f"after {len(done)} of {len(scenarios)} scenarios", begun=bool(done))
    if any(each.answer == "differs" for each in done):
        return Exit.FAILED
    if any(each.answer == "undecided" for each in done):
        return Exit.INCONCLUSIVE
    return Exit.PASSED if any(each.answer == "agrees" for each in done) else Exit.NOTHING


def _compared(scenario: Scenario, workshop: Workshop, session: LiveSession, options: argparse.Namespace) -> Compared:
    """A difference at a quick pace may be the pace's: it is one only if it is still there at the slowest that fits."""
    simulated = [workshop.play(scenario, seed) for seed in range(1, options.seeds + 1)]
    lasts_s = max(run.virtual_s for run in simulated)
    paces = paces_for(lasts_s, options.limit, options.time_scale)
    reason = "" if paces else f"takes {lasts_s:.0f} scenario seconds, more than --limit {options.limit:g} s allows"
    result = Compared(path=scenario.path, answer="not played", reason=reason)
    for time_scale in paces:
        live = replace(session, time_scale=time_scale).play(scenario)
        gc.collect()
        agreement = compare(simulated, live)
        parting = agreement.divergence or Divergence(None, None)
        result = Compared(
            path=scenario.path,
            answer="differs" if agreement.differences else "agrees",
            time_scale=time_scale,
            live_s=live.wall_s,
            differences=tuple(map(str, agreement.differences)),
            simulated=parting.simulated,
            live=parting.live,
            replay=f"fumble replay {scenario.path} --seed 1; fumble live {scenario.path} --time-scale {time_scale:g}",
        )
        if not agreement.differences:
            break
    if result.answer == "differs" and options.time_scale is None and result.time_scale > COMFORTABLE:
        # Slower than this it could not be played, and so quick a pace makes differences of its own.
        slower = f"--limit {ceil(lasts_s / COMFORTABLE)} allows {COMFORTABLE:g}"
        return replace(result, answer="undecided", reason=f"differs at {result.time_scale:g}; {slower}")
    return result


def paces_for(lasts_s: float, limit_s: float, wanted: float | None) -> list[float]:
    """Time scales to try, quick ones first, at which a run of `lasts_s` scenario seconds fits into `limit_s`."""
    if wanted is not None:
        return [wanted] if lasts_s / wanted <= limit_s else []
    fitting = [pace for pace in PACES if lasts_s / pace <= limit_s]
    # The quickest is for what fits at no other.
    return [pace for pace in fitting if pace <= COMFORTABLE] or fitting[:1]


def _raise_if_stopped(stopped: KeyboardInterrupt | ComponentFailed | None, when: str, *, begun: bool) -> None:
    if isinstance(stopped, ComponentFailed):
        raise Refused(f"{stopped} ({when})" if begun else str(stopped), Exit.INTERNAL)
    if stopped is not None:
        raise Refused(f"interrupted {when}", Exit.INTERRUPTED)


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
def _session(options: argparse.Namespace, foreign: Foreign | None = None) -> Iterator[LiveSession]:
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
