"""Overrides of the broker's settings: free keys, because each broker has its own; the world that runs it knows them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from sim.scenario.durations import DurationError, parse_duration
from sim.scenario.problems import quoted
from sim.scenario.reader import Reader, Reading, Rejected, Schema, kind_of, written
from sim.scenario.scalars import DECIMAL, INTEGER
from sim.scenario.source import Mapping, Node

Setting: TypeAlias = float | int | str | bool
_KEY = "[a-z][a-z0-9_]{0,59}"
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Settings(Reader[dict[str, Setting]]):
    """A mapping from a setting to a number, true, false, a text, or a duration (in seconds). Quotes make a text."""

    def read(self, node: Node, reading: Reading) -> dict[str, Setting]:
        if not isinstance(node, Mapping):
            reading.reject(node.place, f"expected broker settings, such as retry_delay: 8s, found {kind_of(node)}")
        settings: dict[str, Setting] = {}
        rejected = False
        for key, value in node.entries:
            try:
                if not re.fullmatch(_KEY, key.text):
                    reading.reject(key.place, f"a setting is named in small letters, digits and _: {quoted(key.text)}")
                settings[key.text] = _setting(value, reading)
            except Rejected:
                rejected = True
        if rejected:
            raise Rejected
        return settings

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {
            "type": "object",
            "propertyNames": {"pattern": f"^(?:{_KEY})$"},
            "additionalProperties": {"type": ["number", "boolean", "string"]},
        }


def _setting(node: Node, reading: Reading) -> Setting:
    value = written(node, reading, "a number, true, false, a text or a duration")
    if not value.plain:
        return value.text
    if value.text in _BOOLEANS:
        return _BOOLEANS[value.text]
    if INTEGER.fullmatch(value.text):
        return int(value.text)
    if DECIMAL.fullmatch(value.text):
        return float(value.text)
    try:
        return float(parse_duration(value.text))
    except DurationError as error:
        if error.suggestion:
            reading.reject(value.place, str(error), suggestion=error.suggestion)
        return value.text
