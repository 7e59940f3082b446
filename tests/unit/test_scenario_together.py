"""Mistakes that need more than one line, and how mistakes are shown: all of them, in order, each with its line."""

from __future__ import annotations

import pickle
from textwrap import dedent

import pytest

from sim.scenario.loading import load_text
from sim.scenario.problems import Problem, ScenarioError


def places(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(ScenarioError) as caught:
        load_text(dedent(text), "case.yaml")
    return [(problem.line, problem.column, problem.message) for problem in caught.value.problems]


def test_every_mistake_of_a_file_is_named_at_once_in_the_order_of_the_file() -> None:
    assert places(
        """\
        titel: t
        workspaces:
          ann: {delivery: pol}
          bob: {agent: {repli: done, after: 3}}
        settle: 1
        steps:
          - delegate: {from: ann, too: bbo, task: x}
          - delgate: {as: later, from: an, to: bob}
          - wait: 0s
        faults:
          - on: {link: client-broker, commit: 0}
            toxic: {type: slicr, average_sise: 0}
          - {at: 3, disconnect: later}
        expect:
          later: {answer: 99, sttus: done}
        """
    ) == [
        (1, 1, "unknown key 'titel' in a scenario"),
        (3, 19, "'pol' is not a delivery"),
        (4, 17, "unknown key 'repli' in a behaviour"),
        (4, 37, "3 has no unit: write 3s"),
        (5, 9, "1 has no unit: write 1s"),
        (7, 27, "unknown key 'too' in 'delegate'"),
        (7, 32, "unknown workspace 'bbo'"),
        (8, 5, "unknown key 'delgate' in a step"),
        (8, 32, "unknown workspace 'an'"),
        (9, 11, "expected a duration of more than nothing, found 0s"),
        (11, 16, "queries and commits pass on the database link only, not on 'client-broker'"),
        (11, 39, "expected a whole number from 1 to 1000000, found 0"),
        (12, 19, "'slicr' is not a toxic"),
        (12, 26, "unknown key 'average_sise' in a 'slicer' toxic"),
        (12, 40, "expected a number of bytes from 1 to 1000000000, found 0"),
        (13, 10, "3 has no unit: write 3s"),
        (15, 19, "expected none or an HTTP status from 100 to 599, found 99"),
        (15, 23, "unknown key 'sttus' in an expectation"),
        (15, 30, "'done' is not a state of a delegation"),
    ]


def test_a_missing_section_is_one_mistake_and_not_one_for_each_name() -> None:
    assert places("steps:\n  - delegate: {from: ann, to: bob}\nfaults:\n  - {at: 1s, kill: agent:ann}\n") == [
        (1, 1, "a scenario needs 'title': What happens, in a sentence"),
        (1, 1, "a scenario needs 'workspaces': Who is there, by name"),
    ]
    assert places("title: t\nworkspaces: {ann: }\nfaults:\n  - {at: 1s, disconnect: d1}\n") == [
        (1, 1, "a scenario needs one of 'steps' or 'load'"),
    ]


def test_a_report_comes_after_its_delegation() -> None:
    assert places(
        """\
        title: t
        workspaces: {ann: , bob: }
        steps:
          - report: {by: bob, delegation: d1}
          - delegate: {from: ann, to: bob}
        """
    ) == [(4, 35, "'d1' starts later, in line 5: refer to it in a step after that one")]


def test_times_of_steps_do_not_run_backwards() -> None:
    assert places(
        """\
        title: t
        workspaces: {ann: }
        steps:
          - {list: {of: ann}, at: 1m}
          - {list: {of: ann}}
          - {list: {of: ann}, at: 59s}
          - {list: {of: ann}, at: 60s}
        """
    ) == [(6, 27, "a step before this one starts at 1 m: order steps by time")]


def test_steps_without_an_operation_prove_nothing() -> None:
    assert places("title: t\nworkspaces: {ann: }\nsteps: [wait: 3s]\n") == [
        (3, 8, "no step does anything: a run without an operation proves nothing"),
    ]


def test_what_is_not_known_of_an_operation_cannot_be_expected() -> None:
    assert places(
        """\
        title: t
        workspaces: {ann: , bob: }
        steps:
          - {send: {from: ann, to: bob}}
          - {list: {of: ann}}
        expect:
          m1: {answer: 200, deliveries: 1, text: done, inbox: ok}
          l1: {answer: 200, text: done}
        """
    ) == [
        (7, 55, "nothing to expect as 'inbox': 'm1' is a 'send'"),
        (8, 27, "nothing to expect as 'text': 'l1' is a 'list'"),
    ]


@pytest.mark.parametrize("text", ["[]", "word", "- title: t"])
def test_a_file_that_is_no_mapping(text: str) -> None:
    ((line, column, message),) = places(text)
    assert (line, column) == (1, 1) and message.startswith("expected the keys of a scenario, found")


def test_a_mistake_as_it_is_shown() -> None:
    problem = Problem(
        path="scenarios/a/b.yaml",
        line=12,
        column=5,
        message="unknown key 'dealy' in a toxic",
        allowed=("latency", "delay"),
        suggestion="delay",
        source_line="\t日本 dealy: 3",
    )
    assert problem.render() == (
        "scenarios/a/b.yaml:12:5: unknown key 'dealy' in a toxic\n"
        "  12 |  日本 dealy: 3\n"
        "     |       ^\n"
        "     = did you mean 'delay'?\n"
        "     = allowed: latency, delay"
    )


def test_a_mistake_about_a_whole_file_shows_no_line() -> None:
    problem = Problem(path="a.yaml", line=0, column=0, message="no such file", suggestion="b.yaml")
    assert problem.render() == "a.yaml: no such file\n   = did you mean 'b.yaml'?"


def test_a_long_line_is_shown_around_the_mistake_only() -> None:
    line = "a" * 300 + "X" + "b" * 300
    _, shown, caret = Problem(path="a", line=1, column=301, message="m", source_line=line).render().split("\n")
    assert len(shown) < 130 and shown[caret.index("^")] == "X"


def test_what_a_terminal_would_obey_is_not_shown() -> None:
    text = 'title: t\nworkspaces: {ann: }\nsteps: ["\\x1b[31m\\ud800"]\n'
    with pytest.raises(ScenarioError) as caught:
        load_text(text, "a.yaml")
    assert "found '\\x1b[31m\\ud800'" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    str(caught.value).encode("utf-8")


def test_the_error_holds_all_mistakes_and_their_number() -> None:
    with pytest.raises(ScenarioError) as caught:
        load_text("titel: t", "a.yaml")
    shown = str(caught.value)
    assert [shown.count(problem.render()) for problem in caught.value.problems] == [1, 1, 1]
    assert shown.endswith("\n\n3 mistakes")


def test_the_error_survives_the_way_out_of_a_worker_process() -> None:
    error = ScenarioError([Problem(path="a.yaml", line=1, column=1, message="m")])
    again = pickle.loads(pickle.dumps(error))
    assert (again.problems, str(again)) == (error.problems, str(error))
