"""Delegating by MCP tools (INV-60 to INV-66). A task is a delegation, so all other invariants judge it as well.

What is special is what the language model is told: at once that its task is queued, within the tool's budget how it
ended, and of what kind a failure was. It sees nothing else, so a word too much here is a hand-off dropped.
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.history import Contact
from sim.invariants.calls import Call
from sim.invariants.delegations import View
from sim.invariants.faults import any_beyond_clients, any_on_the_way_to_agents
from sim.invariants.messages import Delegation
from sim.invariants.requests import Request
from sim.invariants.violation import Violation
from sim.mcp_answers import text_of

ASYNC = "delegate_task_async"
WRITE_SLACK_S = 5.0
"""For accepting the task and for writing its outcome, beside the budget of its execution."""

_KINDS = ("target_offline: ", "marshal_error: ", "delivery_unknown: ", "execution budget exhausted")


def async_is_answered_queued(view: View) -> Iterator[Violation]:
    """INV-60."""
    for call in view.calls_of("mcp"):
        if call.invoke.arguments["tool"] != ASYNC or (text := text_of(call.body)) is None:
            continue
        task, target = call.task, call.invoke.arguments["target"]
        if task.get("status") != "queued" or view.names.get(str(task.get("target_id"))) != target:
            yield Violation(
                "INV-60",
                f"{call.op} must be answered with a task of {target} that is queued; the answer is {text[:120]!r}",
                call.entries,
                call.op,
            )


def task_ends_within_its_budget(view: View) -> Iterator[Violation]:
    """INV-61; judged where nothing but the way between clients and broker was disturbed."""
    if not view.broker_runs or any_beyond_clients(view.disturbances, view.operations):
        return
    for each in _tasks(view):
        if each.was_queued or each.reports or view.is_polled(each.target):
            continue
        took_s = max((event.at_s for event in each.recorded_ends if event.at_s is not None), default=0.0) - each.asked_s
        if took_s > view.budget_s(each) + WRITE_SLACK_S:
            yield Violation(
                "INV-61",
                f"{each.label} ended {took_s:.1f} s after it was asked for; {each.tool} has {view.budget_s(each):g} s",
                view.evidence(each, final=True),
                each.name,
            )


def unmarshalled_is_never_sent(view: View) -> Iterator[Violation]:
    """INV-62."""
    for each in _tasks(view):
        if each.detail.startswith("marshal_error: ") and each.requests:
            yield Violation(
                "INV-62",
                f"{each.label} failed with {each.detail!r}, and {each.requests[0].agent} was sent it all the same",
                view.evidence(each, final=True),
                each.name,
            )


def failure_says_its_kind(view: View) -> Iterator[Violation]:
    """INV-63; what is reported, dropped from the queue, or answered as a JSON-RPC error, is told in its own words."""
    for each in _tasks(view):
        dropped = any(item["status"] == "dropped" for item in each.queue_items)
        if each.status != "failed" or each.reports or dropped:
            continue
        declined = next((request for request in reversed(each.requests) if _was_declined(request)), None)
        if declined is not None and not any_on_the_way_to_agents(
            view.disturbances, view.operations, declined.opened_s, declined.last_s + WRITE_SLACK_S
        ):
            right = each.detail == f"http_status: {declined.status}"
            wanted = f"http_status: {declined.status}"
        elif each.detail.startswith("http_status: "):
            right = any(each.detail == f"http_status: {request.status}" for request in each.requests)
            wanted = "a status that the agent answered"
        else:
            right = each.detail.startswith(_KINDS) or any(request.rpc_error for request in each.requests)
            wanted = " or ".join(kind.strip(": ") for kind in _KINDS)
        if not right:
            yield Violation(
                "INV-63",
                f"{each.label} failed with {each.detail!r}, which must say {wanted}",
                view.evidence(each, final=True),
                each.name,
            )


def answered_task_is_recorded(view: View) -> Iterator[Violation]:
    """INV-64; that the gates of the proxy hold for it too, other invariants say."""
    for call in view.calls_of("mcp"):
        if text_of(call.body) is not None and call.op not in view.asked_by:
            yield Violation(
                "INV-64",
                f"{call.op} was answered {text_of(call.body)!r:.80}, and the broker has no delegation of it",
                (*call.entries, *([] if view.final_index is None else [view.final_index])),
                call.op,
            )


def check_tells_the_caller_of_its_task(view: View) -> Iterator[Violation]:
    """INV-65; whether a task was stored before it was asked about is only certain where nothing was disturbed."""
    undisturbed = view.broker_runs and not any_beyond_clients(view.disturbances, view.operations)
    for call, each in _checks(view):
        task = call.task
        is_known, is_own = task["status"] != "not_found", call.invoke.workspace == each.source
        if task["task_id"] != each.id:
            what = f"was told of another task ({task['task_id']})"
        elif is_known and not is_own:
            what = f"is {call.invoke.workspace}'s, and was told that it is {task['status']}"
        elif undisturbed and is_own and not is_known:
            what = "was told that there is no such task"
        else:
            continue
        evidence = view.evidence(each, *call.entries)
        yield Violation("INV-65", f"{call.op} asked about {each.label}, and {what}", evidence, call.op)


def delivered_needs_a_reply(view: View) -> Iterator[Violation]:
    """INV-66."""
    for call, each in _checks(view):
        if call.task["status"] != "delivered" or each.reports:
            continue
        replies = [_replied_at(view, request) for request in each.requests if request.replied]
        if not any(index < (call.end_index or 0) for index in replies):
            yield Violation(
                "INV-66",
                f"{call.op} was told that {each.label} is delivered, and until then nobody had replied to it",
                view.evidence(each, *call.entries),
                call.op,
            )


def _tasks(view: View) -> Iterator[Delegation]:
    return (each for each in view.delegations.values() if each.tool is not None)


def _checks(view: View) -> Iterator[tuple[Call, Delegation]]:
    """The checks that were answered, with what they asked about."""
    for call in view.calls_of("check"):
        each = view.asked_by.get(call.invoke.arguments["delegation"])
        if each is not None and "status" in call.task:
            yield call, each


def _replied_at(view: View, request: Request) -> int:
    """The position at which the agent had begun to send the body of its reply."""
    seen = [(index, view.history.entries[index]) for index in request.entries]
    return min(index for index, entry in seen if isinstance(entry, Contact) and entry.body_bytes)


def _was_declined(request: Request) -> bool:
    return request.answered and request.status is not None and request.status >= 300 and not request.restarting
