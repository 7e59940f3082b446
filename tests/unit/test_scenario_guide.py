"""The authoring guide: its examples load, every form in its tables loads, and it names every key that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sim.scenario.loading import load_text
from sim.scenario.schema import scenario_schema

from .test_scenario_forms import scenario

GUIDE = (Path(__file__).parents[2] / "scenarios" / "README.md").read_text(encoding="utf-8")


def forms(heading: str) -> list[str]:
    """What stands in backticks in the first column of the table under `| heading |`."""
    table = GUIDE.split(f"\n| {heading} |")[1].split("\n\n")[0]
    rows = [line.split(" | ")[0] for line in table.split("\n")[2:]]
    return [form for row in rows for form in re.findall("`([^`]+)`", row)]


@pytest.mark.parametrize("example", re.findall("```yaml\n(.*?)```", GUIDE, re.DOTALL))
def test_an_example_is_a_whole_scenario(example: str) -> None:
    load_text(example, "scenarios/guide/example.yaml")


@pytest.mark.parametrize("form", forms("step"))
def test_a_step_of_the_guide(form: str) -> None:
    load_text(scenario(steps=f"  - {form}"), "guide.yaml")


@pytest.mark.parametrize("form", forms("behaviour"))
def test_a_behaviour_of_the_guide(form: str) -> None:
    load_text(scenario(agent=form), "guide.yaml")


@pytest.mark.parametrize("form", forms("trigger"))
def test_a_trigger_of_the_guide(form: str) -> None:
    load_text(scenario(faults=f"  - {form}\n    down: client-broker"), "guide.yaml")


@pytest.mark.parametrize("form", forms("action"))
def test_an_action_of_the_guide(form: str) -> None:
    needed = "\n    for: 3s" if form.startswith("pause") else ""
    load_text(scenario(faults=f"  - at: 1s\n    {form}{needed}"), "guide.yaml")


@pytest.mark.parametrize("form", forms("toxic"))
def test_a_toxic_of_the_guide(form: str) -> None:
    load_text(scenario(faults=f"  - on: {{link: client-broker, request: 1}}\n    toxic: {form}"), "guide.yaml")


LOAD = "title: t\nworkspaces:\n  ann: {{delivery: poll}}\n  bob:\nload:\n  duration: 60s\n{}"


@pytest.mark.parametrize("form", forms("user"))
def test_a_user_of_the_guide(form: str) -> None:
    load_text(LOAD.format(f"  users:\n  - {form}\n"), "guide.yaml")


@pytest.mark.parametrize("form", forms("arrival"))
def test_an_arrival_of_the_guide(form: str) -> None:
    load_text(LOAD.format(f"  arrivals:\n  - {form}\n"), "guide.yaml")


@pytest.mark.parametrize("form", forms("gate"))
def test_a_gate_of_the_guide(form: str) -> None:
    if ":" in form:
        load_text(LOAD.format(f"  users: [canvas: 1]\n  gates:\n    {form}\n"), "guide.yaml")


def test_no_key_is_left_out_of_the_guide() -> None:
    def keys(schema: object) -> set[str]:
        if isinstance(schema, list):
            return {key for part in schema for key in keys(part)}
        if not isinstance(schema, dict):
            return set()
        own = set(schema.get("properties", {})) | {word for word in schema.get("enum", []) if isinstance(word, str)}
        return own | {key for part in schema.values() for key in keys(part)}

    examples = re.findall("```(.*?)```", GUIDE, re.DOTALL)
    quoted = re.findall("`([^`]+)`", re.sub("```.*?```", "", GUIDE, flags=re.DOTALL))
    code = set(re.findall("[a-z_][a-z0-9_]*", " ".join(examples + quoted)))
    known_elsewhere = {"pending", "dispatched", "in_progress", "stuck"}  # states, which the guide abbreviates
    assert keys(scenario_schema()) - code == known_elsewhere


def test_the_tables_are_as_long_as_they_look() -> None:
    lengths = {heading: len(forms(heading)) for heading in ("step", "behaviour", "trigger", "action", "toxic")}
    assert lengths == {"step": 12, "behaviour": 18, "trigger": 8, "action": 7, "toxic": 7}
