"""Durations and rates: the unit is never left out, and arithmetic is exact."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.scenario.durations import (
    DURATION_PATTERN,
    MAX_DURATION_S,
    SECONDS,
    DurationError,
    parse_duration,
    parse_rate,
    spoken,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", Fraction(0)),
        ("5s", Fraction(5)),
        ("100ms", Fraction(1, 10)),
        ("20us", Fraction(1, 50_000)),
        ("1m30s", Fraction(90)),
        ("10m", Fraction(600)),
        ("1h", Fraction(3600)),
        ("7d1h", Fraction(7 * 86400 + 3600)),
        ("1.5s", Fraction(3, 2)),
        ("0.1s0.2ms", Fraction(1002, 10000)),
    ],
)
def test_a_duration(text: str, seconds: Fraction) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "5", "1.s", ".5s", "-1s", "+1s", "1e3s", "5 s", "1s1m", "1s1s", "5S", "٣s", "1s\n", "9999999999s"]
)
def test_no_duration(text: str) -> None:
    with pytest.raises(DurationError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [("5 s", "5s"), ("5S", "5s"), ("5 sec", "5s"), ("2 Hours", "2h"), ("7µs", "7us"), ("3 msec", "3ms"), ("x", None)],
)
def test_what_was_probably_meant(text: str, suggestion: str | None) -> None:
    with pytest.raises(DurationError) as caught:
        parse_duration(text)
    assert caught.value.suggestion == suggestion


def test_a_bare_number_is_told_the_natural_unit() -> None:
    with pytest.raises(DurationError, match=r"^0\.5 has no unit: write 0\.5ms$"):
        parse_duration("0.5", natural="ms")


@pytest.mark.parametrize(("text", "kilobytes"), [("10KB/s", 10), ("2MB/s", 2000), ("0KB/s", 0)])
def test_a_rate(text: str, kilobytes: int) -> None:
    assert parse_rate(text) == kilobytes


@pytest.mark.parametrize("text", ["10", "10KB", "KB/s", "1.5KB/s", "-1KB/s", "10 KB/s", "10kb/s"])
def test_no_rate(text: str) -> None:
    with pytest.raises(DurationError):
        parse_rate(text)


@given(st.integers(min_value=0, max_value=MAX_DURATION_S * 10**6))
def test_what_is_said_can_be_read_back_exactly(microseconds: int) -> None:
    exact = Fraction(microseconds, 10**6)
    said = spoken(float(exact)).replace(" ", "")
    digits = re.match("[0-9]*", said)
    assert digits is not None
    if len(digits[0]) <= 9:
        assert parse_duration(said) == exact


@given(st.lists(st.tuples(st.integers(0, 999), st.sampled_from(list(SECONDS))), max_size=3))
def test_the_pattern_of_the_schema_and_the_parser_agree(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    try:
        parse_duration(text)
    except DurationError:
        assert not re.search(DURATION_PATTERN, text)
    else:
        assert re.search(DURATION_PATTERN, text)
