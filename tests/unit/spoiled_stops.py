"""Runs in which the broker goes too late, or too early; `STOPS` is the table (see test_invariants_fail)."""

from __future__ import annotations

from collections.abc import Callable

from sim.history import Fail, Info, Invoke, NodeChanged

from .histories import Run


def gone_long_after_its_grace() -> Run:
    run = Run().completed()
    run.entries += [NodeChanged(5.0, "broker", "stopping"), NodeChanged(20.5, "broker", "stopped")]
    run.entries.append(NodeChanged(25.0, "broker", "started"))
    return run


def never_gone() -> Run:
    run = Run().completed()
    run.entries.append(NodeChanged(5.0, "broker", "stopping"))
    return run


def slow_after_standing_still() -> Run:
    run = gone_long_after_its_grace()
    run.entries += [NodeChanged(4.0, "broker", "paused"), NodeChanged(7.0, "broker", "resumed")]
    return run


def ended_by_a_drain() -> Run:
    """A fault of a drain goes through to the process."""
    run = Run().drained()
    run.entries.append(NodeChanged(70.0, "broker", "stopped", "SystemExit: 2"))
    return run


def ended_after_an_earlier_stop() -> Run:
    run = Run().completed()
    run.entries += [NodeChanged(5.0, "broker", "stopping"), NodeChanged(6.0, "broker", "stopped")]
    run.entries += [NodeChanged(7.0, "broker", "started"), NodeChanged(9.0, "broker", "stopped")]
    return run


def refused_without_a_reason() -> Run:
    run = Run().completed()
    run.entries += [Invoke(100.0, "m1", "send", "ann", {"target": "bob"}), Fail(100.1, "m1", "no connection: refused")]
    return run


def silent_without_a_reason() -> Run:
    run = Run().completed()
    run.fault("f1", where="broker-agent:bob", at_s=99.0, until_s=101.0)
    run.fault("f2", where="broker-database", at_s=10.0, until_s=30.0)
    run.entries += [Invoke(100.0, "l1", "list", "ann", {}), Info(160.0, "l1", "no answer within 60 s")]
    return run


STOPS: tuple[tuple[str, Callable[[], Run], str, str], ...] = (
    ("INV-08", gone_long_after_its_grace, "at 5.000 s with a grace of 10 s, and was gone 15.5 s later", "broker"),
    ("INV-08", never_gone, "and was still there 3995.0 s later", "broker"),
    ("INV-08", slow_after_standing_still, "and was gone 13.5 s later", "broker"),
    ("INV-77", ended_by_a_drain, "ended at 70.000 s, and nobody had asked it to: SystemExit: 2", "broker"),
    ("INV-77", ended_after_an_earlier_stop, "ended at 9.000 s, and nobody had asked it to", "broker"),
    ("INV-77", refused_without_a_reason, "did not answer m1, though nothing had disturbed it: no connection", "m1"),
    ("INV-77", silent_without_a_reason, "did not answer l1, though nothing had disturbed it: no answer", "l1"),
)
