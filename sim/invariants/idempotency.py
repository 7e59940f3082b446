"""Idempotency (INV-50 to INV-53): one key of one source is one piece of work, until it has failed.

A key is judged by the answers that its operations got, in pairs (earlier, later) by the start of the operations. What
an unanswered operation did is only visible through the delegations that its key then has.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import inf

from sim.history import Ok
from sim.invariants.calls import Call
from sim.invariants.delegations import View
from sim.invariants.messages import TERMINAL_EVENTS, Delegation
from sim.invariants.violation import Violation


def key_is_one_delegation(view: View) -> Iterator[Violation]:
    """INV-50, for operations one after the other."""
    yield from _doubles(view, "INV-50", concurrent=False)
    for call in _keyed(view):
        if call.status != 200:
            continue
        if call.body.get("idempotent_hit") is not True:
            yield Violation(
                "INV-50",
                f"{call.op} was answered 200 for its key without idempotent_hit",
                call.entries,
                call.op,
            )
        target = view.names.get(str(call.body.get("target_id")))
        if target is not None and target != call.invoke.arguments["target"]:
            yield Violation(
                "INV-50",
                f"{call.op} delegates to {call.invoke.arguments['target']} and was answered 200 with a delegation "
                f"to {target}",
                call.entries,
                call.op,
            )


def racing_key_is_one_delegation(view: View) -> Iterator[Violation]:
    """INV-51, for operations that overlap."""
    return _doubles(view, "INV-51", concurrent=True)


def failed_frees_its_key(view: View) -> Iterator[Violation]:
    """INV-52."""
    for call in _keyed(view):
        if call.status != 200:
            continue
        hit = view.delegations.get(str(call.body.get("delegation_id")))
        if call.body.get("status") == "failed":
            how = "which it says has failed"
        elif hit is not None and any(index < call.index for index in _told_failed(hit)):
            how = "which had failed before"
        else:
            continue
        yield Violation(
            "INV-52",
            f"{call.op} was answered with the delegation that its key already had, {how}, instead of a new one",
            call.entries if hit is None else view.evidence(hit, *call.entries),
            call.op,
        )


def keys_do_not_mix(view: View) -> Iterator[Violation]:
    """INV-53; what was recorded has its id from its agent, and no key."""
    for each in view.delegations.values():
        delegated = [call for call in each.calls if call.invoke.action == "delegate"]
        first = next(iter(delegated), None)
        if first is None:
            continue
        for other in delegated[1:]:
            if other.status not in (200, 202) or first.status not in (200, 202):
                continue
            if _scope(first) != _scope(other) or _scope(first)[1] is None:
                yield Violation(
                    "INV-53",
                    f"{first.op} and {other.op} got one delegation, but they do not share a source and a key",
                    (*first.entries, *other.entries),
                    f"{first.op}/{other.op}",
                )
    for call in view.calls_of("delegate"):
        if not call.invoke.arguments.get("key") and call.status == 200:
            yield Violation("INV-53", f"{call.op} has no key and was answered as a repetition", call.entries, call.op)


def _doubles(view: View, invariant: str, *, concurrent: bool) -> Iterator[Violation]:
    by_key: dict[tuple[str | None, str], list[Delegation]] = {}
    for each in view.delegations.values():
        if each.key and each.calls:
            by_key.setdefault((each.source, each.key), []).append(each)
    for (source, key), same in by_key.items():
        same.sort(key=lambda each: each.first_index)
        for earlier, later in pairwise(same):
            if _overlap(earlier.calls[0], later.calls[0]) is not concurrent or _failed_before(earlier, later.calls[0]):
                continue
            if earlier.status is None and "rows" not in view.observed:
                continue
            yield Violation(
                invariant,
                f"{earlier.name} and {later.name} of {source} have the key {key!r} and became two delegations, "
                f"though the first was not failed then (at the end it is {earlier.status or 'unknown'})",
                view.evidence(earlier, *view.evidence(later)),
                f"{earlier.name}/{later.name}",
            )


def _keyed(view: View) -> Iterator[Call]:
    for call in view.calls_of("delegate"):
        if call.invoke.arguments.get("key"):
            yield call


def _scope(call: Call) -> tuple[str, str | None]:
    return call.invoke.workspace, call.invoke.arguments.get("key") or None


def _overlap(one: Call, other: Call) -> bool:
    return one.invoke.at_s <= other.end_s and other.invoke.at_s <= one.end_s


def _failed_before(each: Delegation, call: Call) -> bool:
    """Whether `each` may have failed before `call` was decided on."""
    if each.status != "failed":
        return False
    decided_s = call.end_s if isinstance(call.end, Ok) else inf
    failed_s = min((event.at_s for event in each.recorded_ends if event.at_s is not None), default=0.0)
    return failed_s <= decided_s


def _told_failed(each: Delegation) -> Iterator[int]:
    for event in each.broadcast_ends:
        if TERMINAL_EVENTS[event.name] == "failed" and event.index is not None:
            yield event.index
