"""What cannot be played against a broker that is not ours is refused before the run, by name, with what to do."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from sim.adapter.loading import load_text
from sim.adapter.model import Adapter, Auth, Creation
from sim.adapter.schema import FILE, as_text
from sim.history import Flags, Member
from sim.scenario.loading import load_text as load_scenario
from sim.scenario.problems import ScenarioError
from sim.worlds.dialect import Dialect
from sim.worlds.last_look import NotAsAgreed, read_listing
from sim.worlds.live.playable import not_playable

from .other_brokers import REPOSITORY, adapter, live, story

NOWHERE = "http://127.0.0.1:9"
STORY = """
title: A story
workspaces:
  ann: {delivery: poll}
  bob: {%s}
steps:
  - %s
"""
DELEGATE = "delegate: {from: ann, to: bob}"
ON_DATABASE = "faults:\n  - {at: 1s, down: broker-database, for: 1s}\n"


def scenario(step: str = DELEGATE, more: str = "", bob: str = "") -> str:
    """A story with one step."""
    return STORY % (bob, step) + more


@pytest.mark.parametrize(
    ("text", "told", "said"),
    [
        (
            scenario(more="broker: {retry_delay: 2s}\n"),
            "",
            "broker: retry_delay can be set on fumble's own broker only",
        ),
        (scenario(more=ON_DATABASE), "", "fault f1: broker-database is out of reach without the adapter's `database_l"),
        (
            scenario(more="faults:\n  - {on: {link: broker-database, commit: 1}, disconnect: d1}\n"),
            "",
            "fault f1: broker-database is out of reach",
        ),
        (
            scenario(more="faults:\n  - {at: 1s, kill: broker}\n"),
            "",
            "fault f1: kill: broker needs the adapter's",
        ),
        (
            scenario(more="faults:\n  - {at: 1s, pause: broker, for: 1s}\n"),
            "",
            "fault f1: pause: broker needs the adapter's `command`",
        ),
        (
            scenario(more="faults:\n  - {at: 1s, stop: broker}\n"),
            "",
            "fault f1: stop: broker needs the adapter's",
        ),
        (scenario("mcp: {from: ann, to: bob}"), "paths: {mcp: none}", "t1: the broker has no 'mcp', says its adapter"),
        (scenario(more="watch: events\n"), "paths: {events: none}", "watch: the broker has no 'events'"),
        (scenario(bob="parent: ann"), "", 'workspace bob: nothing tells the broker its parent; put "{parent}" into'),
        (scenario(bob="budget_cents: 5"), "", "workspace bob: nothing tells the broker its budget_cents"),
        (
            scenario(bob="delivery: none"),
            "workspaces: {id_in: id}",
            "workspace bob: its id is made by the broker, which does not know it yet",
        ),
    ],
)
def test_what_cannot_be_played_is_refused_by_name(text: str, told: str, said: str) -> None:
    refusal = not_playable(load_scenario(text, "story.yaml"), load_text(told, "a.yml") if told else Adapter())
    assert refusal is not None and said in refusal


def test_what_an_adapter_makes_possible_is_played() -> None:
    able = load_text(
        "command: [./broker]\ndatabase_listen: 127.0.0.1:6543\n"
        "workspaces: {body: {id: '{id}', parent_id: '{parent}', budget: '{budget_cents}'}}\n",
        "a.yml",
    )
    for more in (ON_DATABASE, "faults:\n  - {at: 1s, kill: broker}\n"):
        story_ = load_scenario(scenario(more=more, bob="parent: ann, budget_cents: 5"), "story.yaml")
        assert not_playable(story_, able) is None


def test_the_command_refuses_with_every_scenario_that_it_cannot_play(tmp_path: Path) -> None:
    first = story(tmp_path, "first", scenario(more=ON_DATABASE))
    second = story(tmp_path, "second", scenario(more="broker: {retry_delay: 2s}\n"))
    done = live(first, second, "--broker-url", NOWHERE)
    assert done.returncode == 4
    assert f"{first}: fault f1" in done.stderr and f"{second}: broker: retry_delay" in done.stderr


def test_what_cannot_be_played_may_be_skipped_but_not_everything(tmp_path: Path) -> None:
    first = story(tmp_path, "first", scenario(more=ON_DATABASE))
    done = live(first, "--broker-url", NOWHERE, "--skip-unplayable")
    assert done.returncode == 5 and f"1 of 1 scenarios are not played\n{first}: fault f1" in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("arguments", "told", "said"),
    [
        (("--adapter", "x.yml"), "", "--adapter is about a broker of your own; name it by --broker-url"),
        (("--database-url", "postgresql://u@h/d"), "", "--database-url is about a broker of your own"),
        (("--skip-unplayable",), "", "--skip-unplayable is about a broker of your own"),
        (("--quiet", "5s"), "", "--quiet is about a broker of your own"),
        (("--broker-url", "https://127.0.0.1"), "", "name the address behind TLS"),
        (("--broker-url", NOWHERE, "--postgres", "embedded"), "", "name the database of yours by --database-url"),
        (("--broker-url", "127.0.0.1:80"), "", "write http://127.0.0.1:8080"),
        (("--broker-url", NOWHERE, "--quiet", "5"), "", "5 has no unit: write 5s"),
        (("--broker-url", NOWHERE, "--database-url", "mysql://h/d"), "", "--database-url: this is no DSN"),
        (("--broker-url", NOWHERE), "database_listen: 127.0.0.1:6543", "name that by --database-url"),
        (("--broker-url", NOWHERE), "paths: {list: none}", "fumble has to see how work stands"),
        (("--broker-url", NOWHERE), "auth: {env: FUMBLE_TEST_UNSET}", "variable FUMBLE_TEST_UNSET, which is not set"),
        (("--broker-url", "http://192.0.2.1:80"), "command: [./broker]", "starts the broker here"),
    ],
)
def test_wrong_options_are_refused(arguments: tuple[str, ...], told: str, said: str, tmp_path: Path) -> None:
    more = ("--adapter", adapter(tmp_path, told)) if told else ()
    done = live(story(tmp_path, "story", scenario()), *arguments, *more)
    assert done.returncode == 4 and said in done.stderr, done.stderr


def test_a_broker_that_is_not_there_is_told_of_before_anything_is_played(tmp_path: Path) -> None:
    command = adapter(tmp_path, "command: [/nowhere/broker]\n")
    done = live(story(tmp_path, "story", scenario()), "--broker-url", NOWHERE, "--adapter", command)
    assert done.returncode == 3 and "the broker: cannot start /nowhere/broker" in done.stderr, done.stderr
    done = live(story(tmp_path, "story", scenario()), "--broker-url", NOWHERE)
    assert done.returncode == 3 and "does not listen on 127.0.0.1:9 after 5 s\nfix: start it" in done.stderr


def test_a_listing_of_another_shape_is_named() -> None:
    async def get(path: str, headers: Mapping[str, str]) -> tuple[int, object]:
        return 200, {"items": []}

    with pytest.raises(NotAsAgreed, match=r"GET /workspaces/id-of-ann/delegations is answered .*no list of JSON obj"):
        asyncio.run(read_listing(get, Dialect(), Member("ann", "id-of-ann", "poll")))


WHOLE = """
paths:
  inbox: /v2/inbox/{workspace}?kind=all
  mcp: none
