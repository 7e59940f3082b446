"""A broker that shares no code with ours, over HTTP: when it is correct it passes, and each of its defects is found."""

from __future__ import annotations

from pathlib import Path

from .other_brokers import adapter, broken, other_broker, played, story

ANSWERED = """
title: A push delegation is answered
workspaces:
  ann: {delivery: poll}
  bob: {agent: {reply: done, after: 200ms}}
steps:
  - delegate: {from: ann, to: bob, task: write the tests}
expect:
  d1: {answer: 202, status: completed, deliveries: 1, inbox: ok, text: done}
"""


def test_a_correct_broker_passes_over_http_alone(tmp_path: Path) -> None:
    with other_broker() as url:
        named = ("--broker-url", url, "--adapter", adapter(tmp_path))
        code, runs = played(story(tmp_path, "answered", ANSWERED), *named)
    assert [(run["verdict"], run["violations"]) for run in runs] == [("passed", [])]
    assert code == 0
    assert broken(runs[0]) == set()
