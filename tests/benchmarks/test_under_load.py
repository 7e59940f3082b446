"""What the benchmark reads out of a load's report."""

from __future__ import annotations

from tests.benchmarks.figures import Figure
from tests.benchmarks.under_load import calm_p99_s, completed_a_second, noisy_share, recovery_s

P99_S = [9.0, 0.3, 0.1, 0.2, 5.0, 5.0, 0.9, 0.2, 0.3, 0.1, 0.2, 4.0, 4.0, 4.0, 0.1, 4.0]
SECONDS = [{"at_s": at_s, "p99_s": p99_s, "completed": 10 + at_s} for at_s, p99_s in enumerate(P99_S)]


def test_p99_is_back_when_two_seconds_are_no_worse_than_before() -> None:
    limit_s = calm_p99_s(SECONDS, 4)
    assert limit_s == 0.2  # the first seconds do not count
    assert recovery_s(SECONDS, from_s=6, until_s=11, limit_s=limit_s) == (3, "")
    assert recovery_s(SECONDS, from_s=9, until_s=11, limit_s=limit_s) == (0, "")
    assert recovery_s(SECONDS, from_s=11, until_s=16, limit_s=limit_s) == (5, "not before the next one")


def test_noise_is_what_is_worse_without_a_blip() -> None:
    bands = [{"from_s": 4.0, "to_s": 6.0}]
    assert noisy_share(SECONDS, bands, limit_s=0.35) == 5 / 10


def test_capacity_is_of_the_time_in_which_all_are_at_work() -> None:
    assert completed_a_second({"seconds": SECONDS, "duration_s": 6.0}) == (13 + 14 + 15) / 3


def test_nothing_of_nothing_has_met_its_target() -> None:
    assert Figure("lost", 0, at_most=0).ratio == 1.0
    assert Figure("lost", 2, at_most=0).ratio == 0.0
    assert Figure("back", 0, "s", at_most=3).ratio == float("inf")
