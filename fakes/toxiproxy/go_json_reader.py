"""JSON as Go's `encoding/json` reads it: what Toxiproxy accepts, and what it says of mistakes.

The differences to Python's `json` that clients can see: only the first value of a body is read, an object keeps its
members in order and those that come twice, a number keeps its spelling (Go refuses `1e2` for an integer), the messages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

_SPACE = re.compile(r"[ \t\r\n]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LITERALS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}
_HEX = frozenset("0123456789abcdefABCDEF")
_DIGITS = frozenset("0123456789")


class GoJsonError(Exception):
    """What Go's decoder says of a text that is no JSON, and at which character it says so."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written."""

    text: str


@dataclass(frozen=True, slots=True)
class Object:
    """The members in order; a name can come twice."""

    members: tuple[tuple[str, Value], ...]


Value: TypeAlias = "bool | str | Number | list[Value] | Object | None"


def read(text: bytes) -> Value:
    """The first value of `text`; what follows it is not looked at. Raises GoJsonError."""
    # A byte order mark is a character like any other to Go, and bytes that are no UTF-8 become U+FFFD.
    try:
        return _Reader(text.decode("utf-8", "replace")).value(0)
    except RecursionError:  # Go goes ten times as deep, and says the same
        raise GoJsonError("exceeded max depth", 0) from None


class _Reader:
    """One pass over a text; `_at` is the next character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def value(self, depth: int) -> Value:
        char = self._next_char()
        if not char:
            raise GoJsonError("unexpected EOF" if depth else "EOF", self._at)
        if char in "{[":
            return self._object(depth + 1) if char == "{" else self._array(depth + 1)
        if char == '"':
            return self._string()
        if char == "-" or char in _DIGITS:
            return self._number()
        for literal, value in _LITERALS.items():
            if char == literal[0]:
                return self._literal(literal, value)
        raise self._wrong("looking for beginning of value")

    def _object(self, depth: int) -> Object:
        self._at += 1
        members: list[tuple[str, Value]] = []
        if self._next_char() == "}":
            self._at += 1
            return Object(())
        while True:
            if self._next_char() != '"':
                raise self._wrong("looking for beginning of object key string")
            name = self._string()
            if self._next_char() != ":":
                raise self._wrong("after object key")
            self._at += 1
            members.append((name, self.value(depth)))
            if self._next_char() == "}":
                self._at += 1
                return Object(tuple(members))
            if self._next_char() != ",":
                raise self._wrong("after object key:value pair")
            self._at += 1

    def _array(self, depth: int) -> list[Value]:
        self._at += 1
        items: list[Value] = []
        if self._next_char() == "]":
            self._at += 1
            return items
        while True:
            items.append(self.value(depth))
            if self._next_char() == "]":
                self._at += 1
                return items
            if self._next_char() != ",":
                raise self._wrong("after array element")
            self._at += 1

    def _string(self) -> str:
        self._at += 1
        parts: list[str] = []
        while True:
            plain = _PLAIN.match(self._text, self._at)
            assert plain is not None
            parts.append(plain[0])
            self._at = plain.end()
            char = self._char()
            if char == '"':
                self._at += 1
                # Halves of surrogate pairs were kept apart until here.
                return "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            if char != "\\":
                raise self._wrong("in string literal")
            self._at += 1
            escape = self._char()
            if escape in _ESCAPES:
                parts.append(_ESCAPES[escape])
                self._at += 1
            elif escape == "u":
                self._at += 1
                parts.append(self._unicode_escape())
            else:
                raise self._wrong("in string escape code")

    def _unicode_escape(self) -> str:
        begin = self._at
        for _ in range(4):
            if self._char() not in _HEX:
                raise self._wrong("in \\u hexadecimal character escape")
            self._at += 1
        return chr(int(self._text[begin : self._at], 16))

    def _number(self) -> Number:
        begin = self._at
        if self._char() == "-":
            self._at += 1
        if self._char() == "0":
            self._at += 1
        else:
            self._digits("in numeric literal")
        if self._char() == ".":
            self._at += 1
            self._digits("after decimal point in numeric literal")
        if self._char() and self._char() in "eE":
            self._at += 1
            if self._char() and self._char() in "+-":
                self._at += 1
            self._digits("in exponent of numeric literal")
        return Number(self._text[begin : self._at])

    def _digits(self, where: str) -> None:
        if self._char() not in _DIGITS:
            raise self._wrong(where)
        while self._char() in _DIGITS:
            self._at += 1

    def _literal(self, literal: str, value: bool | None) -> bool | None:
        for expected in literal:
            if self._char() != expected:
                raise self._wrong(f"in literal {literal} (expecting {expected!r})")
            self._at += 1
        return value

    def _next_char(self) -> str:
        space = _SPACE.match(self._text, self._at)
        assert space is not None
        self._at = space.end()
        return self._char()

    def _char(self) -> str:
        """The next character, empty at the end."""
        return self._text[self._at : self._at + 1]

    def _wrong(self, where: str) -> GoJsonError:
        char = self._char()
        if not char:
            return GoJsonError("unexpected EOF", self._at)
        # Go names the byte, not the character that it is a part of.
        byte = chr(char.encode("utf-8")[0])
        quoted = {"'": r"'\''", '"': "'\"'"}.get(byte) or "'" + json.dumps(byte, ensure_ascii=False)[1:-1] + "'"
        quoted = re.sub(r"\\u00([0-9a-f]{2})", r"\\x\1", quoted)
        if "\x7f" <= byte <= "\xa0" or byte == "\xad":
            quoted = f"'\\x{ord(byte):02x}'" if byte == "\x7f" else f"'\\u{ord(byte):04x}'"
        return GoJsonError(f"invalid character {quoted} {where}", self._at)
