"""The gates of a load: what was allowed, what was measured, and whether it held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim.scenario.load import Gates, Limits
from sim.worlds.load.measures import Measures, Timing
from sim.worlds.load.tally import Tally

_PERCENTILES = (("p50", 50, "p50_s"), ("p95", 95, "p95_s"), ("p99", 99, "p99_s"))


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate. `where`: the whole load, outside of faults, or a window; `held` is None if nothing was measured."""

    gate: str
    where: str
    allowed: str
    measured: str
    held: bool | None


def results(gates: Gates, measures: Measures, tally: Tally) -> list[GateResult]:
    """Every gate that the scenario has, and the two that every load has."""
    found = [*_limits(gates.overall, measures.overall, "whole load")]
    found += _limits(gates.outside, measures.outside, "outside of faults")
    for each in measures.windows:
        where = each.window.label
        found += _limits(gates.during, each.timing, where)
        if gates.recovery_s is not None:
            allowed, measured = _time(gates.recovery_s), _time(each.recovery_s)
            found.append(GateResult("recovery_time", where, allowed, measured, each.recovery_s <= gates.recovery_s))
    for gate, allowed_count, count in (
        ("lost", gates.lost, tally.lost),
        ("duplicates", gates.duplicates, tally.duplicates),
    ):
        held = count <= allowed_count if tally.groups or count else None
        found.append(GateResult(gate, "whole load", str(allowed_count), str(count), held))
    return found


def _limits(limits: Limits, timing: Timing, where: str) -> Iterator[GateResult]:
    for gate, percent, name in _PERCENTILES:
        allowed_s: float | None = getattr(limits, name)
        if allowed_s is not None:
            value_s = timing.percentile_s(percent)
            measured = "no answer" if value_s is None else _time(value_s)
            yield GateResult(gate, where, _time(allowed_s), measured, None if value_s is None else value_s <= allowed_s)
    if limits.failure_ratio is not None:
        measured = f"{timing.failure_ratio:.2%} ({timing.failed} of {timing.count})"
        held = timing.failure_ratio <= limits.failure_ratio if timing.count else None
        yield GateResult("max_failure_ratio", where, f"{limits.failure_ratio:.2%}", measured, held)


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
