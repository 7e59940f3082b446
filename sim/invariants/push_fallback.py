"""No silent push (INV-10 to 14): an agent is contacted on a reading of `push`, or after saying that there is none.

The definition is that of decisions, §2: a fallback is silent unless a `DELIVERY_MODE_FALLBACK` event was recorded
*before* the request. A reading counts from the moment the message was asked for, and for a second attempt from the
first one on: an older one may be out of date.
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.invariants.delegations import View
from sim.invariants.faults import any_beyond_clients
from sim.invariants.messages import FALLBACK_EVENT, Delegation, Event, Message
from sim.invariants.requests import Request
from sim.invariants.violation import Violation

_CLOCK_GRAIN_S = 1e-5
"""Rows keep microseconds; the run's clock does not."""


def no_silent_push(view: View) -> Iterator[Violation]:
    """INV-10."""
    for message, request in _requests(view):
        if view.is_polled(request.agent) or _was_read_as_push(view, message, request):
            continue
        if not _was_announced(view, message, request):
            yield Violation(
                "INV-10",
                f"{_called(message)} was pushed to {request.agent} (its request {request.number}) although its "
                f"delivery mode had not been read as push, and no {FALLBACK_EVENT} was recorded before",
                view.evidence(message, *request.entries) if message else tuple(request.entries),
                request.agent if message is None else message.name,
            )


def fallback_names_what_it_does(view: View) -> Iterator[Violation]:
    """INV-11."""
    for event in (*view.recorded, *view.broadcasts):
        if event.name != FALLBACK_EVENT:
            continue
        missing = [key for key in ("target_id", "reason") if not event.payload.get(key)]
        if "delegation_id" not in event.payload:
            missing.append("delegation_id")
        if missing:
            target = view.names.get(str(event.payload.get("target_id")), "an unnamed target")
            yield Violation(
                "INV-11",
                f"The {FALLBACK_EVENT} event for {target} does not say its {', '.join(missing)}",
                tuple(index for index in (event.index, view.final_index) if index is not None)[:1],
                target,
            )


def polled_is_never_pushed_to(view: View) -> Iterator[Violation]:
    """INV-12."""
    for message, request in _requests(view):
        if view.is_polled(request.agent) and not _was_announced(view, message, request):
            yield Violation(
                "INV-12",
                f"{request.agent} polls, but the broker sent it {_called(message)} by HTTP (request {request.number}) "
                f"without a {FALLBACK_EVENT} before",
                view.evidence(message, *request.entries) if message else tuple(request.entries),
                request.agent if message is None else message.name,
            )


def polled_message_has_one_row(view: View) -> Iterator[Violation]:
    """INV-13."""
    for message in view.messages():
        if view.is_polled(message.target):
            yield from _judge_inbound(view, "INV-13", message, wanted=_was_left_for_the_poller(message))


def pushed_message_has_one_row(view: View) -> Iterator[Violation]:
    """INV-14; the sender may have gone before it was answered, so a reply of the agent counts where all else ran."""
    undisturbed = view.broker_runs and not any_beyond_clients(view.disturbances, view.operations)
    for message in view.messages():
        if message.target is not None and not view.is_polled(message.target):
            answered = not isinstance(message, Delegation) and any(call.status == 200 for call in message.calls)
            replied = undisturbed and any(request.replied for request in message.requests)
            yield from _judge_inbound(view, "INV-14", message, wanted=answered or replied)


def _judge_inbound(view: View, invariant: str, message: Message, *, wanted: bool) -> Iterator[Violation]:
    count = len(message.inbound_rows)
    if count > 1 or (wanted and count == 0):
        yield Violation(
            invariant,
            f"{message.label} left {count} a2a_receive rows for {message.target} where there must be "
            f"{'exactly' if wanted else 'at most'} one",
            view.evidence(message, final=True),
            message.name,
        )


def _was_left_for_the_poller(message: Message) -> bool:
    if isinstance(message, Delegation):
        return message.status in ("queued", "completed")
    return any(call.status == 200 for call in message.calls)


def _requests(view: View) -> Iterator[tuple[Message | None, Request]]:
    known: set[int] = set()
    for message in view.messages():
        for request in message.requests:
            known.add(id(request))
            yield message, request
    for request in view.requests:
        if id(request) not in known:
            yield None, request


def _was_read_as_push(view: View, message: Message | None, request: Request) -> bool:
    member = view.history.members.get(request.agent)
    if member is None:
        return False
    since = 0 if message is None else message.first_index
    if message is not None:
        earlier = [other.entries[0] for other in message.requests if other.entries[0] < request.entries[0]]
        since = max((since, *earlier))
    return any(
        since <= index < request.entries[0] and read.workspace_id == member.workspace_id and read.mode == "push"
        for index, read in view.mode_reads
    )


def _was_announced(view: View, message: Message | None, request: Request) -> bool:
    member = view.history.members.get(request.agent)
    return member is not None and any(
        event.name == FALLBACK_EVENT
        and str(event.payload.get("target_id")) == member.workspace_id
        and _is_about(event, message)
        and _was_before(event, message, request)
        for event in (*view.recorded, *view.broadcasts)
    )


def _is_about(event: Event, message: Message | None) -> bool:
    delegation_id = event.payload.get("delegation_id")
    return delegation_id is None or message is None or str(delegation_id) == message.id


def _was_before(event: Event, message: Message | None, request: Request) -> bool:
    if event.index is not None:
        return event.index < request.entries[0]
    if event.at_s is None:
        return True
    asked_s = 0.0 if message is None else message.asked_s
    return asked_s - _CLOCK_GRAIN_S <= event.at_s <= request.opened_s + _CLOCK_GRAIN_S


def _called(message: Message | None) -> str:
    return "a message of no known operation" if message is None else message.label
