"""YAML text to a tree of nodes that know their line and column. Nothing is executed and nothing is converted.

The theory: which type a scalar has is decided by the key it stands under, not by its looks, so a scalar stays text
(`on:` is no boolean, `no` is a fine task). Only YAML's shapes are used: explicit tags are refused. A file is bounded in
bytes, in values and in depth; an alias is a copy of its anchor and counts in full, so an alias bomb ends early.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from sim.scenario.problems import Problem, ScenarioError, quoted, with_article

MAX_SIZE_BYTES = 256 * 1024
MAX_VALUES = 10_000
MAX_DEPTH = 20

_LEAST = "a scenario needs at least title, workspaces and steps"
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(frozen=True, slots=True)
class Place:
    """Line and column, both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text; `plain` when it was written without quotes."""

    place: Place
    text: str
    plain: bool

    @property
    def is_null(self) -> bool:
        """Nothing was written, or one of YAML's words for it."""
        return self.plain and self.text in _NULLS


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    place: Place
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys in the order of the file; no key comes twice."""

    place: Place
    entries: tuple[tuple[Scalar, Node], ...]

    def get(self, key: str) -> Node | None:
        """The value of `key`, or None."""
        return next((value for name, value in self.entries if name.text == key), None)


Node: TypeAlias = Scalar | Sequence | Mapping


@dataclass(slots=True)
class Source:
    """A file as it was read, and the mistakes found in it so far."""

    path: str
    lines: tuple[str, ...]
    problems: list[Problem] = field(default_factory=list)

    def mistake(
        self, place: Place, message: str, *, allowed: tuple[str, ...] = (), suggestion: str | None = None
    ) -> None:
        """Note a mistake; reading goes on."""
        line = self.lines[place.line - 1] if place.line <= len(self.lines) else ""
        self.problems.append(
            Problem(
                path=self.path,
                line=place.line,
                column=place.column,
                message=message,
                allowed=allowed,
                suggestion=suggestion,
                source_line=line,
            )
        )

    def error(self) -> ScenarioError:
        """All mistakes so far, in the order of the file."""
        return ScenarioError(sorted(self.problems, key=lambda problem: (problem.line, problem.column)))


def decode(data: bytes, path: str) -> str:
    """The text of a file; raises `ScenarioError` when it is too large or not UTF-8."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    if len(data) > MAX_SIZE_BYTES:
        raise ScenarioError([Problem(path=path, line=0, column=0, message=_TOO_MANY_BYTES)])
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        source = Source(path, _lines(data.decode("utf-8", "replace")))
        wrong = f"not UTF-8: byte 0x{data[error.start]:02x}; save the file as UTF-8"
        source.mistake(_place_of(before), wrong)
        raise source.error() from None


def parse(text: str, path: str, *, noun: str = "scenario", least: str = _LEAST) -> tuple[Source, Node]:
    """The tree of a text, with duplicate keys noted in the source; raises `ScenarioError` when there is no tree.

    `noun`: what the file is, for messages; `least`: what it has to hold.
    """
    source = Source(path, _lines(text))
    if len(text) > MAX_SIZE_BYTES:
        raise ScenarioError([Problem(path=path, line=0, column=0, message=_TOO_MANY_BYTES)])
    try:
        return source, _Composer(source, yaml.SafeLoader(text), noun, least).document()
    except yaml.reader.ReaderError as error:
        source.mistake(_place_of(text[: error.position]), f"character U+{error.character:04X} is not allowed in YAML")
    except _Stop as stop:
        source.mistake(stop.place, stop.message)
    raise source.error() from None


_TOO_MANY_BYTES = f"larger than {MAX_SIZE_BYTES // 1024} KiB: split the scenario into several files"


