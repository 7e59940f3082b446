"""Whatever is done to a scenario file, loading gives a scenario or a `ScenarioError` that can be shown, nothing else.

Three kinds of damage: characters (what a slip of the hand does), tokens moved between places (what copying does), and
bytes (what a disk does). What still loads has to be valid by the JSON Schema as well.
"""

from __future__ import annotations

import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.scenario.loading import load_text
from sim.scenario.model import Scenario
from sim.scenario.problems import ScenarioError
from sim.scenario.source import decode
from sim.scenario.wording import describe_fault, describe_step

from .test_scenario_schema import judged

WHOLE = """\
title: everything
covers: [INV-30, H68]
workspaces:
  ann: {delivery: poll}
  bob: {agent: [restarting, {partial: half, ending: reset}, {slow: x, duration: 20s}, {status: 500, body: oops}, busy]}
  eve: {agent: {reply: done, after: 3s}}
broker: {retry_delay: 8s, attempts: 3}
settle: 1h
steps:
  - delegate: {as: first, from: ann, to: bob, task: write, key: k1}
  - {at: 2s, wait: 3s}
  - together: [{delegate: {from: ann, to: bob}}, {send: {from: ann, to: eve, text: hi}}]
  - report: {by: bob, delegation: first, status: completed, text: done}
  - mcp: {from: ann, to: bob, tool: delegate_task, task: x}
  - check: {by: ann, delegation: first}
  - inbox: {of: ann}
  - heartbeat: {of: bob, active_tasks: 0}
faults:
  - on: {link: broker-database, commit: 2}
    toxic: {type: reset_peer, stream: downstream}
    for: 5s
  - on: {link: broker-database, query: SELECT delivery_mode, nth: 2}
    toxic: {type: slicer, average_size: 10, size_variation: 3, delay: 20us}
  - on: {link: broker-agent:bob, response: 1, after_bytes: 180}
    kill: broker
    restart_after: 4s
  - on: {operation: first, point: response_read}
    disconnect: {operation: first, ending: reset}
  - {at: 2s, pause: agent:eve, for: 3s}
  - {at: 3s, stop: broker, restart_after: 1s}
expect:
  first: {answer: [202, none], status: [completed, failed], deliveries: [0, 1], inbox: ok, detail: x, text: done}
"""
TOKENS = re.findall(r"[\w./-]+|[^\w\s]|\s+", WHOLE)
INDICATORS = "{}[]:,-?&*!|>'\"%@`#~ \t\n\\\x00\x1b\x85\u2028\ud800é日"


def load_or_explain(text: str) -> Scenario | None:
    try:
        scenario = load_text(text, "scenarios/fuzz/case.yaml")
    except ScenarioError as error:
        assert error.problems
        places = [(problem.line, problem.column) for problem in error.problems]
        assert places == sorted(places)
        assert all(problem.message and problem.render() for problem in error.problems)
        return None
    assert all(describe_step(step) for step in scenario.steps)
    assert all(describe_fault(fault) for fault in scenario.faults)
    assert judged(text)
    return scenario


def test_the_file_that_is_damaged_is_whole_before() -> None:
    assert load_or_explain(WHOLE) is not None


quiet = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quiet
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(WHOLE)),
            st.integers(0, 4),
            st.text(st.sampled_from(INDICATORS) | st.characters(), max_size=3),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_characters_are_lost_and_added(slips: list[tuple[int, int, str]]) -> None:
    text = WHOLE
    for start, lost, added in slips:
        text = text[:start] + added + text[start + lost :]
    load_or_explain(text)


@quiet
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(TOKENS) - 1), st.integers(0, 6), st.integers(0, len(TOKENS) - 1), st.integers(0, 6)
        ),
        min_size=1,
        max_size=4,
    )
)
def test_tokens_are_copied_over_others(copies: list[tuple[int, int, int, int]]) -> None:
    tokens = list(TOKENS)
    for start, lost, source, count in copies:
        tokens[start : start + lost] = TOKENS[source : source + count]
    load_or_explain("".join(tokens))


@quiet
@given(st.lists(st.tuples(st.integers(0, len(TOKENS) - 1), st.sampled_from(TOKENS)), min_size=1, max_size=6))
def test_tokens_change_places(swaps: list[tuple[int, str]]) -> None:
    tokens = list(TOKENS)
    for place, token in swaps:
        tokens[place] = token
    load_or_explain("".join(tokens))


@quiet
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_bytes_flip(flips: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE.encode())
    for place, byte in flips:
        data[place] = byte
    try:
        text = decode(bytes(data), "case.yaml")
    except ScenarioError as error:
        assert "not UTF-8" in str(error)
    else:
        load_or_explain(text)
