"""Every form of a scenario file becomes exactly the value that it stands for, and can be said in words."""

from __future__ import annotations

from typing import get_args

import pytest

from sim.scenario.behaviours import (
    Behaviour,
    Busy,
    Cut,
    Empty,
    Garbage,
    Hang,
    JsonRpcError,
    Partial,
    Reply,
    Restarting,
    Slow,
    Status,
    Truncate,
)
from sim.scenario.loading import load_text
from sim.scenario.model import (
    Action,
    AddToxic,
    AtTime,
    Check,
    Delegate,
    Disconnect,
    Down,
    Expectation,
    Fault,
    Heartbeat,
    Kill,
    ListDelegations,
    Mcp,
    OnCommit,
    OnOperation,
    OnQuery,
    OnRequest,
    OnResponse,
    OnStatus,
    Operation,
    Pause,
    ReadInbox,
    Record,
    Register,
    Report,
    Scenario,
    Send,
    Step,
    Stop,
    Together,
    Trigger,
    Wait,
    Workspace,
)
from sim.scenario.wording import describe, describe_fault, describe_step

DATABASE, CLIENT, BOB = "broker-database", "client-broker", "broker-agent:bob"


def scenario(*, agent: str = "reply", steps: str = "", faults: str = "", expect: str = "", more: str = "") -> str:
    """A file about ann, bob and one delegation `d1`, with more of what a test is about."""
    return (
        f"title: t\nworkspaces:\n  ann: {{delivery: poll}}\n  bob: {{agent: {agent}}}\n{more}\n"
        f"steps:\n  - delegate: {{from: ann, to: bob}}\n{steps}\n"
        + (f"faults:\n{faults}\n" if faults else "")
        + (f"expect:\n{expect}\n" if expect else "")
    )


def load(**parts: str) -> Scenario:
    return load_text(scenario(**parts), "scenarios/family/case.yaml")


BEHAVIOURS: list[tuple[str, Behaviour, str]] = [
    ("reply", Reply(), "reply 'done' after 0 s"),
    ("{reply: it works, after: 1m30s}", Reply(text="it works", after_s=90.0), "reply 'it works' after 90 s"),
    ("slow", Slow(), "reply 'done' in 5 pieces over 10 s"),
    (
        "{slow: x, duration: 20s, pieces: 2}",
        Slow(text="x", duration_s=20.0, pieces=2),
        "reply 'x' in 2 pieces over 20 s",
    ),
    ("busy", Busy(), "503, busy"),
    ("restarting", Restarting(), "503, restarting"),
    ("{status: 500}", Status(code=500), "status 500"),
    ("{status: 418, body: 7}", Status(code=418, body="7"), "status 418"),
    ("empty", Empty(), "200 without a body"),
    ("{empty: 204}", Empty(code=204), "204 without a body"),
    ("{partial: half}", Partial(body="half"), "reset after half of the body"),
    (
        "{partial: all, ending: close, text: y}",
        Partial(body="all", ending="close", text="y"),
        "close after the whole body",
    ),
    ("{truncate: 1}", Truncate(body=1), "reset after 1 bytes of the body, sent in chunks"),
    ("hang", Hang(), "never answer"),
    ("jsonrpc_error", JsonRpcError(), "JSON-RPC error -32000 'the agent failed'"),
    ("{jsonrpc_error: no, code: -5}", JsonRpcError(code=-5, message="no"), "JSON-RPC error -5 'no'"),
    ("garbage", Garbage(), "200 with '<html>not json</html>'"),
    ('{garbage: "<p>"}', Garbage(text="<p>"), "200 with '<p>'"),
    ("cut", Cut(), "reset after the request body"),
    ("{cut: before_body, ending: close}", Cut(when="before_body", ending="close"), "close before the request body"),
]

