"""What reading a node means: a `Reader` gives a value, or notes mistakes and raises `Rejected`.

The theory: what may stand where is itself a value, so that reading and the JSON Schema come from one table and cannot
drift apart. A reader with parts reads all of them before it gives up: every mistake is found in one go. The schema
says what the reader takes as far as JSON Schema can: it may be more lenient (it knows no names), never stricter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeAlias, TypeVar

from sim.scenario.names import Names
from sim.scenario.problems import closest, quoted
from sim.scenario.source import Mapping, Node, Place, Scalar, Sequence, Source

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Schema: TypeAlias = dict[str, Any]


class Rejected(Exception):
    """There is no value; the mistakes have been noted."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What readers share while a file is read: where mistakes are noted, and the names that the file declares."""

    source: Source
    names: Names

    def reject(
        self, place: Place, message: str, *, allowed: Iterable[str] = (), suggestion: str | None = None
    ) -> NoReturn:
        """Note a mistake and give up this value."""
        self.source.mistake(place, message, allowed=tuple(allowed), suggestion=suggestion)
        raise Rejected

    def reject_word(self, word: Scalar, message: str, options: tuple[str, ...]) -> NoReturn:
        """Note that a word is none of the options, and propose the nearest one."""
        self.reject(word.place, message, allowed=options, suggestion=closest(word.text, options))


class Reader(ABC, Generic[T_co]):
    """Reads one node."""

    @abstractmethod
    def read(self, node: Node, reading: Reading) -> T_co:
        """The value; raises `Rejected` after noting every mistake in it."""

    @abstractmethod
    def schema(self, definitions: dict[str, Schema]) -> Schema:
        """JSON Schema (draft 7) of what is read; shared parts are added to `definitions`."""


def attempt(reader: Reader[T], node: Node, reading: Reading) -> tuple[T] | tuple[()]:
    """The value alone, or nothing when it was rejected."""
    try:
        return (reader.read(node, reading),)
    except Rejected:
        return ()


def written(node: Node, reading: Reading, expected: str) -> Scalar:
    """The node as a scalar that is not empty; rejected as "expected ..., found ..." otherwise."""
    if not isinstance(node, Scalar) or node.is_null:
        reading.reject(node.place, f"expected {expected}, found {kind_of(node)}")
    return node


def kind_of(node: Node) -> str:
    """What a node is, for a message."""
    match node:
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list"
        case Scalar():
            return "nothing" if node.is_null else quoted(node.text)
