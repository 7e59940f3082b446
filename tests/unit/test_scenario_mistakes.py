"""Every mistake that one line can hold is named with its place, its cause and its cure.

The cases stand in `scenario_mistakes.txt` as an author would see them: the line, a caret under the place, the message,
the advice. A line is put where its heading says, into a scenario that has no other mistake.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from sim.scenario.loading import load_text
from sim.scenario.problems import ScenarioError

FRAMES = {
    "steps": "{head}{workspaces}{steps}  {line}\n",
    "faults": "{head}{workspaces}{steps}faults:\n  {line}\n",
    "workspaces": "{head}{workspaces}  {line}\n{steps}",
    "expect": "{head}{workspaces}{steps}expect:\n  {line}\n",
    "load": "{head}{workspaces}load:\n  duration: 60s\n  arrivals: [constant: 5/s]\n  {line}\n",
    "users": "{head}{workspaces}load:\n  duration: 60s\n  users:\n  {line}\n",
    "faults of a load": "{head}{workspaces}load:\n  duration: 60s\n  users: [canvas: 1]\nfaults:\n  {line}\n",
    "sections of a load": "{head}{workspaces}load: {{duration: 60s, users: [canvas: 1]}}\n{line}\n",
    "sections": "{head}{workspaces}{steps}{line}\n",
}
PARTS = {
    "head": "title: t\n",
    "workspaces": "workspaces:\n  ann: {delivery: poll}\n  bob:\n",
    "steps": "steps:\n  - delegate: {from: ann, to: bob}\n",
}


class Case(NamedTuple):
    """One line with one mistake, as it is shown."""

    section: str
    shown: str

    @property
    def line(self) -> str:
        return self.shown.split("\n")[0]


def cases() -> list[Case]:
    found: list[Case] = []
    section = ""
    for block in Path(__file__).with_name("scenario_mistakes.txt").read_text().rstrip("\n").split("\n\n"):
        if block.startswith("## "):
            section = block.removeprefix("## ")
        else:
            found.append(Case(section, block))
    return found


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.section}: {case.line}")
def test_a_mistake_in_one_line(case: Case) -> None:
    text = FRAMES[case.section].format(**PARTS, line=case.line)
    with pytest.raises(ScenarioError) as caught:
        load_text(text, "case.yaml")
    (problem,) = caught.value.problems
    assert problem.source_line.lstrip() == case.line
    assert text.split("\n")[problem.line - 1] == problem.source_line
    indent = len(problem.source_line) - len(case.line)
    caret = " " * (problem.column - 1 - indent) + "^ " + problem.message
    assert "\n".join([case.line, caret, *(f"= {advice}" for advice in problem.advice)]) == case.shown


def test_the_cases_are_as_many_as_they_look() -> None:
    assert len(cases()) >= 100 and {case.section for case in cases()} == set(FRAMES)