STEPS: list[tuple[str, Step, str]] = [
    (
        "{delegate: {as: x, from: bob, to: ann, task: no, key: k1}}",
        Step(does=Delegate(op="x", source="bob", target="ann", task="no", key="k1")),
        "x: bob delegates to ann",
    ),
    (
        "{delegate: {from: bob, to: ann}, at: 2s}",
        Step(does=Delegate(op="d2", source="bob", target="ann"), at_s=2.0),
        "d2: bob delegates to ann, not before 2 s",
    ),
    (
        "{mcp: {from: ann, to: bob}}",
        Step(does=Mcp(op="t1", source="ann", target="bob", tool="delegate_task_async")),
        "t1: ann delegates to bob by delegate_task_async",
    ),
    (
        "{mcp: {from: ann, to: bob, tool: delegate_task, task: write}}",
        Step(does=Mcp(op="t1", source="ann", target="bob", tool="delegate_task", task="write")),
        "t1: ann delegates to bob by delegate_task",
    ),
    ("{check: {by: ann, delegation: d1}}", Step(does=Check(op="c1", by="ann", delegation="d1")), "c1: ann checks d1"),
    (
        "{record: {from: ann, to: bob}}",
        Step(does=Record(op="r1", source="ann", target="bob")),
        "r1: ann records what it sent to bob",
    ),
    (
        "{record: {as: x, from: ann, to: bob, task: no, id: 7}}",
        Step(does=Record(op="x", source="ann", target="bob", task="no", id="7")),
        "x: ann records what it sent to bob",
    ),
    (
        "{send: {from: ann, to: bob, text: hi}}",
        Step(does=Send(op="m1", source="ann", target="bob", text="hi")),
        "m1: ann sends to bob",
    ),
    (
        "{send: {from: ann, to: bob, expires_in: 1m30s}}",
        Step(does=Send(op="m1", source="ann", target="bob", expires_in_s=90.0)),
        "m1: ann sends to bob",
    ),
    ("{send: {from: ann, to: bob}}", Step(does=Send(op="m1", source="ann", target="bob")), "m1: ann sends to bob"),
    (
        "{report: {by: bob, delegation: d1}}",
        Step(does=Report(op="u1", by="bob", delegation="d1")),
        "u1: bob reports d1 completed",
    ),
    (
        "{report: {by: bob, delegation: d1, status: failed, text: broke}}",
        Step(does=Report(op="u1", by="bob", delegation="d1", status="failed", text="broke")),
        "u1: bob reports d1 failed",
    ),
    (
        "{inbox: {of: ann, cursor: bob}}",
        Step(does=ReadInbox(op="i1", of="ann", cursor="bob")),
        "i1: ann reads its inbox past the cursor of bob",
    ),
    (
        "{inbox: {of: ann, cursor: lost}}",
        Step(does=ReadInbox(op="i1", of="ann", cursor="lost")),
        "i1: ann reads its inbox past a lost cursor",
    ),
    ("{register: {of: bob}}", Step(does=Register(op="g1", of="bob")), "g1: bob registers"),
    (
        "{register: {of: bob, delivery: poll}}",
        Step(does=Register(op="g1", of="bob", delivery="poll")),
        "g1: bob registers to poll",
    ),
    (
        "{heartbeat: {of: bob, spend_cents: 7}}",
        Step(does=Heartbeat(op="h1", of="bob", spend_cents=7)),
        "h1: bob is alive with 0 active tasks, having spent 7 cents",
    ),
    (
        "{inbox: {of: ann, query: source=agent&since_secs=60}}",
        Step(does=ReadInbox(op="i1", of="ann", query="source=agent&since_secs=60")),
        "i1: ann reads its inbox by 'source=agent&since_secs=60'",
    ),
    ("{inbox: {of: ann}}", Step(does=ReadInbox(op="i1", of="ann")), "i1: ann reads its inbox"),
    ("{list: {of: ann}}", Step(does=ListDelegations(op="l1", of="ann")), "l1: ann lists its delegations"),
    ("{heartbeat: {of: bob}}", Step(does=Heartbeat(op="h1", of="bob")), "h1: bob is alive with 0 active tasks"),
    (
        "{heartbeat: {of: bob, active_tasks: 3}}",
        Step(does=Heartbeat(op="h1", of="bob", active_tasks=3)),
        "h1: bob is alive with 3 active tasks",
    ),
    ("{wait: 250ms}", Step(does=Wait(duration_s=0.25)), "wait 250 ms"),
    (
        "{at: 1h, together: [{inbox: {of: ann}}, {inbox: {of: bob}}]}",
        Step(does=Together(operations=(ReadInbox(op="i1", of="ann"), ReadInbox(op="i2", of="bob"))), at_s=3600.0),
        "together: i1: ann reads its inbox; i2: bob reads its inbox, not before 1 h",
    ),
]

