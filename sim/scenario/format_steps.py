"""The table of steps: what may stand under `steps`."""

from __future__ import annotations

from sim.scenario.containers import ListOf, Made, Shared
from sim.scenario.fields import Field, Record, Variants
from sim.scenario.model import (
    Delegate,
    Heartbeat,
    ListDelegations,
    Operation,
    ReadInbox,
    Report,
    Send,
    Step,
    Together,
    Wait,
)
from sim.scenario.model import Record as RecordWork
from sim.scenario.names import NAME_PATTERN
from sim.scenario.problems import with_article
from sim.scenario.reader import Reader
from sim.scenario.references import OperationName, WorkspaceName, check_report_order
from sim.scenario.scalars import Duration, Text, Whole, Word

NAME = Text("a name of small letters, digits, - and _, beginning with a letter", NAME_PATTERN)

_AS = Field("as", NAME, "The operation's name, for faults and expectations; d1, d2, m1, ... if left out", "op")
_AT = Field("at", Duration(), "Not before this time since the first step", "at_s")


def _workspace(key: str, help: str, into: str = "") -> Field:
    return Field(key, WorkspaceName(), help, into, required=True)


OPERATIONS: dict[str, Record[Operation]] = {
    "delegate": Record(
        "'delegate'",
        Delegate,
        (
            _AS,
            _workspace("from", "The workspace that delegates", "source"),
            _workspace("to", "The workspace that does the work", "target"),
            Field("task", Text(), "What is to be done"),
            Field("key", Text(), "The idempotency key"),
        ),
        named="op",
    ),
    "record": Record(
        "'record'",
        RecordWork,
        (
            _AS,
            _workspace("from", "The workspace whose agent has sent the work by itself", "source"),
            _workspace("to", "The workspace that does the work", "target"),
            Field("task", Text(), "What is to be done"),
            Field("id", Text(), "The delegation's id, made by the agent; one of its own if left out"),
        ),
        named="op",
    ),
    "send": Record(
        "'send'",
        Send,
        (
            _AS,
            _workspace("from", "The workspace that sends", "source"),
            _workspace("to", "The workspace that answers", "target"),
            Field("text", Text(), "The message"),
        ),
        named="op",
    ),
    "report": Record(
        "'report'",
        Report,
        (
            _AS,
            _workspace("by", "The workspace that reports"),
            Field(
                "delegation",
                OperationName(("delegate", "record")),
                "The 'delegate' or 'record' whose outcome is reported",
                required=True,
            ),
            Field("status", Word("a status to report", ("completed", "failed")), "How it went"),
            Field("text", Text(), "The result, or the error"),
        ),
        named="op",
        judge=check_report_order,
    ),
    "inbox": Record("'inbox'", ReadInbox, (_AS, _workspace("of", "The workspace whose inbox is read")), named="op"),
    "list": Record(
        "'list'", ListDelegations, (_AS, _workspace("of", "The workspace whose delegations are listed")), named="op"
    ),
    "heartbeat": Record(
        "'heartbeat'",
        Heartbeat,
        (
            _AS,
            _workspace("of", "The workspace that is alive"),
            Field("active_tasks", Whole(0, 1_000), "How many tasks it says it works on"),
        ),
        named="op",
    ),
}

_HELP = {
    "delegate": "POST /workspaces/{from}/delegate",
    "record": "POST /workspaces/{from}/delegations/record: an agent has sent the work by itself",
    "send": "POST /workspaces/{to}/a2a: a message through the proxy",
    "report": "POST /workspaces/{by}/delegations/{id}/update: a party says how it went",
    "inbox": "One poll of a workspace's inbox, past what was read before",
    "list": "GET /workspaces/{of}/delegations",
    "heartbeat": "POST /registry/heartbeat",
}


def _verb(verb: str, into: str) -> Field:
    return Field(verb, Shared(verb, OPERATIONS[verb]), _HELP[verb], into, required=True)


def _alone(*, operation: Operation) -> Operation:
    return operation


def _wait(duration_s: float) -> Wait:
    return Wait(duration_s=duration_s)


def _together(operations: tuple[Operation, ...]) -> Together:
    return Together(operations=operations)


_OPERATION = Variants(
    "an operation",
    {verb: Record(with_article(f"{verb!r} operation"), _alone, (_verb(verb, "operation"),)) for verb in OPERATIONS},
)
_OTHER_STEPS: tuple[Field, ...] = (
    Field("wait", Made(Duration(positive=True), _wait), "Nothing for this long", "does", required=True),
    Field(
        "together",
        Made(ListOf(_OPERATION, "operations", least=2), _together),
        "Operations that start in the same instant; the step ends when all have ended",
        "does",
        required=True,
    ),
)

STEP: Reader[Step] = Variants(
    "a step",
    {
        field.key: Record(with_article(f"{field.key!r} step"), Step, (field, _AT))
        for field in (*(_verb(verb, "does") for verb in OPERATIONS), *_OTHER_STEPS)
    },
)
