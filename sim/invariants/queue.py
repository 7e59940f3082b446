"""The queue of busy agents (INV-70 to INV-81): who has to wait, in which order, and how waiting ends.

That a delegation whose item is over is not left queued is INV-03's, that a message is not delivered twice INV-24's;
what is judged here is what the items themselves say, and what was sent although it had to wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from math import inf

from sim.history import Info
from sim.invariants.access import may_be_refused
from sim.invariants.capacity import busy_since
from sim.invariants.delegations import View
from sim.invariants.faults import DATABASE, any_beyond_clients
from sim.invariants.messages import FALLBACK_EVENT, Delegation, Message
from sim.invariants.requests import Request
from sim.invariants.violation import Violation

ATTEMPTS_MAX = 5
_ACTIVE = ("queued", "dispatched")
_PREVENTING = ("broker", *DATABASE, "")
_ON_ITS_WAY_S = 1.0
"""What was claimed before a heartbeat or an expiry, reaches its agent within this, if nothing is disturbed."""


@dataclass(frozen=True, slots=True)
class _Wait:
    """An item that waited from `since_s` until its agent was first contacted, at `sent_s`; low ranks come first."""

    message: Message
    rank: tuple[int, float]
    since_s: float
    expires_s: float
    sent_s: float


def busy_agent_is_spared(view: View) -> Iterator[Violation]:
    """INV-70; a push after a recorded fallback is excused, as the capacity is read together with the mode."""
    announced = {
        str(e.payload.get("target_id")) for e in (*view.recorded, *view.broadcasts) if e.name == FALLBACK_EVENT
    }
    for message in view.messages():
        member = view.history.members.get(message.target or "")
        if member is None or member.delivery == "poll" or member.workspace_id in announced or not message.calls:
            continue
        for call in message.calls:
            if call.status == 202 and call.body.get("queued") is True and not message.queue_items:
                yield _about(view, "INV-70", message, "was answered 202 queued, and there is no item of it")
        if message.queue_items or busy_since(view, message.target, message.asked_s) is None:
            continue
        for request in message.requests:
            if busy_since(view, message.target, request.opened_s) is not None:
                yield _about(view, "INV-70", message, f"was sent to {message.target}, which had said that it is busy")
                break


def queued_without_its_client(view: View) -> Iterator[Violation]:
    """INV-71; that the broker has taken the message is told by what it stored of it.

    A broker that was never started again may have had no time to put it into the queue.
    """
    if not view.broker_runs:
        return
    for message in view.messages():
        taken = message.delegate_rows if isinstance(message, Delegation) else message.inbound_rows
        left_alone = [call for call in message.calls if isinstance(call.end, Info)]
        elsewhere = message.queue_items or message.requests or view.may_poll(message.target)
        if not taken or not left_alone or elsewhere or may_be_refused(view, message):
            continue
        if isinstance(message, Delegation) and message.reports:
            continue
        last_s = max(call.end_s for call in left_alone)
        struck = any(each.where in _PREVENTING and each.overlaps(message.asked_s, last_s) for each in view.disturbances)
        if not struck and busy_since(view, message.target, message.asked_s) is not None:
            what = f"was taken while {message.target} was busy, its client hung up, and there is no item of it"
            yield _about(view, "INV-71", message, what)


def one_active_item(view: View) -> Iterator[Violation]:
    """INV-72."""
    for message in view.messages():
        active = [item for item in message.queue_items if item["status"] in _ACTIVE]
        if len(active) > 1:
            yield _about(view, "INV-72", message, f"has {len(active)} items that wait or are on their way")


def sent_once_an_attempt(view: View) -> Iterator[Violation]:
    """INV-73."""
    for message in view.messages():
        drained = _drained(view, message)
        attempts = sum(item.get("attempts", 0) for item in message.queue_items)
        if len(drained) > attempts:
            what = f"was sent {len(drained)} times from the queue in {attempts} attempts: two drains had the same item"
            yield _about(view, "INV-73", message, what)


def in_order_and_in_time(view: View) -> Iterator[Violation]:
    """INV-74; what went wrong in between may hold up an item that comes first."""
    waits = [wait for message in view.messages() for wait in _waits(view, message)]
    for wait in waits:
        late_s = wait.sent_s - wait.expires_s
        if late_s > _ON_ITS_WAY_S and not _disturbed(view, wait.expires_s, wait.sent_s):
            yield _about(view, "INV-74", wait.message, f"was sent {late_s:.1f} s after it had expired")
    for first, second in permutations(waits, 2):
        overtaken = first.rank < second.rank and first.since_s < second.sent_s < first.sent_s
        same_queue = first.message.target == second.message.target
        if same_queue and overtaken and not _disturbed(view, first.since_s, first.sent_s):
            what = f"was sent after {second.message.label}, which came behind it in the queue"
            yield _about(view, "INV-74", first.message, what)


def every_item_ends(view: View) -> Iterator[Violation]:
    """INV-75; an item of a delegation that is left on its way is INV-03's."""
    for message in view.messages():
        for item in message.queue_items:
            if item["status"] == "dispatched" and view.broker_runs and not isinstance(message, Delegation):
                yield _about(view, "INV-75", message, "has an item that is on its way for ever")
            answered = any(request.replied for request in message.requests) or view.is_polled(message.target)
            if item["status"] == "completed" and not answered:
                what = f"has a completed item although {message.target} never replied to it"
                yield _about(view, "INV-75", message, what)


