"""A history as lines, and what a run report keeps of it."""

from __future__ import annotations

import pickle
from typing import get_args

from reports import history_text
from reports.model import report_of
from reports.plain import width
from sim.history import (
    Broadcast,
    Contact,
    Entry,
    Fail,
    FaultBegan,
    FaultEnded,
    Final,
    History,
    Info,
    Invoke,
    Member,
    ModeRead,
    NodeChanged,
    Ok,
)
from sim.invariants.verdict import judge
from sim.scenario.model import Delegate, Scenario, Step, Workspace

ANN, BOB = "0a0a0a0a-0000-4000-8000-000000000001", "0b0b0b0b-0000-4000-8000-000000000002"
D1 = "d1d1d1d1-0000-4000-8000-000000000003"
ENTRIES: tuple[tuple[Entry, str], ...] = (
    (
        Invoke(0.0, "d1", "delegate", "ann", {"target": "bob", "task": "tests", "key": None}),
        "#0        0.000000s  d1         ann calls delegate target=bob task=tests",
    ),
    (
        Ok(0.01, "d1", 202, {"delegation_id": D1, "status": "delegated"}),
        '#1        0.010000s  d1         is answered 202 {"delegation_id": "d1", "status": "delegated"}',
    ),
    (ModeRead(0.02, BOB, "push"), "#2        0.020000s  broker     reads the delivery mode of bob: push"),
    (FaultBegan(0.03, "f1", "reset on x"), "#3        0.030000s  f1         begins: reset on x"),
    (
        Contact(0.04, "bob", 1, "delivered", D1, D1),
        "#4        0.040000s  bob        request 1 delivered of d1",
    ),
    (
        Contact(0.05, "bob", 1, "answered", D1, D1, 503, 20, True),
        "#5        0.050000s  bob        request 1 answered of d1 with 503 restarting, 20 body bytes",
    ),
    (FaultEnded(0.06, "f1"), "#6        0.060000s  f1         is healed"),
    (NodeChanged(0.07, "broker", "killed"), "#7        0.070000s  broker     is killed"),
    (
        NodeChanged(0.07, "broker", "stopped", "SystemExit: 1"),
        "#8        0.070000s  broker     is stopped: SystemExit: 1",
    ),
    (
        Broadcast(0.08, "DELEGATION_FAILED", ANN, {"delegation_id": D1}),
        '#9        0.080000s  broker     broadcasts DELEGATION_FAILED for ann {"delegation_id": "d1"}',
    ),
    (Fail(0.09, "l1", "refused"), "#10       0.090000s  l1         had no effect: refused"),
    (
        Info(0.1, "l2", "reset", 200),
        "#11       0.100000s  l2         outcome unknown after the head of a 200: reset",
    ),
    (
        Final(9.0, {"delegations": [{"delegation_id": D1, "status": "failed", "result_preview": None}]}, None, {}),
        "#12       9.000000s  final      rows: delegations 1; inbox: not observed; listing: ",
    ),
)


def history() -> History:
    members = {"ann": Member("ann", ANN, "poll"), "bob": Member("bob", BOB, "push")}
    return History(members, entries=[entry for entry, _ in ENTRIES])


def test_every_kind_of_entry_has_its_line_with_names_instead_of_ids() -> None:
    assert {type(entry) for entry, _ in ENTRIES} == set(get_args(Entry))
    lines = list(history_text.lines(history()))
    assert lines[: len(ENTRIES)] == [line for _, line in ENTRIES]


def test_the_rows_of_the_final_state_follow_it_without_empty_columns() -> None:
    assert list(history_text.lines(history()))[-1] == "      delegations          delegation_id=d1 status=failed"


def test_a_long_body_is_cut_and_control_characters_are_escaped() -> None:
    long = History({}, entries=[Ok(0.0, "d1", 500, {"error": "\x1b[2J" + "x" * 5000})])
    line = history_text.line(long, 0)
    assert "\x1b" not in line and line.endswith("…") and width(line) < 220
    assert "\n" not in history_text.line(History({}, entries=[Fail(0.0, "d\n1", "a\nb")]), 0)


def test_a_run_report_carries_the_lines_that_its_violations_point_to_and_survives_a_process_boundary() -> None:
    played = Scenario(
        path="scenarios/a/b.yaml",
        family="a",
        name="b",
        title="T",
        covers=(),
        workspaces=(Workspace(name="ann"), Workspace(name="bob")),
        steps=(Step(does=Delegate(op="d1", source="ann", target="bob")),),
    )
    seen = history()
    seen.entries[9:] = [Contact(0.2, "bob", 2, "opened", D1, D1), Final(9.0, None, None, None)]
    judgement = judge(played, seen)
    report = report_of(
        played,
        seen,
        judgement,
        seed=3,
        trace_hash="ab",
        virtual_s=9.0,
        cpu_ms=1.0,
        wall_ms=2.0,
        replay="fumble run scenarios/a/b.yaml --seed 3",
    )
    early = next(finding for finding in report.violations if finding.invariant == "INV-21")
    assert early.sentence == ("d1 (ann to bob) was sent to bob again 0.160 s after the first attempt; the delay is 8 s")
    assert early.lines == (
        *(line for _, line in ENTRIES[4:6]),
        "#9        0.200000s  bob        request 2 opened of d1",
    )
    assert (report.verdict, report.scenario, report.family, report.seed) == ("failed", "b", "a", 3)
    assert pickle.loads(pickle.dumps(report)) == report
