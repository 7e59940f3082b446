"""What came of a run, without its times: the facts in which two worlds that play one scenario have to agree.

A fact has a subject (an operation, the work it asked for) and says one thing of it: how it was answered, how often it
was delivered, how it ended, what it left in the inbox. Ids, times and the order between independent things are no
facts: they differ between two correct runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from sim.history import Ok
from sim.invariants.delegations import View, view_of
from sim.invariants.messages import Delegation, Message
from sim.scenario.model import Scenario
from sim.worlds.run import Run

NOTHING = "no such thing"
_UNANSWERED = "not at all"
_OF_INBOX = {"ok": "1 ok", "error": "1 error", "none": "nothing"}


@dataclass(frozen=True, slots=True, order=True)
class Fact:
    """What is said of whom; its value is apart, so that two outcomes can be laid side by side."""

    subject: str
    what: str


Outcome = Mapping[Fact, str]


def outcome_of(run: Run) -> Outcome:
    """The facts of a run."""
    view = view_of(run.history)
    facts: dict[Fact, str] = {}
    for op, call in view.calls.items():
        facts[Fact(op, "is answered")] = str(call.status) if isinstance(call.end, Ok) else _UNANSWERED
    for message in view.messages():
        if message.calls:
            facts.update(_facts_of(view, message))
    for violation in run.judgement.violations:
        facts[Fact(violation.subject, f"breaks {violation.invariant}")] = "yes"
    return facts


def choices_of(scenario: Scenario) -> Mapping[Fact, Set[str]]:
    """The facts for which a scenario expects one value of several, with these values."""
    choices: dict[Fact, Set[str]] = {}
    for each in scenario.expect:
        told = {
            "is answered": [_UNANSWERED if answer is None else str(answer) for answer in each.answers or ()],
            "ends": [NOTHING if status is None else status for status in each.statuses or ()],
            "is delivered": [f"{deliveries} times" for deliveries in each.deliveries or ()],
            "leaves in the inbox": [_OF_INBOX[status] for status in each.inbox or ()],
        }
        choices.update((Fact(each.op, what), {*values}) for what, values in told.items() if len(values) > 1)
    return choices


def _facts_of(view: View, message: Message) -> dict[Fact, str]:
    name = message.name
    facts = {Fact(name, "is delivered"): f"{message.deliveries} times"}
    if isinstance(message, Delegation):
        facts[Fact(name, "ends")] = str(message.status)
        facts[Fact(name, "leaves in the inbox")] = _counted(str(row["status"]) for row in message.inbox_rows)
    if message.queue_items or message.was_queued:
        facts[Fact(name, "leaves in the queue")] = _counted(str(item["status"]) for item in message.queue_items)
    return facts


def _counted(values: Iterable[str]) -> str:
    counts = Counter(values)
    return ", ".join(f"{count} {value}" for value, count in sorted(counts.items())) or "nothing"
