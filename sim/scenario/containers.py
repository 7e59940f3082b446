"""Readers around readers, lists, and mappings from names; what has known keys stands in `fields`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sim.scenario.reader import Reader, Reading, Rejected, Schema, T, attempt, kind_of
from sim.scenario.source import Mapping, Node, Scalar, Sequence


@dataclass(frozen=True, slots=True)
class Shared(Reader[T]):
    """A reader that stands among the schema's definitions, under `name`, however often it is used."""

    name: str
    reader: Reader[T]

    def read(self, node: Node, reading: Reading) -> T:
        return self.reader.read(node, reading)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        if self.name not in definitions:
            definitions[self.name] = self.reader.schema(definitions)
        return {"$ref": f"#/definitions/{self.name}"}


@dataclass(frozen=True, slots=True)
class Made(Reader[T]):
    """What `build` makes of a value."""

    reader: Reader[Any]
    build: Callable[[Any], T]

    def read(self, node: Node, reading: Reading) -> T:
        return self.build(self.reader.read(node, reading))

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return self.reader.schema(definitions)


@dataclass(frozen=True, slots=True)
class Lone(Reader[T]):
    """A lone word for the usual case, a mapping for all the others."""

    word: Reader[T]
    mapping: Reader[T]

    def read(self, node: Node, reading: Reading) -> T:
        return (self.word if isinstance(node, Scalar) else self.mapping).read(node, reading)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"anyOf": [self.word.schema(definitions), self.mapping.schema(definitions)]}


@dataclass(frozen=True, slots=True)
class ListOf(Reader[tuple[T, ...]]):
    """A list of at least `least` items."""

    item: Reader[T]
    what: str
    least: int = 0

    def read(self, node: Node, reading: Reading) -> tuple[T, ...]:
        if not isinstance(node, Sequence):
            reading.reject(node.place, f"expected a list of {self.what}, found {kind_of(node)}")
        items = tuple(value for item in node.items for value in attempt(self.item, item, reading))
        if len(node.items) < self.least:
            reading.reject(node.place, f"expected at least {self.least} {self.what}, found {len(node.items)}")
        if len(items) < len(node.items):
            raise Rejected
        return items

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "array", "items": self.item.schema(definitions), "minItems": self.least}


@dataclass(frozen=True, slots=True)
class OneOrMore(Reader[tuple[T, ...]]):
    """A list of at least one item, or an item alone."""

    item: Reader[T]
    what: str

    def read(self, node: Node, reading: Reading) -> tuple[T, ...]:
        if isinstance(node, Sequence):
            return ListOf(self.item, self.what, least=1).read(node, reading)
        return (self.item.read(node, reading),)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        several = ListOf(self.item, self.what, least=1).schema(definitions)
        return {"anyOf": [self.item.schema(definitions), several]}


@dataclass(frozen=True, slots=True)
class Entries(Reader[tuple[T, ...]]):
    """A mapping whose keys are names, one value an entry; a value learns its name from `Names.of_node`."""

    key: Reader[str]
    item: Reader[T]
    what: str
    least: int = 0

    def read(self, node: Node, reading: Reading) -> tuple[T, ...]:
        if not isinstance(node, Mapping):
            reading.reject(node.place, f"expected a mapping from names to {self.what}, found {kind_of(node)}")
        keys = [name for key, _ in node.entries for name in attempt(self.key, key, reading)]
        items = [value for _, entry in node.entries for value in attempt(self.item, entry, reading)]
        if len(node.entries) < self.least:
            reading.reject(node.place, f"expected at least {self.least} {self.what}, found {len(node.entries)}")
        if min(len(keys), len(items)) < len(node.entries):
            raise Rejected
        return tuple(items)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {
            "type": "object",
            "propertyNames": self.key.schema(definitions),
            "additionalProperties": self.item.schema(definitions),
            "minProperties": self.least,
        }
