"""The table of a whole scenario file: its sections, workspaces, broker settings and expectations."""

from __future__ import annotations

from typing import Any

from sim.scenario.containers import Entries, ListOf, OneOrMore
from sim.scenario.fields import Field, Found, Record
from sim.scenario.format_agents import BEHAVIOUR
from sim.scenario.format_faults import FAULT
from sim.scenario.format_load import LOAD, check_load
from sim.scenario.format_steps import NAME, STEP
from sim.scenario.model import Expectation, Workspace
from sim.scenario.problems import quoted, with_article
from sim.scenario.references import OperationName, WorkspaceName, check_parent
from sim.scenario.scalars import Duration, Text, Whole, Word, WordOr
from sim.scenario.settings import Settings

COVERED = Text("an id such as INV-30, H68 or D4", "[A-Z]+-?[0-9]+")
_NONE = {"none": None}

WORKSPACE = Record(
    "a workspace",
    Workspace,
    (
        Field(
            "delivery",
            Word("a delivery", ("push", "poll", "none")),
            "push (default): the broker calls the agent; poll: it asks; none: the broker does not know it yet",
        ),
        Field("parent", WorkspaceName(), "The workspace above it; without one it is a root, and roots are siblings"),
        Field("budget_cents", Whole(0, 1_000_000_000), "What it may spend before nothing is sent to it any more"),
        Field(
            "agent",
            OneOrMore(BEHAVIOUR, "behaviours"),
            "What the agent does with its first contact, its second, ...; the last one repeats",
        ),
    ),
    named="name",
    judge=check_parent,
    may_be_empty=True,
)

# What can be expected of an operation, by its verb: the rest is only known of a delegation.
EXPECTED_OF: dict[str, tuple[str, ...]] = {
    "delegate": ("answer", "status", "deliveries", "inbox", "detail", "text"),
    "mcp": ("answer", "status", "deliveries", "inbox", "detail", "text"),
    "check": ("answer", "text"),
    "record": ("answer", "status", "inbox", "detail", "text"),
    "send": ("answer", "deliveries", "text"),
    **dict.fromkeys(("report", "inbox", "list", "heartbeat", "register"), ("answer",)),
}


def _check_expected(found: Found) -> None:
    operation = found.reading.names.operations.get(found.values["op"])
    if operation is None:
        return
    fitting = EXPECTED_OF[operation.verb]
    for key in _EXPECTATIONS:
        if found.node.get(key) is not None and key not in fitting:
            name = quoted(found.values["op"])
            found.mistake_at(
                key,
                f"nothing to expect as {quoted(key)}: {name} is {with_article(quoted(operation.verb))}",
                allowed=fitting,
            )


_EXPECTATIONS: dict[str, Field] = {
    field.key: field
    for field in (
        Field(
            "answer",
            OneOrMore(WordOr(_NONE, Whole(100, 599, "none or an HTTP status")), "answers"),
            "Allowed HTTP statuses; none: no complete answer",
            "answers",
        ),
        Field(
            "status",
            OneOrMore(
                WordOr(
                    _NONE,
                    Word(
                        "a state of a delegation",
                        ("completed", "failed", "queued", "pending", "dispatched", "in_progress", "stuck", "none"),
                    ),
                ),
                "states",
            ),
            "Allowed final states; none: never accepted",
            "statuses",
        ),
        Field(
            "deliveries", OneOrMore(Whole(0, 1_000), "numbers"), "Allowed numbers of complete deliveries to the agent"
        ),
        Field(
            "inbox",
            OneOrMore(Word("an inbox row", ("ok", "error", "none")), "kinds of inbox row"),
            "What the caller finds in its inbox: ok, error or none",
        ),
        Field("detail", Text(), "A text that the error detail contains"),
        Field("text", Text(), "A text that the result contains"),
    )
}

EXPECTATION = Record("an expectation", Expectation, tuple(_EXPECTATIONS.values()), named="op", judge=_check_expected)

SECTIONS: tuple[Field, ...] = (
    Field("title", Text(), "What happens, in a sentence", required=True),
    Field("covers", ListOf(COVERED, "ids"), "Invariants and defects that this scenario is about"),
    Field("workspaces", Entries(NAME, WORKSPACE, "workspaces", least=1), "Who is there, by name", required=True),
    Field("broker", Settings(), "Settings of the broker under test that differ from its defaults"),
    Field("settle", Duration(positive=True), "How long the system may take to settle; 1h if left out", "settle_s"),
    Field(
        "watch",
        Word("something to watch", ("events",)),
        "events: a client follows the broker's WebSocket, and what it is told is judged too",
    ),
    Field("steps", ListOf(STEP, "steps", least=1), "What the clients do, one step after another"),
    Field("load", LOAD, "What many clients do at once, instead of steps: `fumble load` plays it"),
    Field("faults", ListOf(FAULT, "faults"), "What goes wrong, and when"),
    Field(
        "expect",
        Entries(OperationName(), EXPECTATION, "expectations"),
        "What must have become of an operation once the run has settled, by the operation's name",
    ),
)


def _sections(*, covers: tuple[str, ...] = (), **values: Any) -> dict[str, Any]:
    return {"covers": covers, **values}


SCENARIO: Record[dict[str, Any]] = Record("a scenario", _sections, SECTIONS, one_of=("steps", "load"), judge=check_load)