TRIGGERS: list[tuple[str, Trigger, str]] = [
    ("at: 2s", AtTime(at_s=2.0), "2 s"),
    ("at: 0s", AtTime(at_s=0.0), "0 s"),
    ("on: {link: client-broker, request: 1}", OnRequest(link=CLIENT, nth=1), "request 1 on client-broker"),
    ("on: {link: broker-agent:bob, response: 2}", OnResponse(link=BOB, nth=2), "response 2 on broker-agent:bob"),
    (
        'on: {link: "broker-agent:bob", response: 1, after_bytes: 0}',
        OnResponse(link=BOB, nth=1, after_bytes=0),
        "0 bytes of response 1 on broker-agent:bob",
    ),
    (
        "on: {link: client-broker, status: 503}",
        OnStatus(link=CLIENT, status=503),
        "response 1 with status 503 on client-broker",
    ),
    (
        "on: {link: client-broker, status: 202, nth: 3}",
        OnStatus(link=CLIENT, status=202, nth=3),
        "response 3 with status 202 on client-broker",
    ),
    ("on: {link: broker-database, query: 3}", OnQuery(link=DATABASE, nth=3), "query 3 on broker-database"),
    (
        "on: {link: broker-database, query: SELECT delivery_mode, nth: 2}",
        OnQuery(link=DATABASE, nth=2, containing="SELECT delivery_mode"),
        "query 2 with 'SELECT delivery_mode' on broker-database",
    ),
    (
        'on: {link: broker-database, query: "3"}',
        OnQuery(link=DATABASE, containing="3"),
        "query 1 with '3' on broker-database",
    ),
    ("on: {link: broker-database, commit: 2}", OnCommit(link=DATABASE, nth=2), "commit 2 on broker-database"),
    *(
        (f"on: {{operation: d1, point: {point}}}", OnOperation(operation="d1", point=point), f"{point} of d1")
        for point in ("mid_request", "request_sent", "mid_response", "response_read")
    ),
]


def toxic(type: str, link: str = CLIENT, **attributes: int) -> AddToxic:
    return AddToxic(link=link, type=type, attributes=attributes)


