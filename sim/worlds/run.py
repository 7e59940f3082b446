"""What a world leaves behind of one run: its history, judged, and what it took."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reports.model import Finding, RunReport, report_of
from sim.history import History
from sim.invariants.verdict import Judgement
from sim.scenario.model import Scenario

HANG = "HANG"
"""The id under which a world that cannot go on is reported; it stands beside those of invariants."""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run, judged. `replay`: the command that plays it again. `hang`: why its world could not go on."""

    scenario: Scenario
    seed: int
    history: History
    judgement: Judgement
    trace_hash: str
    virtual_s: float
    cpu_s: float
    wall_s: float
    replay: str
    hang: str = ""

    def report(self) -> RunReport:
        """What is told of it; a hang of the world stands first among its violations."""
        report = report_of(
            self.scenario,
            self.history,
            self.judgement,
            seed=self.seed,
            trace_hash=self.trace_hash,
            virtual_s=self.virtual_s,
            cpu_ms=self.cpu_s * 1e3,
            wall_ms=self.wall_s * 1e3,
            replay=self.replay,
        )
        if not self.hang:
            return report
        sentence, *places = self.hang.splitlines()
        hang = Finding(invariant=HANG, subject="", sentence=sentence, lines=tuple(place.strip() for place in places))
        return replace(report, violations=(hang, *report.violations))
