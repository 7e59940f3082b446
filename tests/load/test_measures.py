"""Percentiles, windows, recovery, and the shapes of arrivals."""

from __future__ import annotations

import random
import sys
from math import inf
from pathlib import Path

import pytest

from sim.history import FaultBegan, FaultEnded, NodeChanged
from sim.scenario.load import Gates, Limits
from sim.worlds.load.gates import results
from sim.worlds.load.measures import Measures, Timing, bucket_of
from sim.worlds.load.records import Outcome, Recorded
from sim.worlds.load.tally import Tally
from sim.worlds.load.windows import spans_about, spans_of, windows_of

sys.path.append(str(Path(__file__).parents[2] / "scenarios" / "load"))

from fumble_users.times import times


def operation(
    began_s: float, took_s: float = 0.01, *, due_s: float | None = None, outcome: Outcome = "ok", status: int = 202
) -> Recorded:
    """A delegation."""
    due_s = began_s if due_s is None else due_s
    said = None if outcome == "ok" else "reset"
    return Recorded("w1-1", "delegate", "ann", {}, due_s, began_s, outcome, began_s + took_s, status, said)


def test_a_percentile_is_right_to_two_per_cent() -> None:
    timing = Timing()
    latencies = [0.001 * 1.01**number for number in range(1000)]
    for latency_s in latencies:
        timing.add_answered(latency_s, bucket_of(latency_s))
    for percent in (1, 50, 95, 99, 100):
        right = latencies[max(round(percent * 10) - 1, 0)]
        assert timing.percentile_s(percent) == pytest.approx(right, rel=0.02)
    assert Timing().percentile_s(99) is None


def test_latency_counts_from_when_an_operation_was_due() -> None:
    """The broker stalls for a second: who had to begin late waited as well (coordinated omission)."""
    measures = Measures([], aftermath_s=0)
    for number in range(100):
        measures.add(operation(1.0, 0.01, due_s=number / 100))
    p50_s = measures.overall.percentile_s(50)
    assert p50_s is not None and p50_s == pytest.approx(0.5, rel=0.05)


def test_failures_are_what_no_client_wanted() -> None:
    measures = Measures([], aftermath_s=0)
    measures.add(operation(1, status=503))
    measures.add(operation(1, outcome="fail"))
    measures.add(operation(1, outcome="unknown"))
    measures.add(operation(1, status=409))
    left = operation(1, outcome="unknown")._replace(said="the client left")
    measures.add(left)
    assert (measures.overall.failed, measures.overall.answered) == (3, 1)


def test_windows_divide_the_load() -> None:
    entries = [
        FaultBegan(10.0, "f1", "down on broker-database", "broker-database"),
        NodeChanged(12.0, "agent:bob", "killed"),
        FaultEnded(13.0, "f1"),
        NodeChanged(15.0, "agent:bob", "started"),
        FaultBegan(30.0, "f2", "slow", "client-broker"),
    ]
    spans = spans_of(entries)
    assert [(span.from_s, span.to_s) for span in spans] == [(10.0, 13.0), (12.0, 15.0), (30.0, inf)]
    first, second = windows_of(spans, 40.0)
    assert (first.from_s, first.to_s, second.from_s, second.to_s) == (10.0, 15.0, 30.0, 40.0)
    measures = Measures([first, second], aftermath_s=3.0)
    measures.add(operation(5.0))
    measures.add(operation(9.0, 2.0))  # reaches into the first window
    measures.add(operation(12.0, outcome="unknown"))
    measures.add(operation(17.5, outcome="unknown"))  # the aftermath
    measures.add(operation(20.0))
    measures.add(operation(31.0))
    assert measures.outside.answered == 2 and measures.outside.failed == 0
    assert [each.timing.count for each in measures.windows] == [2, 1]
    assert [each.recovery_s for each in measures.windows] == [2.5, 0.0]
    # Every history has to know that there was a fault at all.
    assert [span.from_s for span in spans_about(spans, 0.0, 1.0)] == [30.0]


def test_gates_say_where_what_held() -> None:
    entries = [FaultBegan(10.0, "f1", "down"), FaultEnded(12.0, "f1")]
    measures = Measures(windows_of(spans_of(entries), 20.0), aftermath_s=1.0)
    for at_s in (1, 2, 3, 11, 18):
        measures.add(operation(at_s, 0.5 if at_s == 11 else 0.01))
    measures.add(operation(12.5, outcome="unknown"))
    gates = Gates(
        overall=Limits(p99_s=0.1, failure_ratio=0.5),
        outside=Limits(p99_s=0.1, failure_ratio=0.0),
        during=Limits(p50_s=1.0),
        recovery_s=0.2,
    )
    told = {(each.gate, each.where): each.held for each in results(gates, measures, Tally(groups=2, lost=1))}
    window = "down (10.0–12.0 s)"
    assert told == {
        ("p99", "whole load"): False,
        ("max_failure_ratio", "whole load"): True,
        ("p99", "outside of faults"): True,
        ("max_failure_ratio", "outside of faults"): True,
        ("p50", window): True,
        ("recovery_time", window): False,
        ("lost", "whole load"): False,
        ("duplicates", "whole load"): True,
    }
    nothing = results(Gates(overall=Limits(p99_s=1.0)), Measures([], aftermath_s=0), Tally())
    assert nothing[0].held is None and nothing[0].measured == "no answer"
    assert [each.held for each in nothing[1:]] == [None, None]  # nothing was judged, so nothing is known to be there


SHAPES = {
    "constant": ({"shape": "constant", "rate": 50.0}, 500, (50, 50)),
    "ramp": ({"shape": "ramp", "from_rate": 0.001, "to_rate": 100.0}, 500, (5, 95)),
    "spike": ({"shape": "spike", "rate": 10.0, "peak": 100.0, "at_s": 4.0, "for_s": 2.0}, 280, (10, 10)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_arrivals_come_as_their_shape_says(name: str) -> None:
    told, wanted, (first, last) = SHAPES[name]
    due = list(times(told, 10.0, 1, random.Random(1)))
    assert abs(len(due) - wanted) <= 2 and due == sorted(due)
    assert abs(sum(at_s < 1 for at_s in due) - first) <= 2
    assert abs(sum(at_s >= 9 for at_s in due) - last) <= 2
    if name == "spike":
        assert abs(sum(4 <= at_s < 6 for at_s in due) - 200) <= 2


def test_a_soak_has_its_rate_on_average_and_gaps_by_chance() -> None:
    due = list(times({"shape": "soak", "rate": 50.0}, 100.0, 1, random.Random(1)))
    assert 4500 < len(due) < 5500
    seconds = [sum(second <= at_s < second + 1 for at_s in due) for second in range(100)]
    assert max(seconds) > 60 and min(seconds) < 40


def test_workers_share_the_rate() -> None:
    told = {"shape": "constant", "rate": 50.0}
    shares = [list(times(told, 10.0, 4, random.Random(number))) for number in range(4)]
    assert abs(sum(map(len, shares)) - 500) <= 4
