"""What the scenario itself says must come of an operation, on top of the invariants (id `EXPECT`).

`deliveries` counts what decisions, §2, call delivered: an agent that answers 503 `restarting: true` did not get it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sim.invariants.calls import Call
from sim.invariants.delegations import View
from sim.invariants.messages import Delegation, Message
from sim.invariants.violation import Violation
from sim.scenario.model import Expectation, Scenario

ID = "EXPECT"


def unmet(scenario: Scenario, view: View) -> Iterator[Violation]:
    """One violation for each operation whose expectation does not hold, naming all that differs.

    Without a final state nothing is judged: what was expected may still have come.
    """
    if view.final is None:
        return
    for wanted in scenario.expect:
        call = view.calls.get(wanted.op)
        if call is None:
            yield Violation(ID, f"{wanted.op} was expected to be played and never began", (), wanted.op)
            continue
        message = _message_of(view, wanted.op)
        differences = [*_differences(view, wanted, call, message)]
        if differences:
            expected = " and ".join(expected for expected, _ in differences)
            actual = " and ".join(actual for _, actual in differences)
            why = f" ({message.detail})" if isinstance(message, Delegation) and message.detail else ""
            yield Violation(
                ID,
                f"{wanted.op} was expected {expected}; it {actual}{why}",
                call.entries if message is None else view.evidence(message, *call.entries, final=True),
                wanted.op,
            )


def unobserved(wanted: Expectation, view: View) -> frozenset[str]:
    """The parts of the expectation that ask for what this history could not observe; they are not judged."""
    there = view.observed
    message = _message_of(view, wanted.op)
    asks_a_delegation = message is None or isinstance(message, Delegation)
    parts = {
        "statuses": wanted.statuses is not None and "statuses" not in there,
        "inbox": wanted.inbox is not None and not there & {"rows", "inbox"},
        "detail": wanted.detail is not None and "told" not in there,
        "text": wanted.text is not None and asks_a_delegation and "told" not in there,
    }
    return frozenset(part for part, is_missing in parts.items() if is_missing)


def _differences(view: View, wanted: Expectation, call: Call, message: Message | None) -> Iterator[tuple[str, str]]:
    if wanted.answers is not None and call.status not in wanted.answers:
        yield (
            f"to be answered {_choice(wanted.answers, 'not at all')}",
            f"was answered {_one(call.status, 'not at all')}",
        )
    count = 0 if message is None else message.deliveries
    if wanted.deliveries is not None and count not in wanted.deliveries:
        yield f"to be delivered {_choice(wanted.deliveries, 'never')} times", f"was delivered {count} times"
    if wanted.text is not None and not isinstance(message, Delegation):
        yield from _missing_text(wanted.text, "\n".join(_texts(call.body)))
    else:
        yield from _delegation_differences(view, wanted, message if isinstance(message, Delegation) else None)


def _delegation_differences(view: View, wanted: Expectation, each: Delegation | None) -> Iterator[tuple[str, str]]:
    unseen = unobserved(wanted, view)
    status, detail = (None, "") if each is None else (each.status, each.detail)
    if wanted.statuses is not None and "statuses" not in unseen and status not in wanted.statuses:
        yield f"to end {_choice(wanted.statuses, 'never accepted')}", f"ended {_one(status, 'never accepted')}"
    if wanted.inbox is not None and "inbox" not in unseen:
        rows = () if each is None else each.inbox_rows
        left = tuple(str(row.get("status")) for row in rows) or ("none",)
        if left not in {(allowed,) for allowed in wanted.inbox}:
            yield f"to leave an inbox row {_choice(wanted.inbox, 'none')}", f"left {', '.join(left)}"
    if wanted.detail is not None and "detail" not in unseen and wanted.detail not in detail:
        yield f"to say why with {wanted.detail!r}", "did not"
    if wanted.text is not None and "text" not in unseen:
        yield from _missing_text(wanted.text, "" if each is None else each.result_text)


def _missing_text(wanted: str, text: str) -> Iterator[tuple[str, str]]:
    if wanted not in text:
        yield f"to have the text {wanted!r}", f"has {text[:80]!r}"


def _message_of(view: View, op: str) -> Message | None:
    for message in view.messages():
        if any(call.op == op for call in message.calls):
            return message
    return None


def _texts(body: Any) -> Iterator[str]:
    """Every text part in an answer, in order."""
    if isinstance(body, dict):
        if isinstance(body.get("text"), str):
            yield body["text"]
        for value in body.values():
            yield from _texts(value)
    elif isinstance(body, list):
        for value in body:
            yield from _texts(value)


def _choice(values: tuple[Any, ...], nothing: str) -> str:
    return " or ".join(_one(value, nothing) for value in values)


def _one(value: Any, nothing: str) -> str:
    return nothing if value is None else str(value)
