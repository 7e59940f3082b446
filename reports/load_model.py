"""What the report of a load holds: facts for its renderers (text, JSON, HTML). Times are seconds since it began."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reports.model import Finding
from sim.invariants.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A gate, where it was judged, and what came of it; `held` is None if nothing was measured there."""

    gate: str
    where: str
    allowed: str
    measured: str
    held: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Latencies and failures of the operations of a time or a kind; a percentile is None where nothing was answered."""

    what: str
    count: int
    failed: int
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    slowest_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A fault, or a node that did not run."""

    what: str
    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """What was asked in one second, and how it went; `completed` and `failed_work` ended in it."""

    at_s: int
    asked: int
    failed: int
    p50_s: float | None
    p99_s: float | None
    completed: int
    failed_work: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """What waited at an instant: delegations under way, and items of the queue."""

    at_s: float
    under_way: int
    queued: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """One load. `reasons` say what is missing or broken; `statuses` counts delegations by how they ended.

    `states_unknown`: accepted delegations of which nothing that was observed says how they ended.
    """

    scenario: str
    path: str
    title: str
    verdict: Verdict
    duration_s: float
    lasted_s: float
    workers: int
    operations: int
    accepted: int
    judged: int
    judging_s: float
    statuses: Mapping[str, int]
    gates: tuple[Gate, ...]
    timings: tuple[Timing, ...]
    actions: tuple[Timing, ...]
    bands: tuple[Band, ...]
    seconds: tuple[Second, ...]
    depths: tuple[Depth, ...]
    violations: Mapping[str, int]
    findings: tuple[Finding, ...]
    reasons: tuple[str, ...]
    not_observed: tuple[str, ...]
    replay: str
    states_unknown: int = 0
    components: Mapping[str, str] = field(default_factory=dict)
