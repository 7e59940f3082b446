"""The fault vocabulary: Toxiproxy's toxics with their attributes and units, checked when they are made.

Toxiproxy ignores misspelt attributes and checks no range (a slicer without `average_size` kills its server), so a wrong
scenario would silently test nothing. Here each mistake is an error that names the attribute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Stream: TypeAlias = Literal["upstream", "downstream"]
STREAMS: tuple[Stream, ...] = ("upstream", "downstream")


class ToxicError(Exception):
    """A toxic that cannot be used as asked."""


class InvalidToxic(ToxicError, ValueError):
    """An unknown type or stream, or an attribute that is unknown, missing or out of range."""


class ToxicExists(ToxicError):
    """The proxy already has a toxic of that name (names are unique over both streams)."""


class ToxicNotFound(ToxicError, KeyError):
    """The proxy has no toxic of that name."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class Attribute:
    """One integer attribute: its unit, its smallest value, and its default (None: it has to be given)."""

    unit: str
    least: int = 0
    default: int | None = 0


ATTRIBUTES: Mapping[str, Mapping[str, Attribute]] = {
    "latency": {"latency": Attribute("ms"), "jitter": Attribute("ms")},
    "bandwidth": {"rate": Attribute("KB/s")},
    "slow_close": {"delay": Attribute("ms")},
    "timeout": {"timeout": Attribute("ms")},
    "reset_peer": {"timeout": Attribute("ms")},
    "slicer": {
        "average_size": Attribute("bytes", least=1, default=None),
        "size_variation": Attribute("bytes"),
        "delay": Attribute("µs"),
    },
    "limit_data": {"bytes": Attribute("bytes")},
    "noop": {},
    "down": {},
}
"""Every type of toxic. `noop` lets everything pass. `down` is Toxiproxy's `enabled: false` under the name that its
clients give it."""


@dataclass(frozen=True, slots=True)
class Toxic:
    """One fault on one stream of a proxy.

    `toxicity` is the share of connections that it strikes, drawn once per connection. `attributes` are completed with
    their defaults. Raises InvalidToxic.
    """

    type: str
    stream: Stream = "downstream"
    name: str = ""
    toxicity: float = 1.0
    attributes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.type not in ATTRIBUTES:
            raise InvalidToxic(f"unknown toxic type {self.type!r}; use one of {', '.join(ATTRIBUTES)}")
        if self.stream not in STREAMS:
            raise InvalidToxic(f"{self.type}: stream is {self.stream!r}; use upstream or downstream")
        if isinstance(self.toxicity, bool) or not 0 <= self.toxicity <= 1:
            raise InvalidToxic(f"{self.type}: toxicity is {self.toxicity!r}; use a number from 0 to 1")
        if not self.name:
            object.__setattr__(self, "name", f"{self.type}_{self.stream}")
        object.__setattr__(self, "attributes", _checked(self.type, self.attributes))

    def describe(self) -> str:
        """The toxic in words, with units."""
        values = ", ".join(
            f"{name} {value} {ATTRIBUTES[self.type][name].unit}" for name, value in self.attributes.items()
        )
        share = "" if self.toxicity == 1 else f" on {self.toxicity:.0%} of the connections"
        return f"{self.type} {self.stream}{f' ({values})' if values else ''}{share}"


def _checked(type_: str, given: Mapping[str, int]) -> dict[str, int]:
    known = ATTRIBUTES[type_]
    for name in given:
        if name not in known:
            allowed = f"use {', '.join(known)}" if known else "it takes none"
            raise InvalidToxic(f"{type_}: unknown attribute {name!r}; {allowed}")
    values = {}
    for name, rule in known.items():
        value = given.get(name, rule.default)
        if value is None:
            raise InvalidToxic(f"{type_}: attribute {name!r} is missing; give it in {rule.unit}")
        if isinstance(value, bool) or not isinstance(value, int) or value < rule.least:
            raise InvalidToxic(
                f"{type_}: attribute {name!r} is {value!r}; give a whole number of {rule.unit}, at least {rule.least}"
            )
        values[name] = value
    if type_ == "slicer" and values["size_variation"] >= values["average_size"]:
        raise InvalidToxic("slicer: attribute 'size_variation' must be smaller than 'average_size'")
    return values


NOOP = Toxic("noop")
"""What stands in the place of a toxic on a connection that it does not strike."""
