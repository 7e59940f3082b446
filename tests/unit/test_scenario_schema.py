"""The JSON Schema is made of the tables that read scenarios: it is up to date, and never stricter than the loader.

Draft 7 is small, so the few keywords that we use are judged here by hand; an unknown keyword is an error, not a pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Mapping as Table
from typing import Any

import pytest

from sim.scenario.loading import load_text
from sim.scenario.names import OPERATION_PREFIXES
from sim.scenario.schema import FILE, as_text, scenario_schema
from sim.scenario.source import Mapping, Node, Scalar, Sequence, parse

from . import test_scenario_forms as forms

SCHEMA = scenario_schema()
IGNORED = {"$schema", "title", "definitions", "description"}
TYPES: Table[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "null": lambda value: value is None,
}


def accepts(schema: dict[str, Any], value: Any) -> bool:
    """Whether a value is valid; only keywords that `JUDGES` knows may occur."""
    return all(key in IGNORED or JUDGES[key](told, value, schema) for key, told in schema.items())


def _properties(told: dict[str, Any], value: Any, _: dict[str, Any]) -> bool:
    return not isinstance(value, dict) or all(accepts(told[key], part) for key, part in value.items() if key in told)


def _additional(told: Any, value: Any, schema: dict[str, Any]) -> bool:
    extra = (
        [part for key, part in value.items() if key not in schema.get("properties", {})]
        if isinstance(value, dict)
        else []
    )
    return not extra if told is False else all(accepts(told, part) for part in extra)


JUDGES: dict[str, Callable[[Any, Any, dict[str, Any]], bool]] = {
    "$ref": lambda told, value, _: accepts(SCHEMA["definitions"][told.removeprefix("#/definitions/")], value),
    "type": lambda told, value, _: any(TYPES[name](value) for name in ([told] if isinstance(told, str) else told)),
    "enum": lambda told, value, _: value in told,
    "pattern": lambda told, value, _: not isinstance(value, str) or re.search(told, value) is not None,
    "minimum": lambda told, value, _: not TYPES["number"](value) or value >= told,
    "maximum": lambda told, value, _: not TYPES["number"](value) or value <= told,
    "exclusiveMinimum": lambda told, value, _: not TYPES["number"](value) or value > told,
    "anyOf": lambda told, value, _: any(accepts(part, value) for part in told),
    "oneOf": lambda told, value, _: sum(accepts(part, value) for part in told) == 1,
    "items": lambda told, value, _: not isinstance(value, list) or all(accepts(told, part) for part in value),
    "minItems": lambda told, value, _: not isinstance(value, list) or len(value) >= told,
    "minProperties": lambda told, value, _: not isinstance(value, dict) or len(value) >= told,
    "required": lambda told, value, _: not isinstance(value, dict) or all(key in value for key in told),
    "propertyNames": lambda told, value, _: not isinstance(value, dict) or all(accepts(told, key) for key in value),
    "properties": _properties,
    "additionalProperties": _additional,
}


def as_json(node: Node) -> Any:
    """What an editor makes of a node: scalars by the core schema of YAML 1.2."""
    match node:
        case Mapping():
            return {key.text: as_json(value) for key, value in node.entries}
        case Sequence():
            return [as_json(item) for item in node.items]
        case Scalar():
            if not node.plain:
                return node.text
            if node.is_null:
                return None
            if node.text.lower() in ("true", "false"):
                return node.text.lower() == "true"
            if re.fullmatch("[-+]?[0-9]+", node.text):
                return int(node.text)
            if re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", node.text):
                return float(node.text)
            return node.text


def judged(text: str) -> bool:
    return accepts(SCHEMA, as_json(parse(text, "case.yaml")[1]))


def test_the_schema_in_the_file_is_up_to_date() -> None:
    assert FILE.read_text(encoding="utf-8") == as_text(), "run: python -m sim.scenario.schema"


@pytest.mark.parametrize("written", [case[0] for case in forms.BEHAVIOURS])
def test_the_schema_takes_every_behaviour(written: str) -> None:
    assert judged(forms.scenario(agent=written))


@pytest.mark.parametrize("written", [case[0] for case in forms.STEPS])
def test_the_schema_takes_every_step(written: str) -> None:
    assert judged(forms.scenario(steps=f"  - {written}"))


@pytest.mark.parametrize("written", [case[0] for case in forms.TRIGGERS])
def test_the_schema_takes_every_trigger(written: str) -> None:
    assert judged(forms.scenario(faults=f"  - {written}\n    down: client-broker"))


@pytest.mark.parametrize("written", [case[0] for case in forms.ACTIONS])
def test_the_schema_takes_every_action(written: str) -> None:
    assert judged(forms.scenario(faults=f"  - at: 7s\n    {written}"))


@pytest.mark.parametrize("written", [case[0] for case in forms.EXPECTATIONS])
def test_the_schema_takes_every_expectation(written: str) -> None:
    assert judged(forms.scenario(expect=f"  d1: {written}"))


@pytest.mark.parametrize(
    "case",
    [
        {"steps": "  - {delgate: {from: ann, to: bob}}"},
        {"steps": "  - {delegate: {from: ann}}"},
        {"steps": "  - {wait: 5}"},
        {"steps": "  - {together: [{list: {of: ann}}]}"},
        {"agent": "buzy"},
        {"agent": "{partial: most}"},
        {"agent": "{reply: a, duration: 3s}"},
        {"faults": "  - {kill: broker}"},
        {"faults": "  - {at: 1s, kill: broker, for: 3s}"},
        {"faults": "  - {at: 1s, pause: broker}"},
        {"faults": "  - {at: 1s, on: {link: client-broker, request: 1}, kill: broker}"},
        {"faults": "  - {on: {link: client-broker, commit: 1}, kill: broker}"},
        {"faults": "  - {at: 1s, toxic: {type: latency, latency: 300, link: client-broker}}"},
        {"faults": "  - {at: 1s, toxic: {type: slicer, average_size: 0, link: client-broker}}"},
        {"expect": "  d1: {answer: 99}"},
        {"expect": "  d1: {status: done}"},
        {"more": "setle: 1h"},
    ],
    ids=str,
)
def test_the_schema_refuses_what_it_can_know_to_be_wrong(case: dict[str, str]) -> None:
    assert not judged(forms.scenario(**case))


def test_every_operation_has_its_prefix_and_every_prefix_its_operation() -> None:
    definitions = SCHEMA["definitions"]
    assert set(OPERATION_PREFIXES) <= set(definitions)
    for prefixed in OPERATION_PREFIXES:
        assert "as" in definitions[prefixed]["properties"]


def test_what_loads_is_what_the_tests_above_judge() -> None:
    load_text(forms.scenario(), "case.yaml")
