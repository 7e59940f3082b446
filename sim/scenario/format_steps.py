"""The table of steps: what may stand under `steps`."""

from __future__ import annotations

from sim.scenario.containers import ListOf, Made, Shared
from sim.scenario.fields import Field, Found, Record, Variants
from sim.scenario.model import (
    Check,
    Delegate,
    Heartbeat,
    ListDelegations,
    Mcp,
    Operation,
    ReadInbox,
    Register,
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
from sim.scenario.references import OperationName, WorkspaceName, check_delegation_order
from sim.scenario.scalars import Duration, Text, Whole, Word, WordOr

NAME = Text("a name of small letters, digits, - and _, beginning with a letter", NAME_PATTERN)

_AS = Field("as", NAME, "The operation's name, for faults and expectations; d1, d2, m1, ... if left out", "op")
_DELEGATION = OperationName(("delegate", "mcp"))
_AT = Field("at", Duration(), "Not before this time since the first step", "at_s")


def _check_query(found: Found) -> None:
    if "query" in found.values and "cursor" in found.values:
        found.mistake_at("query", "a read past a cursor has its query already: keep one of 'cursor' and 'query'")


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
    "mcp": Record(
        "'mcp'",
        Mcp,
        (
            _AS,
            _workspace("from", "The workspace whose language model calls the tool", "source"),
            _workspace("to", "The workspace that does the work", "target"),
            Field(
                "tool",
                Word("a tool that delegates", ("delegate_task", "delegate_task_async")),
                "delegate_task_async (default): answered at once; delegate_task: answered with the result",
            ),
            Field("task", Text(), "What is to be done"),
        ),
        named="op",
    ),
    "check": Record(
        "'check'",
        Check,
        (
            _AS,
            _workspace("by", "The workspace whose language model asks"),
            Field("delegation", _DELEGATION, "The 'mcp' or 'delegate' that is asked about", required=True),
        ),
        named="op",
        judge=check_delegation_order,
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
            Field("expires_in", Duration(positive=True), "How long it may wait for a busy agent", "expires_in_s"),
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
                OperationName(("delegate", "mcp", "record")),
                "The 'delegate', 'mcp' or 'record' whose outcome is reported",
                required=True,
            ),
            Field("status", Word("a status to report", ("completed", "failed")), "How it went"),
            Field("text", Text(), "The result, or the error"),
        ),
        named="op",
        judge=check_delegation_order,
    ),
    "inbox": Record(
        "'inbox'",
        ReadInbox,
        (
            _AS,
            _workspace("of", "The workspace whose inbox is read"),
            Field(
                "cursor",
                WordOr({"lost": "lost"}, WorkspaceName()),
                "Read past the cursor of another workspace, or past a lost one, which is nowhere",
            ),
            Field("query", Text(), "Read by this query string instead of a cursor: source=agent&since_secs=60"),
        ),
        named="op",
        judge=_check_query,
    ),
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
            Field("spend_cents", Whole(0, 1_000_000_000), "What it says it has spent this month; 0 says nothing"),
        ),
        named="op",
    ),
    "register": Record(
        "'register'",
        Register,
        (
            _AS,
            _workspace("of", "The workspace that registers, or does so again"),
            Field("delivery", Word("a delivery", ("push", "poll")), "How it wants to be delivered to from now on"),
        ),
        named="op",
    ),
}

_HELP = {
    "delegate": "POST /workspaces/{from}/delegate",
    "mcp": "POST /workspaces/{from}/mcp: a tool that delegates",
    "check": "POST /workspaces/{by}/mcp: the tool check_task_status",
    "record": "POST /workspaces/{from}/delegations/record: an agent has sent the work by itself",
    "send": "POST /workspaces/{to}/a2a: a message through the proxy",
    "report": "POST /workspaces/{by}/delegations/{id}/update: a party says how it went",
    "inbox": "One poll of a workspace's inbox, past what was read before",
    "list": "GET /workspaces/{of}/delegations",
    "heartbeat": "POST /registry/heartbeat",
    "register": "POST /registry/register",
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
