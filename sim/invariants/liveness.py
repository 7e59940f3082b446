"""Accepted work gets on (INV-01 to INV-03), judged after everything has healed and the system has settled.

What a fault made impossible is excused only where it struck: a client that hangs up excuses nothing. A broker that
was never started again has nothing to get on with, so the run is not judged for liveness then. What was accepted with
the warning that it could not be stored is promised for as long as that broker's process lives (decisions, §6; INV-05).
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.invariants.access import may_be_refused
from sim.invariants.delegations import View
from sim.invariants.faults import any_beyond_clients
from sim.invariants.messages import Delegation
from sim.invariants.violation import Violation

LISTED_MAX = 50
"""More than these a listing does not hold (contract, §2.4)."""
ENDING_SLACK_S = 60.0
"""For writing the outcome after the budget is over."""

_UNFINISHED = ("pending", "dispatched", "in_progress")


def accepted_work_reaches_its_agent(view: View) -> Iterator[Violation]:
    """INV-01; judged where nothing but the way between clients and broker was disturbed."""
    if not view.broker_runs or any_beyond_clients(view.disturbances, view.operations):
        return
    for each in view.delegations.values():
        if not each.accepted or each.requests or each.recorded or each.was_queued:
            continue
        left_to_others = view.may_poll(each.target) or may_be_refused(view, each)
        if not left_to_others and ("queue" in view.observed or not _may_wait(view, each)):
            yield Violation(
                "INV-01",
                f"{each.label} was accepted and never reached {each.target}, though nothing but clients was disturbed",
                view.evidence(each, final=True),
                each.name,
            )


def execution_ends_within_its_budget(view: View) -> Iterator[Violation]:
    """INV-02; judged where nothing but the way between clients and broker was disturbed."""
    if not view.broker_runs or any_beyond_clients(view.disturbances, view.operations):
        return
    budget_s = view.history.flags.execution_budget_s
    for each in view.delegations.values():
        if not each.calls or each.recorded or each.was_queued or each.reports or view.may_poll(each.target):
            continue
        last_s = max((event.at_s for event in each.recorded_ends if event.at_s is not None), default=0.0)
        last_s = max((last_s, *(request.opened_s for request in each.requests)))
        if last_s - each.asked_s > budget_s + ENDING_SLACK_S:
            yield Violation(
                "INV-02",
                f"{each.label} was still worked on {last_s - each.asked_s:.0f} s after it was asked for; "
                f"its budget is {budget_s:.0f} s",
                view.evidence(each, final=True),
                each.name,
            )


def accepted_work_ends(view: View) -> Iterator[Violation]:
    """INV-03."""
    if not view.broker_runs:
        return
    for each in view.delegations.values():
        if (what := _unfinished(view, each)) is not None:
            yield Violation("INV-03", f"{each.label} {what}", view.evidence(each, final=True), each.name)


def _may_wait(view: View, each: Delegation) -> bool:
    """Whether it waits in a queue, or did, as far as a run without rows can tell."""
    busy = any(call.invoke.arguments["active_tasks"] for call in view.heartbeats.get(each.target or "", ()))
    return busy or each.status == "queued"


def _unfinished(view: View, each: Delegation) -> str | None:
    if "rows" not in view.observed:
        return _unfinished_by_listing(view, each)
    if not each.delegate_rows:
        if not (each.accepted or each.requests) or each.key_reused:
            return None
        if _was_lost_as_warned(view, each):
            return None
        return "was accepted, and the broker knows nothing of it at the end"
    if each.status in _UNFINISHED and not each.recorded:  # what was recorded waits for a report, or its deadline
        return f"is still {each.status} after everything has healed and settled"
    if each.status == "queued" and not view.may_poll(each.target) and "a2a_queue" in view.rows:
        states = [item["status"] for item in each.queue_items]
        if "queued" not in states:
            return f"is queued, and no item of the queue will end it (items: {', '.join(states) or 'none'})"
    return None


def _unfinished_by_listing(view: View, each: Delegation) -> str | None:
    listing = (view.final.listing if view.final else None) or {}
    listed = listing.get(each.source or "", ())
    if each.status is None and each.accepted and each.source in listing and len(listed) < LISTED_MAX:
        excused = each.key_reused or _was_lost_as_warned(view, each)
        return None if excused else f"was accepted, and {each.source}'s listing does not have it at the end"
    if each.status in _UNFINISHED and not each.recorded:
        return f"is listed as {each.status} after everything has healed and settled"
    return None


def _was_lost_as_warned(view: View, each: Delegation) -> bool:
    """Only the memory of a broker that is gone had it, as the answer said."""
    return each.untracked and any(at_s >= each.asked_s for at_s in view.broker_ended_s)
