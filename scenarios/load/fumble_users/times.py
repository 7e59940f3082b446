"""When arrivals are due: the times follow from the shape alone, the k-th being due when the rate adds up to k."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_STEP_S = 0.001


def times(told: Mapping[str, Any], duration_s: float, share_of: int, chance: random.Random) -> Iterator[float]:
    """When each arrival is due, in seconds since the beginning, for one of `share_of` equal parts."""
    if told["shape"] == "soak":
        at_s = 0.0
        while (at_s := at_s + chance.expovariate(told["rate"] / share_of)) < duration_s:
            yield at_s
        return
    rate = _rate(told, duration_s)
    owed = chance.random()
    for step in range(int(duration_s / _STEP_S)):
        owed += rate(step * _STEP_S) * _STEP_S / share_of
        while owed >= 1:
            owed -= 1
            yield step * _STEP_S


def _rate(told: Mapping[str, Any], duration_s: float) -> Callable[[float], float]:
    """Arrivals a second, by the time."""
    if told["shape"] == "constant":
        return lambda at_s: float(told["rate"])
    if told["shape"] == "ramp":
        first, last = told["from_rate"], told["to_rate"]
        return lambda at_s: float(first + (last - first) * at_s / duration_s)
    begins_s, ends_s = told["at_s"], told["at_s"] + told["for_s"]
    return lambda at_s: float(told["peak"] if begins_s <= at_s < ends_s else told["rate"])
