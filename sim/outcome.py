"""What came of a run, without its times: the facts in which two worlds that play one scenario have to agree.

A fact has a subject (an operation, the work it asked for) and says one thing of it: how it was answered, how often it
was delivered, how it ended, what it left in the inbox. Ids, times and the order between independent things are no
facts: they differ between two correct runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sim.history import Ok
from sim.invariants.delegations import View, view_of
from sim.invariants.messages import Delegation, Message
from sim.worlds.run import Run


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
        facts[Fact(op, "is answered")] = str(call.status) if isinstance(call.end, Ok) else "not at all"
    for message in view.messages():
        if message.calls:
            facts.update(_facts_of(view, message))
    for violation in run.judgement.violations:
        facts[Fact(violation.subject, f"breaks {violation.invariant}")] = "yes"
    return facts


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
