"""What a broker may do when it is asked to stop, stands still or loses its power: no invariant is broken by it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sim.history import Contact, Fail, Flags, Info, Invoke, NodeChanged
from sim.invariants.delegations import view_of
from sim.invariants.verdict import judge

from .histories import Run, scenario


def stopped(*changes: tuple[float, str]) -> Run:
    run = Run().completed()
    run.entries += [NodeChanged(at_s, "broker", change) for at_s, change in changes]  # type: ignore[arg-type]
    return run


def gone_in_time() -> Run:
    return stopped((5.0, "stopping"), (16.5, "stopped"), (20.0, "started"))


def a_longer_grace() -> Run:
    run = stopped((5.0, "stopping"), (60.0, "stopped"), (65.0, "started"))
    run.flags = Flags(grace_s=60.0)
    return run


def standing_still_meanwhile() -> Run:
    return stopped((5.0, "stopping"), (6.0, "paused"), (66.0, "resumed"), (70.0, "stopped"), (71.0, "started"))


def standing_still_before() -> Run:
    return stopped((4.0, "paused"), (5.0, "stopping"), (65.0, "resumed"), (70.0, "stopped"), (71.0, "started"))


def killed_within_its_grace() -> Run:
    return stopped((5.0, "stopping"), (9.0, "killed"), (60.0, "started"))


def stopped_for_good() -> Run:
    """Nothing is asked of a broker that is not there, not even that it ends what it has accepted."""
    run = stopped((1.5, "stopping"), (1.6, "stopped"))
    run.settle_as("dispatched")
    for kind in ("result", "inbox"):
        run.activity.remove(run.row(kind))
    run.events.clear()
    run.inbox.clear()
    run.ledger[0]["result_preview"] = None
    run.without(Contact)
    run.entries = [entry for entry in run.entries if type(entry).__name__ not in ("Broadcast", "ModeRead")]
    return run


def refused_while_it_is_gone_and_starts() -> Run:
    run = gone_in_time()
    for number, at_s in enumerate((4.0, 17.0, 30.0, 75.0)):
        run.entries += [Invoke(at_s, f"l{number}", "list", "ann", {})]
        run.entries += [Fail(at_s + 0.1, f"l{number}", "no connection: refused")]
    run.entries = [entry for entry in run.entries if getattr(entry, "op", "") != "l0"]
    return run


def not_answered_by_a_slow_agent() -> Run:
    run = Run().completed()
    run.entries += [Invoke(90.0, "m1", "send", "ann", {"target": "bob"}), Info(150.0, "m1", "no answer within 60 s")]
    return run


def silent_while_the_link_is_mute() -> Run:
    run = Run().completed()
    run.fault("f1", where="client-broker", at_s=90.0, until_s=200.0)
    run.entries += [Invoke(100.0, "l1", "list", "ann", {}), Info(160.0, "l1", "no answer within 60 s")]
    return run


CORRECT = (
    gone_in_time,
    a_longer_grace,
    standing_still_meanwhile,
    standing_still_before,
    killed_within_its_grace,
    stopped_for_good,
    refused_while_it_is_gone_and_starts,
    not_answered_by_a_slow_agent,
    silent_while_the_link_is_mute,
)


@pytest.mark.parametrize("made", CORRECT, ids=lambda made: made.__name__)
def test_a_correct_run_has_no_violation(made: Callable[[], Run]) -> None:
    assert judge(scenario(), made().history()).violations == ()


@pytest.mark.parametrize(
    ("changes", "runs", "span"),
    [
        (((5.0, "stopping"), (6.0, "stopped"), (9.0, "started")), True, (5.0, 9.0)),
        (((5.0, "stopping"), (6.0, "paused"), (7.0, "resumed"), (8.0, "stopped"), (9.0, "started")), True, (5.0, 9.0)),
        (((5.0, "paused"), (6.0, "killed"), (7.0, "resumed"), (9.0, "started")), True, (5.0, 9.0)),
        (((5.0, "stopping"), (6.0, "stopped")), False, (5.0, float("inf"))),
        (((5.0, "stopping"),), False, (5.0, float("inf"))),
        (((5.0, "killed"), (7.0, "resumed")), False, (5.0, float("inf"))),
    ],
)
def test_a_broker_is_away_from_the_request_to_stop_until_it_is_started(
    changes: tuple[tuple[float, str], ...], runs: bool, span: tuple[float, float]
) -> None:
    view = view_of(stopped(*changes).history())
    assert view.broker_runs is runs
    assert [(each.where, each.began_s, each.ended_s) for each in view.disturbances] == [("broker", *span)]
