"""A broker that shares no code with ours, over HTTP: when it is correct it passes, and each of its defects is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.worlds.components.processes import Port

from .other_brokers import ADAPTER, REPOSITORY, adapter, broken, command_of, live, other_broker, played, story

STORIES = {file.stem: str(file) for file in sorted((REPOSITORY / "scenarios" / "any_broker").glob("*.yaml"))}


def test_a_correct_broker_passes_over_http_alone(tmp_path: Path) -> None:
    with other_broker() as url:
        code, runs = played(*STORIES.values(), "--broker-url", url, "--adapter", adapter(tmp_path))
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
        ("silent_failures", "cut_off_before_the_answer", "INV-33"),
        ("retry_anyway", "cut_off_before_the_answer", "INV-24"),
        ("empty_completes", "empty_answer", "INV-25"),
        ("push_to_pollers", "target_polls", "INV-12"),
        ("dies_with_request", "answered", "INV-03"),
    ],
)
def test_a_defect_is_found_by_its_invariant(defect: str, name: str, invariant: str, tmp_path: Path) -> None:
    with other_broker("--defect", defect) as url:
        code, (run,) = played(STORIES[name], "--broker-url", url, "--adapter", adapter(tmp_path))
    assert invariant in broken(run), run
    assert (code, run["verdict"]) == (1, "failed")
    assert f"--broker-url {url} --adapter" in run["replay"]


def test_what_was_not_observed_is_said_of_a_passed_run(tmp_path: Path) -> None:
    with other_broker() as url:
        done = live(STORIES["answered"], "--broker-url", url, "--adapter", adapter(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "not observed, so not judged: " in done.stdout and "INV-31" in done.stdout
    assert "rows: not observed" in done.stderr


def test_tokens_come_from_the_environment_and_from_registration(tmp_path: Path) -> None:
    told = adapter(tmp_path, ADAPTER + "auth: {env: OTHER_BROKER_TOKEN}\n")
    token = {"OTHER_BROKER_TOKEN": "a secret of the test"}
    with other_broker(env=token) as url:
        named = (STORIES["answered"], "--broker-url", url, "--adapter", told)
        code, (run,) = played(*named, env=token)
        assert (code, run["violations"]) == (0, [])
        wrong = live(*named, env={"OTHER_BROKER_TOKEN": "another"})
    assert wrong.returncode == 3 and "is answered 401" in wrong.stderr and "`auth`" in wrong.stderr
    assert "another" not in wrong.stderr


def test_a_broker_with_ways_of_its_own_is_reached_by_its_adapter(tmp_path: Path) -> None:
    ways = """
paths: {mcp: none, record: none, report: none, send: none, events: none, inbox: "/inboxes-of/{workspace}?kind=all"}
auth: {env: OTHER_BROKER_TOKEN}
workspaces:
  body: {title: "the workspace {name}", url: "{url}", delivery_mode: "{delivery}", above: "{parent}"}
  id_in: workspace.id
  token_in: workspace.secret
durations: {retry_delay: 300ms, quiet: 1s}
"""
    family = STORIES["answered"], STORIES["target_polls"]
    token = {"OTHER_BROKER_TOKEN": "a secret of the test"}
    with other_broker("--own-ways", env=token) as url:
        named = ("--broker-url", f"{url}/v2/", "--adapter", adapter(tmp_path, ways))
        code, runs = played(*family, *named, env=token)
    assert [(run["verdict"], run["violations"]) for run in runs] == [("passed", [])] * 2
    assert code == 0
    assert "EXPECT" not in runs[0]["not_observed"] and "INV-33" not in runs[0]["not_observed"]


def test_a_broker_that_we_start_can_be_made_to_stand_still(tmp_path: Path) -> None:
    port = Port()
    answered = Path(STORIES["answered"]).read_text()
    told = adapter(tmp_path, f"{ADAPTER}command: {command_of(port.number)}\n")
    paused = answered + "faults:\n  - {at: 0s, pause: broker, for: 700ms}\n"
    killed = answered.partition("expect:")[0] + (
        "faults:\n  - {on: {link: 'broker-agent:bob', request: 1}, kill: broker, restart_after: 100ms}\n"
    )
    stories = (story(tmp_path, "paused", paused), story(tmp_path, "killed", killed))
    code, runs = played(*stories, "--broker-url", f"http://127.0.0.1:{port.number}", "--adapter", told)
    port.release()
    assert (code, runs[0]["verdict"], runs[0]["violations"]) == (2, "passed", [])
    # Its memory is all that it has: after the power cut it does not even know whose listing is asked for.
    assert runs[1]["verdict"] == "inconclusive" and "listing did not answer" in runs[1]["reasons"][0]
