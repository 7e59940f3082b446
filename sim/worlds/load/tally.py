"""What came of judging many small histories: all is counted, and some of it is shown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from reports.history_text import lines
from reports.model import Finding
from sim.worlds.load.groups import Judged
from sim.worlds.load.scope import DUPLICATES, LOSSES

FINDINGS_MAX = 50
"""So many violations are shown with their histories; all are counted."""


@dataclass(slots=True)
class Tally:
    """What came of many groups. `lost` and `duplicates` count groups, each once."""

    groups: int = 0
    accepted: int = 0
    unknown: int = 0
    """Of the accepted delegations, those of which nothing says how they ended."""
    lost: int = 0
    duplicates: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    not_observed: set[str] = field(default_factory=set)

    def count(self, done: Judged, *, groups: int = 1) -> None:
        """Add what came of one group, or of several in which nothing is wrong."""
        self.groups += groups
        self.accepted += done.accepted
        self.unknown += done.unknown
        self.statuses.update(done.statuses)
        self.not_observed |= done.not_observed
        if not done.violations:
            return
        ids = {violation.invariant for violation in done.violations}
        self.lost += bool(ids & LOSSES)
        self.duplicates += bool(ids & DUPLICATES)
        self.violations.update(violation.invariant for violation in done.violations)
        if len(self.findings) < FINDINGS_MAX:
            told = tuple(lines(done.history))
            self.findings += (
                Finding(invariant=each.invariant, subject=each.subject, sentence=each.sentence, lines=told)
                for each in done.violations
            )

    def add(self, other: Tally) -> None:
        """Add what came of others."""
        self.groups += other.groups
        self.accepted += other.accepted
        self.unknown += other.unknown
        self.lost += other.lost
        self.duplicates += other.duplicates
        self.statuses.update(other.statuses)
        self.violations.update(other.violations)
        self.findings += other.findings[: FINDINGS_MAX - len(self.findings)]
        self.not_observed |= other.not_observed
