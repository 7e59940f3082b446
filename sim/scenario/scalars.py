"""Readers of single values: texts, words, numbers, durations, rates."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sim.scenario.durations import (
    DURATION_PATTERN,
    RATE_PATTERN,
    SECONDS,
    DurationError,
    Unit,
    parse_duration,
    parse_rate,
)
from sim.scenario.problems import quoted
from sim.scenario.reader import Reader, Reading, Schema, kind_of, written
from sim.scenario.source import Node, Scalar

INTEGER = re.compile("-?[0-9]{1,18}")
DECIMAL = re.compile(r"-?[0-9]{1,18}\.[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Text(Reader[str]):
    """Any scalar, as it was written; with a pattern, a name or an id (`what` explains the pattern)."""

    what: str = "a text"
    pattern: str = ""

    def read(self, node: Node, reading: Reading) -> str:
        text = written(node, reading, self.what).text
        if self.pattern and not re.fullmatch(self.pattern, text):
            reading.reject(node.place, f"expected {self.what}, found {quoted(text)}")
        return text

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        if self.pattern:
            return {"type": "string", "pattern": f"^(?:{self.pattern})$"}
        return {"type": ["string", "number", "boolean"]}


@dataclass(frozen=True, slots=True)
class Word(Reader[str]):
    """One of some words."""

    what: str
    options: tuple[str, ...]

    def read(self, node: Node, reading: Reading) -> str:
        word = written(node, reading, self.what)
        if word.text not in self.options:
            reading.reject_word(word, f"{quoted(word.text)} is not {self.what}", self.options)
        return word.text

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"enum": list(self.options)}


@dataclass(frozen=True, slots=True)
class WordOr(Reader[Any]):
    """A word that stands for a value (`none`, `half`), or else what `reader` reads."""

    words: dict[str, Any]
    reader: Reader[Any]

    def read(self, node: Node, reading: Reading) -> Any:
        if isinstance(node, Scalar) and node.text in self.words:
            return self.words[node.text]
        return self.reader.read(node, reading)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"anyOf": [{"enum": list(self.words)}, self.reader.schema(definitions)]}


@dataclass(frozen=True, slots=True)
class Whole(Reader[int]):
    """A whole number from `least` to `most`; `what` says it in words, with the words that stand beside it."""

    least: int
    most: int
    what: str = "a whole number"

    def read(self, node: Node, reading: Reading) -> int:
        expected = f"{self.what} from {self.least} to {self.most}"
        number = written(node, reading, expected)
        if not number.plain or not INTEGER.fullmatch(number.text):
            reading.reject(node.place, f"expected {expected}, found {quoted(number.text)}")
        if not self.least <= int(number.text) <= self.most:
            reading.reject(node.place, f"expected {expected}, found {number.text}")
        return int(number.text)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class CountOrText(Reader[int | str]):
    """A plain number is a count, anything else a text to look for."""

    count: Whole

    def read(self, node: Node, reading: Reading) -> int | str:
        word = written(node, reading, "a number or a text")
        return self.count.read(word, reading) if word.plain and INTEGER.fullmatch(word.text) else word.text

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"anyOf": [self.count.schema(definitions), Text().schema(definitions)]}


@dataclass(frozen=True, slots=True)
class Share(Reader[float]):
    """A share of all, more than 0 and at most 1."""

    def read(self, node: Node, reading: Reading) -> float:
        expected = "a number more than 0 and at most 1"
        number = written(node, reading, expected)
        known = number.plain and (INTEGER.fullmatch(number.text) or DECIMAL.fullmatch(number.text))
        if not known or not 0 < float(number.text) <= 1:
            reading.reject(node.place, f"expected {expected}, found {quoted(number.text)}")
        return float(number.text)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "number", "exclusiveMinimum": 0, "maximum": 1}


@dataclass(frozen=True, slots=True)
class Duration(Reader[float]):
    """A duration with its unit, in seconds; `positive` refuses zero."""

    positive: bool = False

    def read(self, node: Node, reading: Reading) -> float:
        return float(read_duration(node, reading, natural="s", positive=self.positive))

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "pattern": DURATION_PATTERN}


@dataclass(frozen=True, slots=True)
class Ticks(Reader[int]):
    """A duration with its unit, as a whole number of `unit`s, for Toxiproxy's attributes."""

    unit: Unit

    def read(self, node: Node, reading: Reading) -> int:
        ticks = read_duration(node, reading, natural=self.unit, positive=False) / SECONDS[self.unit]
        if ticks.denominator != 1:
            reading.reject(
                node.place, f"expected a whole number of {self.unit}, as Toxiproxy counts them, found {kind_of(node)}"
            )
        return int(ticks)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "pattern": DURATION_PATTERN}


@dataclass(frozen=True, slots=True)
class Rate(Reader[int]):
    """Bytes over time with a unit, in KB/s."""

    def read(self, node: Node, reading: Reading) -> int:
        text = written(node, reading, "a rate such as 10KB/s").text
        try:
            rate = parse_rate(text)
        except DurationError as error:
            reading.reject(node.place, str(error))
        if rate == 0:
            reading.reject(node.place, "a rate of 0 never moves a byte: use {type: timeout, timeout: 0s} for silence")
        return rate

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "pattern": RATE_PATTERN}


def read_duration(node: Node, reading: Reading, *, natural: Unit, positive: bool) -> Fraction:
    """Exact seconds; rejected with what to write instead."""
    text = written(node, reading, "a duration such as 5s").text
    try:
        duration = parse_duration(text, natural=natural)
    except DurationError as error:
        reading.reject(node.place, str(error), suggestion=error.suggestion)
    if positive and not duration:
        reading.reject(node.place, f"expected a duration of more than nothing, found {text}")
    return duration