class _Stop(Exception):
    """A mistake after which there is no tree."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place
        self.message = message


class _Composer:
    """Builds nodes from PyYAML's events: its parser does not recurse, so only we do, no deeper than allowed."""

    def __init__(self, source: Source, loader: yaml.SafeLoader, noun: str, least: str) -> None:
        self._source = source
        self._noun = noun
        self._least = least
        self._loader = loader
        self._anchors: dict[str, Node] = {}
        self._count = 0

    def document(self) -> Node:
        self._next()  # the start of the stream
        first = self._next()
        if isinstance(first, yaml.StreamEndEvent):
            raise _Stop(Place(1, 1), f"the file is empty: {self._least}")
        node = self._node(self._next(), depth=1)
        self._next()  # the end of the document
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            raise _Stop(_place(after), f"a second document begins here: one file holds one {self._noun}")
        return node

    def _next(self) -> yaml.Event:
        try:
            event: yaml.Event = self._loader.get_event()  # type: ignore[no-untyped-call]
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark or self._loader.get_mark()
            detail = ", ".join(part for part in (error.context, error.problem) if part)
            raise _Stop(_place_of_mark(mark), f"not valid YAML: {detail}") from None
        except (ValueError, OverflowError):  # PyYAML hands such numbers to chr() and int() unchecked
            here = _place_of_mark(self._loader.get_mark())
            raise _Stop(here, "not valid YAML: an escape or a number that stands for nothing") from None
        return event

    def _node(self, event: yaml.Event, *, depth: int) -> Node:
        place = _place(event)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise _Stop(place, f"alias *{event.anchor} has no complete anchor &{event.anchor} before it")
            return self._copy(self._anchors[event.anchor], place, depth=depth)
        self._grow(place, depth)
        if not isinstance(event, yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent):
            raise AssertionError(f"no node begins with {event}")
        if event.tag not in (None, "!"):
            self._source.mistake(
                place, f"tag {quoted(event.tag)} is not allowed: {with_article(self._noun)} holds plain values only"
            )
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = Scalar(place, event.value, event.style is None)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = Sequence(place, tuple(self._items(depth)))
        else:
            node = Mapping(place, tuple(self._entries(depth)))
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _items(self, depth: int) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, depth=depth + 1))
        return items

    def _entries(self, depth: int) -> list[tuple[Scalar, Node]]:
        entries: dict[str, tuple[Scalar, Node]] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._node(event, depth=depth + 1)
            value = self._node(self._next(), depth=depth + 1)
            if not isinstance(key, Scalar):
                self._source.mistake(key.place, "a key must be a word, not a list or a mapping")
            elif key.text in entries:
                first = entries[key.text][0].place.line
                self._source.mistake(key.place, f"key {quoted(key.text)} is here twice, first in line {first}")
            else:
                entries[key.text] = (key, value)
        return list(entries.values())

    def _copy(self, node: Node, place: Place, *, depth: int) -> Node:
        """A node of its own for each use, so that a node's identity says where in the file it is used."""
        self._grow(place, depth)
        match node:
            case Scalar():
                return Scalar(node.place, node.text, node.plain)
            case Sequence():
                return Sequence(node.place, tuple(self._copy(item, place, depth=depth + 1) for item in node.items))
            case Mapping():
                return Mapping(
                    node.place,
                    tuple(
                        (
                            Scalar(key.place, key.text, key.plain),
                            self._copy(value, place, depth=depth + 1),
                        )
                        for key, value in node.entries
                    ),
                )

    def _grow(self, place: Place, depth: int) -> None:
        self._count += 1
        if self._count > MAX_VALUES:
            raise _Stop(place, f"more than {MAX_VALUES} values, where each use of an alias counts in full")
        if depth > MAX_DEPTH:
            raise _Stop(place, f"nested deeper than {MAX_DEPTH} levels")


def _lines(text: str) -> tuple[str, ...]:
    return tuple(_LINE_BREAK.split(text))


def _place_of(before: str) -> Place:
    """The place right after `before`."""
    lines = _lines(before)
    return Place(len(lines), len(lines[-1]) + 1)


def _place(event: yaml.Event) -> Place:
    return _place_of_mark(event.start_mark)


def _place_of_mark(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)
