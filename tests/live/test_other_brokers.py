"""A broker that shares no code with ours, over HTTP: when it is correct it passes, and each of its defects is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.worlds.components.processes import Port

from .other_brokers import ADAPTER, adapter, broken, command_of, live, other_broker, played, story

STORIES = {
    "answered": """
title: A push delegation is answered
workspaces:
  ann: {delivery: poll}
  bob: {agent: {reply: done, after: 200ms}}
steps:
  - delegate: {from: ann, to: bob, task: write the tests}
expect:
  d1: {answer: 202, status: completed, deliveries: 1, inbox: ok, text: done}
""",
    "restarting": """
title: An agent is restarting, and gets it at the second attempt
workspaces:
  ann: {delivery: poll}
  bob: {agent: [restarting, reply]}
steps:
  - delegate: {from: ann, to: bob}
expect:
  d1: {status: completed, deliveries: 1, inbox: ok}
""",
    "cut_off": """
title: An agent takes the message, and its connection is cut before it answers
workspaces:
  ann: {delivery: poll}
  bob: {agent: [{cut: after_body}, reply]}
steps:
  - delegate: {from: ann, to: bob}
expect:
  d1: {status: failed, deliveries: 1, inbox: error}
""",
    "empty": """
title: An agent answers 200 without a body
workspaces:
  ann: {delivery: poll}
  bob: {agent: empty}
steps:
  - delegate: {from: ann, to: bob}
expect:
  d1: {deliveries: 1}
""",
    "half": """
title: Half of the answer comes, then a reset
workspaces:
  ann: {delivery: poll}
  bob: {agent: reply}
steps:
  - delegate: {from: ann, to: bob}
faults:
  - on: {link: "broker-agent:bob", response: 1}
    toxic: {type: limit_data, bytes: 250}
expect:
  d1: {status: completed, deliveries: 1, inbox: ok}
""",
    "refused": """
title: Nobody listens at first
workspaces:
  ann: {delivery: poll}
  bob:
steps:
  - wait: 100ms
  - delegate: {from: ann, to: bob}
faults:
  - at: 0s
    down: broker-agent:bob
    for: 250ms
expect:
  d1: {status: completed, deliveries: 1, inbox: ok}
""",
    "hangs_up": """
title: The client hangs up as soon as it has asked
workspaces:
  ann: {delivery: poll}
  bob: {agent: {reply: done, after: 300ms}}
steps:
  - delegate: {from: ann, to: bob}
  - at: 500ms
    list: {of: ann}
faults:
  - on: {operation: d1, point: request_sent}
    disconnect: {operation: d1, ending: reset}
""",
    "same_key": """
title: Two clients have the same key
workspaces:
  ann: {delivery: poll}
  bob: {agent: {reply: done, after: 200ms}}
steps:
  - together:
      - delegate: {from: ann, to: bob, key: k}
      - delegate: {from: ann, to: bob, key: k}
expect:
  d1: {answer: [200, 202], status: completed, deliveries: 1}
""",
    "polled": """
title: The target polls
workspaces:
  ann: {delivery: poll}
  cid: {delivery: poll}
steps:
  - delegate: {from: ann, to: cid}
  - inbox: {of: cid}
expect:
  d1: {status: queued, deliveries: 0}
""",
}


def written(folder: Path, *names: str) -> list[str]:
    """These stories as files."""
    return [story(folder, name, STORIES[name]) for name in names]


def test_a_correct_broker_passes_over_http_alone(tmp_path: Path) -> None:
    with other_broker() as url:
        code, runs = played(*written(tmp_path, *STORIES), "--broker-url", url, "--adapter", adapter(tmp_path))
    assert [(run["scenario"], run["verdict"], run["violations"]) for run in runs] == [
        (name, "passed", []) for name in STORIES
    ]
    assert code == 0
    for run in runs:
        # What only tables, or the broker's own queries, can tell.
        assert {"INV-10", "INV-30", "INV-31", "INV-38", "INV-75"} <= set(run["not_observed"])
        # What clients and agents saw, and what the broker answered.
        assert not {"INV-01", "INV-03", "INV-12", "INV-24", "INV-25", "INV-33", "EXPECT"} & set(run["not_observed"])


@pytest.mark.parametrize(
    ("defect", "name", "invariant"),
    [
        ("silent_failures", "cut_off", "INV-33"),
        ("retry_anyway", "cut_off", "INV-24"),
        ("empty_completes", "empty", "INV-25"),
        ("push_to_pollers", "polled", "INV-12"),
        ("dies_with_request", "answered", "INV-03"),
    ],
)
def test_a_defect_is_found_by_its_invariant(defect: str, name: str, invariant: str, tmp_path: Path) -> None:
    with other_broker("--defect", defect) as url:
        code, (run,) = played(*written(tmp_path, name), "--broker-url", url, "--adapter", adapter(tmp_path))
    assert invariant in broken(run), run
    assert (code, run["verdict"]) == (1, "failed")
    assert f"--broker-url {url} --adapter" in run["replay"]


def test_what_was_not_observed_is_said_of_a_passed_run(tmp_path: Path) -> None:
    with other_broker() as url:
        done = live(*written(tmp_path, "answered"), "--broker-url", url, "--adapter", adapter(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "not observed, so not judged: " in done.stdout and "INV-31" in done.stdout
    assert "rows: not observed" in done.stderr


def test_tokens_come_from_the_environment_and_from_registration(tmp_path: Path) -> None:
    told = adapter(tmp_path, ADAPTER + "auth: {env: OTHER_BROKER_TOKEN}\n")
    token = {"OTHER_BROKER_TOKEN": "a secret of the test"}
    with other_broker(env=token) as url:
        named = (*written(tmp_path, "answered"), "--broker-url", url, "--adapter", told)
        code, (run,) = played(*named, env=token)
        assert (code, run["violations"]) == (0, [])
        wrong = live(*named, env={"OTHER_BROKER_TOKEN": "another"})
    assert wrong.returncode == 3 and "is answered 401" in wrong.stderr and "`auth`" in wrong.stderr
    assert "another" not in wrong.stderr


def test_a_broker_that_we_start_can_be_made_to_stand_still(tmp_path: Path) -> None:
    port = Port()
    told = adapter(tmp_path, f"{ADAPTER}command: {command_of(port.number)}\n")
    paused = STORIES["answered"] + "faults:\n  - {at: 0s, pause: broker, for: 700ms}\n"
    killed = STORIES["answered"].partition("expect:")[0] + (
        "faults:\n  - {on: {link: 'broker-agent:bob', request: 1}, kill: broker, restart_after: 100ms}\n"
    )
    stories = (story(tmp_path, "paused", paused), story(tmp_path, "killed", killed))
    code, runs = played(*stories, "--broker-url", f"http://127.0.0.1:{port.number}", "--adapter", told)
    port.release()
    assert (code, runs[0]["verdict"], runs[0]["violations"]) == (2, "passed", [])
    # Its memory is all that it has: after the power cut it does not even know whose listing is asked for.
    assert runs[1]["verdict"] == "inconclusive" and "listing did not answer" in runs[1]["reasons"][0]
