"""Toxiproxy's toxics as a table: names, attributes, units and ranges, and how a scenario writes them.

The theory: Toxiproxy ignores a misspelt attribute and checks no range (an `average_size` of 0 never ends, a `rate` of 0
never moves), and its units differ (the `delay` of a slicer is in microseconds). Here every attribute is checked, and
what has a unit is written with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sim.scenario.containers import Shared
from sim.scenario.fields import Field, Found, Record, Tagged
from sim.scenario.model import AddToxic
from sim.scenario.reader import Reader
from sim.scenario.references import LinkName
from sim.scenario.scalars import Rate, Share, Ticks, Whole, Word

MAX_BYTES = 1_000_000_000
_ATTRIBUTE = "attribute:"
_BYTES = Whole(0, MAX_BYTES, "a number of bytes")


def _attribute(key: str, reader: Reader[int], help: str, *, required: bool = False) -> Field:
    return Field(key, reader, help, _ATTRIBUTE + key, required)


def _check_variation(found: Found) -> None:
    """Toxiproxy draws a size between average - variation and average + variation, which has to stay above zero."""
    size, variation = found.values.get("attribute:average_size"), found.values.get("attribute:size_variation", 0)
    if size is not None and variation >= size:
        found.mistake_at("size_variation", f"size_variation {variation} must be smaller than average_size {size}")


_ATTRIBUTES: dict[str, tuple[Field, ...]] = {
    "latency": (
        _attribute("latency", Ticks("ms"), "Delay of every chunk", required=True),
        _attribute("jitter", Ticks("ms"), "The delay varies by as much, up and down"),
    ),
    "bandwidth": (_attribute("rate", Rate(), "Bytes that pass in a second", required=True),),
    "slow_close": (_attribute("delay", Ticks("ms"), "Delay of the end of the connection", required=True),),
    "timeout": (
        _attribute(
            "timeout",
            Ticks("ms"),
            "Nothing passes, and the connection ends after this long; 0s: it never ends",
            required=True,
        ),
    ),
    "reset_peer": (_attribute("timeout", Ticks("ms"), "How long after the first chunk the connection is reset"),),
    "slicer": (
        _attribute("average_size", Whole(1, MAX_BYTES, "a number of bytes"), "Bytes in a slice", required=True),
        _attribute("size_variation", _BYTES, "The size varies by as many bytes, up and down"),
        _attribute("delay", Ticks("us"), "Delay between two slices"),
    ),
    "limit_data": (_attribute("bytes", _BYTES, "The connection ends after so many bytes", required=True),),
}
_JUDGES: dict[str, Callable[[Found], None]] = {"slicer": _check_variation}


def _toxic(*, type: str, link: str = "", **rest: Any) -> AddToxic:
    """A link that was left out is "": the fault that holds the toxic knows it."""
    attributes = {key.removeprefix(_ATTRIBUTE): rest.pop(key) for key in sorted(rest) if key.startswith(_ATTRIBUTE)}
    return AddToxic(link=link, type=type, attributes=attributes, **rest)


def _record(type: str) -> Record[AddToxic]:
    common = (
        Field("type", Word("a toxic", (type,)), f"The toxic {type}", required=True),
        Field("link", LinkName(), "The link it is put on; the trigger's own link if left out"),
        Field(
            "stream",
            Word("a stream", ("upstream", "downstream")),
            "downstream (default): from the server; upstream: to it",
        ),
        Field("toxicity", Share(), "The share of connections that are hit, more than 0 and at most 1"),
    )
    return Record(f"a {type!r} toxic", _toxic, (*common, *_ATTRIBUTES[type]), judge=_JUDGES.get(type))


TOXIC: Reader[AddToxic] = Shared("toxic", Tagged("a toxic", "type", {type: _record(type) for type in _ATTRIBUTES}))
