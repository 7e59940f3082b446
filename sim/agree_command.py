"""`fumble agree`: each scenario in both worlds, and whether the same came of it.

The live world mostly waits for real time, so several scenarios are under way at once, each in a worker process with
a broker, a database, agents, ports and links of its own. Workers share the servers of Postgres and Toxiproxy, where
their databases and proxies have names of their own.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil

from reports import agreement_text
from reports.agreement_text import Compared
from reports.progress import Progress
from sim import commands, interrupts, selection
from sim.agreement import Divergence, compare
from sim.campaign import Bench, CampaignBroken, cores, working
from sim.cli import PROCESSES_MAX
from sim.exits import Exit
from sim.live_commands import described, introduced, session_of
from sim.scenario.model import Scenario
from sim.stdout import say
from sim.worlds.components.postgres import EmbeddedPostgres
from sim.worlds.components.processes import ComponentFailed
from sim.worlds.live.session import LiveSession
from sim.worlds.workshop import Workshop

PACES = (100.0, 20.0, 5.0, 1.0)
COMFORTABLE = 20.0
"""Scenario seconds a second at which processes still start and answer in time for most scenarios."""
DECISIVE = 5.0
"""At a quicker pace a broker's own waits are too long for some scenarios: they do not get quicker with the clock."""
AT_ONCE_PER_CORE = 2
"""A live run of a few seconds uses a quarter of a core, for starting processes; so half the machine stays free."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One scenario to compare in both worlds. `limit_s`: real time of a live run. `pace`: None: as quick as agrees."""

    scenario: Scenario
    seeds: int
    limit_s: float
    pace: float | None

    def __str__(self) -> str:
        return self.scenario.path

    def play(self, workshop: Workshop, session: LiveSession) -> Compared:
        """A difference at a quick pace may be the pace's, so it is looked for again at each slower one that fits."""
        scenario, path = self.scenario, self.scenario.path
        simulated = [workshop.play(scenario, seed) for seed in range(1, self.seeds + 1)]
        lasts_s = max(run.virtual_s for run in simulated)
        paces = paces_for(lasts_s, self.limit_s, self.pace)
        reason = "" if paces else f"takes {lasts_s:.0f} scenario seconds, more than --limit {self.limit_s:g} s allows"
        result = Compared(path=path, answer="not played", reason=reason)
        for time_scale in paces:
            live = replace(session, time_scale=time_scale).play(scenario)
            gc.collect()
            agreement = compare(simulated, live)
            parting = agreement.divergence or Divergence(None, None)
            result = Compared(
                path=path,
                answer="differs" if agreement.differences else "agrees",
                time_scale=time_scale,
                live_s=live.wall_s,
                differences=tuple(map(str, agreement.differences)),
                left_open=tuple(map(str, agreement.left_open)),
                simulated=parting.simulated,
                live=parting.live,
                replay=f"fumble replay {path} --seed 1; fumble live {path} --time-scale {time_scale:g}",
            )
            if not agreement.differences:
                break
        if result.answer == "differs" and self.pace is None and (reason := hurried(result.time_scale, lasts_s)):
            return replace(result, answer="undecided", reason=reason)
        return result


def agree(options: argparse.Namespace) -> Exit:
    """Play scenarios in both worlds and compare what came of it. However it ends, what was compared is reported."""
    scenarios = selection.with_steps(options.scenarios)
    jobs = [Comparison(scenario, options.seeds, options.limit, options.time_scale) for scenario in scenarios]
    processes = min(options.jobs or AT_ONCE_PER_CORE * len(cores()), PROCESSES_MAX, len(jobs))
    done: dict[int, Compared] = {}
    components: Mapping[str, str] = {}
    stopped: KeyboardInterrupt | ComponentFailed | CampaignBroken | None = None
    try:
        with commands.postgres(processes) as server, session_of(options) as session:
            components = described(session)
            print(f"{introduced(session)}, {processes} at a time", file=sys.stderr)
            with (
                working(jobs, comparisons(server, session), processes=processes, ahead=1) as results,
                Progress(len(jobs), sys.stderr) as progress,
            ):
                for number, compared in results:
                    done[number] = compared
                    progress.advance(failed=compared.answer == "differs")
    except (KeyboardInterrupt, ComponentFailed, CampaignBroken) as reason:
        stopped = reason
    in_order = [done[number] for number in sorted(done)]
    if options.output == "json":
        say(agreement_text.render_json(in_order, components))
    elif done:
        say(agreement_text.render(in_order))
    if stopped is not None:
        raise commands.unfinished(stopped, len(done), f"{len(jobs)} scenarios")
    return _exit_of({compared.answer for compared in in_order})


def comparisons(server: EmbeddedPostgres, session: LiveSession) -> Bench[Comparison, Compared]:
    """For each worker a workshop, and its own hold on the components of the live world."""

    def bench(number: int) -> Callable[[Comparison], Compared]:
        interrupts.by_parent()  # a world has something to put away
        workshop = Workshop(server, f"fumble_agree_{number}")
        own = session.in_fork(f"worker-{number}")
        return lambda comparison: comparison.play(workshop, own)

    return bench


def paces_for(lasts_s: float, limit_s: float, wanted: float | None) -> list[float]:
    """Time scales to try, quick ones first, at which a run of `lasts_s` scenario seconds fits into `limit_s`."""
    if wanted is not None:
        return [wanted] if lasts_s / wanted <= limit_s else []
    fitting = [pace for pace in PACES if lasts_s / pace <= limit_s]
    # The quickest is for what fits at no other.
    return [pace for pace in fitting if pace <= COMFORTABLE] or fitting[:1]


def hurried(time_scale: float, lasts_s: float) -> str:
    """Why a difference at this pace may be the pace's; empty if it is the slowest that is worth a try."""
    slower = [pace for pace in PACES if DECISIVE <= pace < time_scale]
    return f"differs at {time_scale:g}; --limit {ceil(lasts_s / slower[0])} allows {slower[0]:g}" if slower else ""


def _exit_of(answers: set[agreement_text.Answer]) -> Exit:
    if "differs" in answers:
        return Exit.FAILED
    if "undecided" in answers:
        return Exit.INCONCLUSIVE
    return Exit.PASSED if "agrees" in answers else Exit.NOTHING