ACTIONS: list[tuple[str, Action, float | None, str]] = [
    (
        "toxic: {type: latency, link: client-broker, latency: 1.5s, jitter: 50ms}",
        toxic("latency", jitter=50, latency=1500),
        None,
        "f1: latency jitter=50 latency=1500 on client-broker from 7 s",
    ),
    (
        "toxic: {type: bandwidth, link: client-broker, rate: 2MB/s}\n    for: 1m",
        toxic("bandwidth", rate=2000),
        60.0,
        "f1: bandwidth rate=2000 on client-broker from 7 s for 1 m",
    ),
    (
        "toxic: {type: slow_close, link: client-broker, delay: 500ms}",
        toxic("slow_close", delay=500),
        None,
        "f1: slow_close delay=500 on client-broker from 7 s",
    ),
    (
        "toxic: {type: timeout, link: client-broker, timeout: 0s}",
        toxic("timeout", timeout=0),
        None,
        "f1: timeout timeout=0 on client-broker from 7 s",
    ),
    (
        "toxic: {type: reset_peer, link: broker-agent:bob, stream: upstream, toxicity: 0.25}",
        AddToxic(link=BOB, type="reset_peer", stream="upstream", toxicity=0.25),
        None,
        "f1: reset_peer upstream (25% of connections) on broker-agent:bob from 7 s",
    ),
    (
        "toxic: {type: slicer, link: client-broker, average_size: 10, size_variation: 5, delay: 20us}",
        toxic("slicer", average_size=10, delay=20, size_variation=5),
        None,
        "f1: slicer average_size=10 delay=20 size_variation=5 on client-broker from 7 s",
    ),
    (
        "toxic: {type: limit_data, link: client-broker, bytes: 0}",
        toxic("limit_data", bytes=0),
        None,
        "f1: limit_data bytes=0 on client-broker from 7 s",
    ),
    (
        "down: broker-database\n    for: 10m",
        Down(link=DATABASE),
        600.0,
        "f1: down on broker-database from 7 s for 10 m",
    ),
    ("kill: broker", Kill(node="broker"), None, "f1: kill broker at 7 s, never to restart"),
    (
        "kill: agent:bob\n    restart_after: 4s",
        Kill(node="agent:bob", restart_after_s=4.0),
        None,
        "f1: kill agent:bob at 7 s, restart after 4 s",
    ),
    ("stop: broker", Stop(node="broker"), None, "f1: stop broker at 7 s, never to restart"),
    (
        "stop: agent:bob\n    restart_after: 4s",
        Stop(node="agent:bob", restart_after_s=4.0),
        None,
        "f1: stop agent:bob at 7 s, restart after 4 s",
    ),
    ("pause: agent:ann\n    for: 3s", Pause(node="agent:ann"), 3.0, "f1: pause agent:ann from 7 s for 3 s"),
    ("disconnect: d1", Disconnect(operation="d1"), None, "f1: client of d1 hangs up (close) at 7 s"),
    (
        "disconnect: {operation: d1, ending: reset}",
        Disconnect(operation="d1", ending="reset"),
        None,
        "f1: client of d1 hangs up (reset) at 7 s",
    ),
]

EXPECTATIONS: list[tuple[str, Expectation]] = [
    ("{}", Expectation(op="d1")),
    (
        "{answer: 202, status: completed, deliveries: 1, inbox: ok, text: done}",
        Expectation(op="d1", answers=(202,), statuses=("completed",), deliveries=(1,), inbox=("ok",), text="done"),
    ),
    (
        "{answer: [202, none], status: [none, failed], deliveries: [0, 1], inbox: [error, none], detail: 5}",
        Expectation(
            op="d1",
            answers=(202, None),
            statuses=(None, "failed"),
            deliveries=(0, 1),
            inbox=("error", "none"),
            detail="5",
        ),
    ),
]


@pytest.mark.parametrize(("written", "meant", "said"), BEHAVIOURS)
def test_a_behaviour(written: str, meant: Behaviour, said: str) -> None:
    assert load(agent=written).workspaces[1] == Workspace(name="bob", agent=(meant,))
    assert describe(meant) == said


@pytest.mark.parametrize(("written", "meant", "said"), STEPS)
def test_a_step(written: str, meant: Step, said: str) -> None:
    assert load(steps=f"  - {written}").steps[1] == meant
    assert describe_step(meant) == said


@pytest.mark.parametrize(("written", "meant", "said"), TRIGGERS)
def test_a_trigger(written: str, meant: Trigger, said: str) -> None:
    (fault,) = load(faults=f"  - {written}\n    down: client-broker").faults
    assert fault == Fault(name="f1", when=meant, do=Down(link=CLIENT))
    assert describe(meant) == said


@pytest.mark.parametrize(("written", "meant", "for_s", "said"), ACTIONS)
def test_an_action(written: str, meant: Action, for_s: float | None, said: str) -> None:
    (fault,) = load(faults=f"  - at: 7s\n    {written}").faults
    assert fault == Fault(name="f1", when=AtTime(at_s=7.0), do=meant, for_s=for_s)
    assert describe_fault(fault) == said


@pytest.mark.parametrize(("written", "meant"), EXPECTATIONS)
def test_an_expectation(written: str, meant: Expectation) -> None:
    assert load(expect=f"  d1: {written}").expect == (meant,)


