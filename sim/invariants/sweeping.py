"""The sweeper (INV-95 to INV-97): deadlines are kept, silence is not guessed at, and what has ended is left alone.

The ledger's rows tell all of it, as they carry their deadline and the time of their last change. While the broker was
down, or cut off from its database, it could not sweep; it is given one interval after the last of that.
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.invariants.delegations import View
from sim.invariants.faults import CLIENT_LINK
from sim.invariants.messages import TERMINAL, Delegation
from sim.invariants.violation import Violation

SWEEP_SLACK_S = 60.0
"""For one sweep, and for writing what comes of it."""
SAME_MOMENT_S = 5.0
_BY_DEADLINE = "deadline exceeded"


def deadline_is_kept(view: View) -> Iterator[Violation]:
    """INV-95; an execution that began late has its budget first."""
    if view.final is None or not view.broker_runs or not view.history.flags.ledger:
        return
    for each in view.delegations.values():
        deadline_s = view.seconds(each.ledger.get("deadline")) if each.ledger is not None else None
        if each.ledger is None or deadline_s is None:
            continue
        open_s = view.final.at_s - _due_s(view, each, deadline_s)
        ended_s = next((event.at_s for event in each.recorded_ends if event.at_s is not None), deadline_s)
        if each.ledger["status"] not in TERMINAL and open_s > 0:
            what = f"is still {each.ledger['status']} {view.final.at_s - deadline_s:.0f} s after its deadline"
        elif _BY_DEADLINE in each.detail and ended_s < deadline_s:
            what = f"was failed for its deadline {deadline_s - ended_s:.0f} s before it"
        else:
            continue
        yield Violation("INV-95", f"{each.label} {what}", view.evidence(each, final=True), each.name)


def unheard_is_not_stuck(view: View) -> Iterator[Violation]:
    """INV-96."""
    heard = {str(row["id"]): row["last_heartbeat_at"] for row in view.rows.get("workspaces", ())}
    for each in view.delegations.values():
        if each.ledger is None or each.ledger["status"] != "stuck" or each.ledger.get("last_heartbeat") is not None:
            continue
        callee = str(each.ledger["callee_id"])
        if callee in heard and heard[callee] is None:
            yield Violation(
                "INV-96",
                f"{each.label} is stuck although {each.target} was never heard and cannot have fallen silent",
                view.evidence(each, final=True),
                each.name,
            )


def ended_is_left_alone(view: View) -> Iterator[Violation]:
    """INV-97."""
    for each in view.delegations.values():
        if each.ledger is None or each.ledger["status"] not in TERMINAL:
            continue
        changed_s = view.seconds(each.ledger.get("updated_at"))
        ended_s = max((event.at_s for event in each.recorded_ends if event.at_s is not None), default=None)
        if changed_s is not None and ended_s is not None and changed_s > ended_s + SAME_MOMENT_S:
            yield Violation(
                "INV-97",
                f"The ledger row of {each.label} was changed {changed_s - ended_s:.0f} s after it was {each.status}",
                view.evidence(each, final=True),
                each.name,
            )


def _due_s(view: View, each: Delegation, deadline_s: float) -> float:
    """By when a sweep must have ended it."""
    free_s = deadline_s
    for disturbance in view.disturbances:
        if disturbance.where != CLIENT_LINK and disturbance.where not in view.operations:
            free_s = max(free_s, disturbance.ended_s)
    for request in each.requests:
        free_s = max(free_s, request.opened_s + view.history.flags.execution_budget_s)
    return free_s + view.history.flags.sweeper_interval_s + SWEEP_SLACK_S
