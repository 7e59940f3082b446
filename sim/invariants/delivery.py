"""Retry and delivery (INV-20 to INV-26), measured at the agent.

A message is sent again only when it is *known* not to have been delivered: the agent never had the whole of it, or
turned it away with 503 `restarting: true`. INV-22, 23 and 24 share out what may have happened to a request before a
further one: the agent refused it, replied to it, or said nothing; so one wrong repeat breaks exactly one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from math import inf

from sim.invariants.delegations import View
from sim.invariants.faults import any_on_the_way_to_agents
from sim.invariants.messages import Delegation, Message
from sim.invariants.requests import Request
from sim.invariants.violation import Violation

ATTEMPTS_MAX = 2
QUEUE_ATTEMPTS_MAX = 5
REPLY_BYTES_MAX = 10 * 1024 * 1024
_CLOCK_GRAIN_S = 1e-6


def at_most_two_attempts(view: View) -> Iterator[Violation]:
    """INV-20; an item of the queue has attempts of its own (contract, §7)."""
    for each in view.delegations.values():
        allowed = ATTEMPTS_MAX + (QUEUE_ATTEMPTS_MAX if each.was_queued else 0)
        if len(each.requests) > allowed:
            yield Violation(
                "INV-20",
                f"{each.label} was sent to {each.target} {len(each.requests)} times; {allowed} is the most",
                view.evidence(each),
                each.name,
            )


def retry_waits(view: View) -> Iterator[Violation]:
    """INV-21; drains of the queue follow heartbeats, not the delay."""
    delay_s = view.history.flags.retry_delay_s
    for each in view.delegations.values():
        if each.was_queued or len(each.requests) < 2:
            continue
        first, second = each.requests[0], each.requests[1]
        waited_s = second.opened_s - first.opened_s
        if waited_s < delay_s - _CLOCK_GRAIN_S:
            yield Violation(
                "INV-21",
                f"{each.label} was sent to {each.target} again {waited_s:.3f} s after the first attempt; "
                f"the delay is {delay_s:g} s",
                (*first.entries, *second.entries),
                each.name,
            )


def refused_is_not_retried(view: View) -> Iterator[Violation]:
    """INV-22."""
    return _repeats(view, "INV-22", _was_refused, "answered {status}")


def replied_is_not_retried_nor_failed(view: View) -> Iterator[Violation]:
    """INV-23; a reply that a fault may have kept from the broker can fail it, but not make it send again.

    A party that reports a failure may do so before the reply.
    """
    yield from _repeats(view, "INV-23", _replied, "answered {status} with {bytes} bytes")
    for each in view.delegations.values():
        if any(report.invoke.arguments["status"] == "failed" for report in each.reports):
            continue
        for request in each.requests:
            if each.status == "failed" and request.replied and _must_have_arrived(view, each, request):
                yield Violation(
                    "INV-23",
                    f"{each.label} ended failed ({each.detail}) although {request.agent} answered {request.status} "
                    f"with {request.body_bytes} bytes",
                    view.evidence(each, final=True),
                    each.name,
                )


def delivered_at_most_once(view: View) -> Iterator[Violation]:
    """INV-24."""
    return _repeats(view, "INV-24", _was_kept, "was given the whole message")


def empty_reply_is_not_completion(view: View) -> Iterator[Violation]:
    """INV-25."""
    for each in view.delegations.values():
        if each.status == "completed" and not each.reports and not any(request.replied for request in each.requests):
            empty = [request for request in each.requests if request.empty_2xx]
            if empty:
                yield Violation(
                    "INV-25",
                    f"{each.label} is completed although {each.target} answered {empty[-1].status} without a body",
                    view.evidence(each, final=True),
                    each.name,
                )


def completion_needs_a_reply(view: View) -> Iterator[Violation]:
    """INV-26."""
    for each in view.delegations.values():
        if (
            each.status == "completed"
            and not each.reports
            and not any(request.replied or request.empty_2xx for request in each.requests)
        ):
            yield Violation(
                "INV-26",
                f"{each.label} is completed ({each.result_text[:80]!r}) although {each.target} never replied to it "
                "and nobody reported",
                view.evidence(each, final=True),
                each.name,
            )


def _repeats(view: View, invariant: str, was: Callable[[Request], bool], how: str) -> Iterator[Violation]:
    for message in view.messages():
        for earlier, later in pairwise(message.requests):
            if was(earlier):
                what = how.format(status=earlier.status, bytes=earlier.body_bytes)
                yield Violation(
                    invariant,
                    f"{message.label} was sent to {message.target} again (request {later.number}) although the agent "
                    f"had got it in request {earlier.number}: it {what}",
                    (*earlier.entries, *later.entries),
                    message.name,
                )


def _replied(request: Request) -> bool:
    return request.replied


def _was_refused(request: Request) -> bool:
    return request.delivered and request.status is not None and not 200 <= request.status < 300


def _was_kept(request: Request) -> bool:
    return request.delivered and not request.replied and not _was_refused(request)


def _must_have_arrived(view: View, message: Message, request: Request) -> bool:
    if request.rpc_error or request.body_bytes > REPLY_BYTES_MAX:
        return False
    if request.last_s - message.asked_s >= view.budget_s(message):
        return False
    decided_s = inf
    if isinstance(message, Delegation):
        decided_s = min((event.at_s for event in message.recorded_ends if event.at_s is not None), default=inf)
    return not any_on_the_way_to_agents(view.disturbances, view.operations, request.opened_s, decided_s)