@pytest.mark.parametrize(
    ("table", "union"),
    [
        ([meant for _, meant, _ in BEHAVIOURS], Behaviour),
        ([meant.does for _, meant, _ in STEPS], Operation | Wait | Together),
        ([meant for _, meant, _ in TRIGGERS], Trigger),
        ([meant for _, meant, _, _ in ACTIONS], Action),
    ],
)
def test_the_tables_above_leave_no_kind_out(table: list[object], union: object) -> None:
    assert {type(meant) for meant in table} == set(get_args(union))


def test_a_toxic_is_put_on_the_link_of_its_trigger() -> None:
    (fault,) = load(
        faults="  - {on: {link: broker-agent:bob, response: 1}, toxic: {type: limit_data, bytes: 180}}"
    ).faults
    assert fault.do == AddToxic(link=BOB, type="limit_data", attributes={"bytes": 180})
    assert describe_fault(fault) == "f1: limit_data bytes=180 on broker-agent:bob from response 1"


def test_a_toxic_may_be_put_on_another_link_than_that_of_its_trigger() -> None:
    written = "  - {on: {link: broker-database, commit: 2}, toxic: {type: reset_peer, link: client-broker}, for: 5s}"
    (fault,) = load(faults=written).faults
    assert fault.do == AddToxic(link=CLIENT, type="reset_peer")
    assert describe_fault(fault) == "f1: reset_peer on client-broker from commit 2 on broker-database for 5 s"


def test_several_behaviours_keep_their_order() -> None:
    assert load(agent="[restarting, {partial: 3}, hang]").workspaces[1].agent == (Restarting(), Partial(body=3), Hang())


def test_a_workspace_may_be_left_to_its_defaults() -> None:
    written = "title: t\nworkspaces:\n  ann:\n  bob: {}\nsteps: [{list: {of: ann}}]"
    assert load_text(written, "x.yaml").workspaces == (Workspace(name="ann"), Workspace(name="bob"))


def test_operations_without_a_name_are_numbered_by_kind_and_named_ones_count() -> None:
    steps = "  - delegate: {as: x, from: ann, to: bob}\n  - {list: {of: ann}}\n  - delegate: {from: bob, to: ann}"
    assert [step.does.op for step in load(steps=steps).steps] == ["d1", "x", "l1", "d3"]  # type: ignore[union-attr]


def test_faults_are_named_by_their_place() -> None:
    faults = load(faults="  - {at: 1s, kill: broker}\n  - {at: 2s, kill: agent:bob}").faults
    assert [fault.name for fault in faults] == ["f1", "f2"]


def test_settings_keep_their_type_and_durations_become_seconds() -> None:
    more = 'broker: {retry_delay: 8s, attempts: 5, share: 0.5, ledger: true, push: false, mode: fast, text: "8s"}'
    settings = load(more=more).broker
    assert settings == {
        "retry_delay": 8.0,
        "attempts": 5,
        "share": 0.5,
        "ledger": True,
        "push": False,
        "mode": "fast",
        "text": "8s",
    }
    assert {key: type(value) for key, value in settings.items()}["attempts"] is int


def test_the_head_of_a_scenario() -> None:
    head = load(more="covers: [INV-30, H68, D4]\nsettle: 2h\nwatch: events")
    assert (head.path, head.family, head.name) == ("scenarios/family/case.yaml", "family", "case")
    assert (head.title, head.covers, head.settle_s, head.watch) == ("t", ("INV-30", "H68", "D4"), 7200.0, "events")
    assert load().settle_s == 3600.0


def test_an_alias_stands_for_what_its_anchor_holds_with_names_of_its_own() -> None:
    steps = "  - &again\n    delegate: {from: bob, to: ann}\n  - *again"
    does = [step.does for step in load(steps=steps).steps[1:]]
    assert does == [Delegate(op="d2", source="bob", target="ann"), Delegate(op="d3", source="bob", target="ann")]
