"""When the bytes of a chunk are due, and in which pieces: the toxics that only delay, as pure functions."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

BANDWIDTH_STEP_MS = 100
"""A throttled stream leaves in portions of this duration, as in Toxiproxy."""

_MS, _US = 1e-3, 1e-6

Timing: TypeAlias = Callable[[Mapping[str, int], random.Random, bytes, float], Iterator[tuple[float, bytes]]]
"""(attributes, random, chunk, seconds the line is still busy) -> pieces, each due in so many seconds, ascending."""


def _latency(
    attributes: Mapping[str, int], draw: random.Random, data: bytes, busy_s: float
) -> Iterator[tuple[float, bytes]]:
    jitter_ms = attributes["jitter"]
    delay_ms = attributes["latency"] + (draw.uniform(-jitter_ms, jitter_ms) if jitter_ms else 0)
    yield max(busy_s, delay_ms * _MS), data


def _bandwidth(
    attributes: Mapping[str, int], draw: random.Random, data: bytes, busy_s: float
) -> Iterator[tuple[float, bytes]]:
    bytes_per_ms = attributes["rate"]  # 1 KB/s is 1 byte a millisecond
    if bytes_per_ms == 0:
        yield math.inf, data
        return
    portion = bytes_per_ms * BANDWIDTH_STEP_MS
    for start in range(0, len(data), portion):
        piece = data[start : start + portion]
        busy_s += len(piece) / bytes_per_ms * _MS
        yield busy_s, piece


def _pass(
    attributes: Mapping[str, int], draw: random.Random, data: bytes, busy_s: float
) -> Iterator[tuple[float, bytes]]:
    yield busy_s, data


def _slicer(
    attributes: Mapping[str, int], draw: random.Random, data: bytes, busy_s: float
) -> Iterator[tuple[float, bytes]]:
    for piece in _halve(data, attributes["average_size"], attributes["size_variation"], draw):
        yield busy_s, piece
        busy_s += attributes["delay"] * _US


def _halve(data: bytes, average: int, variation: int, draw: random.Random) -> Iterator[bytes]:
    if len(data) - average <= variation:
        yield data
        return
    cut = len(data) // 2 + (draw.randint(-variation, variation) if variation else 0)
    cut = min(max(cut, 1), len(data) - 1)
    yield from _halve(data[:cut], average, variation, draw)
    yield from _halve(data[cut:], average, variation, draw)


TIMINGS: Mapping[str, Timing] = {
    "latency": _latency,
    "bandwidth": _bandwidth,
    "slow_close": _pass,
    "slicer": _slicer,
    "noop": _pass,
}
