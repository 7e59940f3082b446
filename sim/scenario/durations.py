"""Durations and rates as people write them, always with a unit: `100ms`, `5s`, `1m30s`, `10KB/s`.

The theory: a bare number is the commonest mistake in fault scripts (is `5` seconds or Toxiproxy's milliseconds?), so it
is never read, and the message says what to write. Arithmetic is exact (`Fraction`) until the last step.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal, TypeAlias

Unit: TypeAlias = Literal["d", "h", "m", "s", "ms", "us"]

SECONDS: dict[Unit, Fraction] = {
    "d": Fraction(86400),
    "h": Fraction(3600),
    "m": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 1_000),
    "us": Fraction(1, 1_000_000),
}
MAX_DURATION_S = 3650 * 86400

_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
DURATION_PATTERN = f"^(?=[0-9]){''.join(f'(?:{_NUMBER}{unit})?' for unit in SECONDS)}$"
_DURATION = re.compile(f"(?=[0-9]){''.join(f'(?:({_NUMBER}){unit})?' for unit in SECONDS)}", re.ASCII)
_BARE_NUMBER = re.compile(_NUMBER, re.ASCII)
_NEARLY = re.compile(rf"({_NUMBER})\s*([A-Za-zµμ]+)", re.ASCII)
_WORDS: dict[str, Unit] = {
    **dict.fromkeys(("day", "days"), "d"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("msec", "millis", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("µs", "μs", "usec", "microsecond", "microseconds"), "us"),
}

RATES_KB_PER_S = {"KB/s": 1, "MB/s": 1000}
RATE_PATTERN = f"^[0-9]{{1,9}}(?:{'|'.join(RATES_KB_PER_S)})$"


class DurationError(ValueError):
    """The text is no duration or rate; `suggestion` is what was probably meant."""

    def __init__(self, message: str, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.suggestion = suggestion


def parse_duration(text: str, *, natural: Unit = "s") -> Fraction:
    """Seconds, exactly. `natural` is the unit proposed for a bare number. Raises `DurationError`."""
    if match := _DURATION.fullmatch(text):
        total = sum(
            (Fraction(part) * size for part, size in zip(match.groups(), SECONDS.values(), strict=True) if part),
            start=Fraction(0),
        )
        if total > MAX_DURATION_S:
            raise DurationError(f"{text} is longer than ten years")
        return total
    if _BARE_NUMBER.fullmatch(text):
        raise DurationError(f"{text} has no unit: write {text}{natural}")
    raise DurationError(
        f"expected a duration such as 100ms, 5s or 1m30s (units {', '.join(SECONDS)}), found {text!r}", _nearly(text)
    )


def parse_rate(text: str) -> int:
    """Kilobytes (of 1000 bytes) a second. Raises `DurationError`."""
    for unit, kilobytes in RATES_KB_PER_S.items():
        number = text.removesuffix(unit)
        if number != text and re.fullmatch("[0-9]{1,9}", number):
            return int(number) * kilobytes
    if _BARE_NUMBER.fullmatch(text):
        raise DurationError(f"{text} has no unit: write {text}KB/s")
    raise DurationError(f"expected a rate such as 10KB/s or 1MB/s, found {text!r}")


def spoken(seconds: float) -> str:
    """A duration for a sentence, in the largest unit that keeps it whole: `100 ms`, `90 s`, `10 m`."""
    microseconds = round(Fraction(seconds) * 1_000_000)
    for unit, size in SECONDS.items():
        if microseconds and microseconds % (size * 1_000_000) == 0:
            return f"{microseconds // (size * 1_000_000)} {unit}"
    return "0 s"


def _nearly(text: str) -> str | None:
    """`5 sec`, `5S` and `5µs` as they ought to be written, or None."""
    match = _NEARLY.fullmatch(text.strip())
    if match is None:
        return None
    word = match[2].lower()
    unit = word if word in SECONDS else _WORDS.get(word)
    return f"{match[1]}{unit}" if unit else None