def at_most_five_attempts(view: View) -> Iterator[Violation]:
    """INV-76."""
    for message in view.messages():
        for item in message.queue_items:
            if item.get("attempts", 0) > ATTEMPTS_MAX:
                what = f"has an item with {item['attempts']} attempts; {ATTEMPTS_MAX} is the most"
                yield _about(view, "INV-76", message, what)


def late_reply_reaches_its_delegation(view: View) -> Iterator[Violation]:
    """INV-78; a reply that was cut leaves what arrived of it."""
    for each in view.delegations.values():
        replies = [request.text for request in each.requests if request.answered and request.text is not None]
        cut = any((row["response_body"] or {}).get("truncated") for row in each.terminal_results)
        if not each.queue_items or each.status != "completed" or each.reports or cut or not replies:
            continue
        if each.result_text not in replies:
            what = f"waited in the queue and was replied {replies[-1][:80]!r}; its result is {each.result_text[:80]!r}"
            yield _about(view, "INV-78", each, what)


def failed_item_fails_its_delegation(view: View) -> Iterator[Violation]:
    """INV-79; a report may have come first."""
    for each in view.delegations.values():
        if not each.terminal or each.reports or len(each.queue_items) != 1:
            continue
        (item,) = each.queue_items
        if item["status"] in ("failed", "dropped") and (each.status, each.detail) != ("failed", item.get("last_error")):
            what = f"is {each.status} ({each.detail}) and its item is {item['status']} ({item.get('last_error')})"
            yield _about(view, "INV-79", each, what)


def drained_only_with_capacity(view: View) -> Iterator[Violation]:
    """INV-80; judged where nothing could hold up what was begun in time."""
    for message in view.messages():
        for request in _drained(view, message):
            since_s = busy_since(view, message.target, request.opened_s)
            if since_s is None or since_s > request.opened_s - _ON_ITS_WAY_S:
                continue
            if not _disturbed(view, since_s, request.opened_s):
                what = f"was sent from the queue although {message.target} had been busy since {since_s:.1f} s"
                yield _about(view, "INV-80", message, what)


def every_heartbeat_is_told(view: View) -> Iterator[Violation]:
    """INV-81."""
    recorded = [row for row in view.rows.get("structure_events", ()) if row["event_type"] == "WORKSPACE_HEARTBEAT"]
    for name, member in view.history.members.items():
        beats = view.heartbeats.get(name, [])
        least = sum(beat.status == 200 for beat in beats)
        most = sum(not beat.had_no_effect for beat in beats)
        count = sum(str(row["workspace_id"]) == member.workspace_id for row in recorded)
        if not least <= count <= most:
            entries = tuple(index for beat in beats for index in beat.entries)
            sentence = f"{name} sent {most} heartbeats, {least} of them acknowledged; {count} events tell of them"
            yield Violation("INV-81", sentence, entries, name)


def _about(view: View, invariant: str, message: Message, what: str) -> Violation:
    return Violation(invariant, f"{message.label} {what}", view.evidence(message, final=True), message.name)


def _drained(view: View, message: Message) -> list[Request]:
    """The requests of the message since it first waited."""
    times = [view.seconds(item.get("enqueued_at")) for item in message.queue_items]
    since_s = min((time_s for time_s in times if time_s is not None), default=None)
    return [] if since_s is None else [request for request in message.requests if request.opened_s >= since_s]


def _waits(view: View, message: Message) -> Iterator[_Wait]:
    """The waits that ended with a request, as far as the clocks are joined."""
    drained = _drained(view, message)
    for item in message.queue_items if drained else ():
        if (since_s := view.seconds(item["enqueued_at"])) is not None:
            expires_s = view.seconds(item["expires_at"])
            rank = (-item["priority"], since_s)
            yield _Wait(message, rank, since_s, inf if expires_s is None else expires_s, drained[0].opened_s)


def _disturbed(view: View, from_s: float, to_s: float) -> bool:
    struck = [each for each in view.disturbances if each.overlaps(from_s, to_s)]
    return any_beyond_clients(struck, view.operations)