auth: {env: BROKER_KEY, header: X-Api-Key}
workspaces:
  create: POST /workspaces
  body: {name: "{name}", external: true, tags: ["{id}", 7], nothing: null}
  id_in: workspace.id
  token_in: credentials.token
flags: {ledger: false}
durations: {retry_delay: 2s, settle: 1m, quiet: 3s}
agent_host: localhost
command: [./broker, --port, 8080]
env: {PORT: 8080}
database_listen: 127.0.0.1:6543
"""


def test_a_whole_adapter_is_read() -> None:
    assert load_text(WHOLE, "a.yml") == Adapter(
        paths={"inbox": "/v2/inbox/{workspace}?kind=all", "mcp": None},
        auth=Auth("BROKER_KEY", "X-Api-Key"),
        workspaces=Creation(
            "POST",
            "/workspaces",
            {"name": "{name}", "external": True, "tags": ["{id}", 7], "nothing": None},
            "workspace.id",
            "credentials.token",
        ),
        flags=Flags(ledger=False, retry_delay_s=2.0),
        settle_s=60.0,
        quiet_s=3.0,
        agent_host="localhost",
        command=("./broker", "--port", "8080"),
        env={"PORT": "8080"},
        database_listen=6543,
    )


def test_all_mistakes_of_an_adapter_are_told_at_once_with_their_places() -> None:
    text = """paths:
  inbocks: /v2/inbox
  list: /v2/{workspce}
auth: {header: X-Key}
workspaces:
  create: GET /workspaces
  body: {id: {id}, name: "{nam}"}
durations: {retry_delay: 8}
command: []
database_listen: 10.0.0.1:5432
pathes: {}
"""
    with pytest.raises(ScenarioError) as failure:
        load_text(text, "a.yml")
    told = [(problem.line, problem.column, problem.message, problem.suggestion) for problem in failure.value.problems]
    assert told == [
        (2, 3, "unknown key 'inbocks' in 'paths'", "inbox"),
        (3, 9, "'{workspce}' stands for nothing here", "{workspace}"),
        (4, 7, "'auth' needs 'env': The environment variable that holds the token or value", None),
        (6, 11, "expected POST, PUT or PATCH and a path, found 'GET /workspaces'", None),
        (7, 14, "braces alone make a mapping: write '{id}', in quotes", None),
        (7, 26, "'{nam}' stands for nothing here", "{name}"),
        (8, 26, "8 has no unit: write 8s", None),
        (9, 10, "expected at least 1 words, found 0", None),
        (10, 18, "expected an address such as 127.0.0.1:6543, found '10.0.0.1:5432'", None),
        (11, 1, "unknown key 'pathes' in an adapter", "paths"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty: an adapter says where a broker differs; without one, leave --adapter out"),
        ("a: 1\n---\nb: 1\n", "a second document begins here: one file holds one adapter"),
    ],
)
def test_a_file_that_is_no_adapter_says_so(text: str, said: str) -> None:
    with pytest.raises(ScenarioError) as failure:
        load_text(text, "a.yml")
    assert said in str(failure.value)


GUIDE = (REPOSITORY / "scenarios" / "OTHER-BROKERS.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("example", re.findall("```yaml\n(.*?)```", GUIDE, re.DOTALL))
def test_an_example_of_the_guide_is_read(example: str) -> None:
    (load_scenario if example.startswith("title:") else load_text)(example, "guide.yaml")


def test_no_key_of_an_adapter_is_left_out_of_the_guide() -> None:
    table = GUIDE.split("\n| key |")[1].split("\n\n")[0]
    schema = json.loads(as_text())["properties"]
    keys = {*schema, *(key for part in schema.values() for key in part.get("properties", {}))}
    assert {key for key in keys if f"`{key}" not in table} == set()


def test_the_schema_in_the_repository_is_up_to_date() -> None:
    assert FILE.read_text(encoding="utf-8") == as_text(), "run: python -m sim.adapter.schema"
