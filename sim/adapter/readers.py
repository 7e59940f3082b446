"""Readers of what only an adapter has: paths and bodies with placeholders, switches, names of variables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sim.scenario.problems import closest, quoted
from sim.scenario.reader import Reader, Reading, Rejected, Schema, kind_of, written
from sim.scenario.scalars import DECIMAL, INTEGER
from sim.scenario.source import Mapping, Node, Scalar, Sequence

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_SWITCH = {"true": True, "false": False}
_HOSTS = ("127.0.0.1", "localhost")


@dataclass(frozen=True, slots=True)
class Switch(Reader[bool]):
    """true or false."""

    def read(self, node: Node, reading: Reading) -> bool:
        word = written(node, reading, "true or false")
        if not word.plain or word.text not in _SWITCH:
            reading.reject(node.place, f"expected true or false, found {quoted(word.text)}")
        return _SWITCH[word.text]

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class PathOf(Reader[str]):
    """A path that begins with /, in which only `placeholders` stand in braces."""

    placeholders: tuple[str, ...]

    def read(self, node: Node, reading: Reading) -> str:
        path = written(node, reading, "a path such as /v1/workspaces").text
        if not re.fullmatch(r"/[!-~]*", path):
            reading.reject(node.place, f"expected a path that begins with / and has no spaces, found {quoted(path)}")
        check_placeholders(path, self.placeholders, node, reading)
        return path

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "pattern": "^/[!-~]*$"}


@dataclass(frozen=True, slots=True)
class Request(Reader[tuple[str, str]]):
    """A method and a path: `POST /workspaces`."""

    placeholders: tuple[str, ...]

    def read(self, node: Node, reading: Reading) -> tuple[str, str]:
        text = written(node, reading, "a request such as POST /workspaces").text
        match = re.fullmatch(r"(POST|PUT|PATCH) (/[!-~]*)", text)
        if match is None:
            reading.reject(node.place, f"expected POST, PUT or PATCH and a path, found {quoted(text)}")
        check_placeholders(match[2], self.placeholders, node, reading)
        return match[1], match[2]

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "pattern": "^(?:POST|PUT|PATCH) /[!-~]*$"}


@dataclass(frozen=True, slots=True)
class Body(Reader[dict[str, Any]]):
    """A JSON object with placeholders in its texts."""

    placeholders: tuple[str, ...]

    def read(self, node: Node, reading: Reading) -> dict[str, Any]:
        if not isinstance(node, Mapping):
            reading.reject(node.place, f"expected the keys of a JSON object, found {kind_of(node)}")
        made = self._value(node, reading)
        assert isinstance(made, dict)
        return made

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "object"}

    def _value(self, node: Node, reading: Reading) -> Any:
        match node:
            case Mapping(entries=((key, Scalar(is_null=True)),)) if key.text in self.placeholders:
                reading.reject(node.place, f"braces alone make a mapping: write '{{{key.text}}}', in quotes")
            case Mapping(entries=entries):
                return {key.text: value for key, value in self._all([(key, value) for key, value in entries], reading)}
            case Sequence(items=items):
                return [value for _, value in self._all([(None, item) for item in items], reading)]
            case _:
                return self._scalar(node, reading)

    def _all(self, nodes: list[tuple[Any, Node]], reading: Reading) -> list[tuple[Any, Any]]:
        """Every value, with its key; rejected only when all of them have been read."""
        made, rejected = [], False
        for key, node in nodes:
            try:
                made.append((key, self._value(node, reading)))
            except Rejected:
                rejected = True
        if rejected:
            raise Rejected
        return made

    def _scalar(self, node: Scalar, reading: Reading) -> Any:
        if node.is_null:
            return None
        if node.plain and node.text in _SWITCH:
            return _SWITCH[node.text]
        if node.plain and INTEGER.fullmatch(node.text):
            return int(node.text)
        if node.plain and DECIMAL.fullmatch(node.text):
            return float(node.text)
        check_placeholders(node.text, self.placeholders, node, reading)
        return node.text


@dataclass(frozen=True, slots=True)
class Variables(Reader[dict[str, str]]):
    """Variables of an environment, with their values as texts."""

    def read(self, node: Node, reading: Reading) -> dict[str, str]:
        if not isinstance(node, Mapping):
            reading.reject(node.place, f"expected variables, such as PORT: 8080, found {kind_of(node)}")
        made: dict[str, str] = {}
        rejected = False
        for key, value in node.entries:
            try:
                if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", key.text):
                    reading.reject(key.place, f"expected the name of a variable, found {quoted(key.text)}")
                made[key.text] = written(value, reading, "the value of a variable").text
            except Rejected:
                rejected = True
        if rejected:
            raise Rejected
        return made

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}


@dataclass(frozen=True, slots=True)
class LoopbackPort(Reader[int]):
    """`127.0.0.1:6543`: a port of this machine's loopback."""

    def read(self, node: Node, reading: Reading) -> int:
        text = written(node, reading, "an address such as 127.0.0.1:6543").text
        host, _, port = text.rpartition(":")
        if host not in _HOSTS or not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
            reading.reject(node.place, f"expected an address such as 127.0.0.1:6543, found {quoted(text)}")
        return int(port)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "pattern": "^(?:127\\.0\\.0\\.1|localhost):[0-9]{1,5}$"}


def check_placeholders(text: str, known: tuple[str, ...], node: Node, reading: Reading) -> None:
    """Rejected if anything else than `known` stands in braces."""
    for name in _PLACEHOLDER.findall(text):
        if name not in known:
            allowed = tuple(f"{{{each}}}" for each in known)
            near = closest(name, known)
            reading.reject(
                node.place,
                f"{quoted(f'{{{name}}}')} stands for nothing here",
                allowed=allowed,
                suggestion=f"{{{near}}}" if near else None,
            )
