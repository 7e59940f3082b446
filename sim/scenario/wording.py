"""Scenarios in words: a short line for a step, behaviour, trigger, action or fault, for progress and history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from sim.scenario.behaviours import (
    Behaviour,
    Busy,
    Cut,
    Empty,
    Garbage,
    Hang,
    JsonRpcError,
    Partial,
    Portion,
    Reply,
    Restarting,
    Slow,
    Status,
    Truncate,
)
from sim.scenario.durations import spoken
from sim.scenario.model import (
    Action,
    AddToxic,
    AtTime,
    Check,
    Delegate,
    Disconnect,
    Down,
    Fault,
    Heartbeat,
    Kill,
    ListDelegations,
    Mcp,
    OnCommit,
    OnOperation,
    OnQuery,
    OnRequest,
    OnResponse,
    OnStatus,
    Operation,
    Pause,
    ReadInbox,
    Record,
    Register,
    Report,
    Send,
    Step,
    Stop,
    Together,
    Trigger,
    Wait,
)

Described: TypeAlias = Operation | Wait | Together | Trigger | Action | Behaviour


def describe(thing: Described) -> str:
    """One line about a step's doing, a trigger, an action or a behaviour, as part of a sentence (no full stop)."""
    return _WORDING[type(thing)](thing)


def describe_step(step: Step) -> str:
    """A step with its time: `d1: ann delegates to bob, not before 2 s`."""
    return describe(step.does) + (f", not before {spoken(step.at_s)}" if step.at_s is not None else "")


def describe_fault(fault: Fault) -> str:
    """A fault with its name: `f1: reset_peer on broker-database from commit 2 for 5 s`."""
    when = describe(fault.when)
    if isinstance(fault.do, AddToxic | Down):
        when = when.removesuffix(f" on {fault.do.link}")
    start = "from" if isinstance(fault.do, AddToxic | Down | Pause) else "at"
    end = f" for {spoken(fault.for_s)}" if fault.for_s is not None else ""
    if isinstance(fault.do, Kill | Stop):
        again = fault.do.restart_after_s
        end = f", restart after {spoken(again)}" if again is not None else ", never to restart"
    return f"{fault.name}: {describe(fault.do)} {start} {when}{end}"


def _toxic(toxic: AddToxic) -> str:
    attributes = "".join(f" {key}={value}" for key, value in toxic.attributes.items())
    upstream = " upstream" if toxic.stream == "upstream" else ""
    share = f" ({toxic.toxicity:.0%} of connections)" if toxic.toxicity < 1 else ""
    return f"{toxic.type}{attributes}{upstream}{share} on {toxic.link}"


def _response(trigger: OnResponse) -> str:
    after = f"{trigger.after_bytes} bytes of " if trigger.after_bytes is not None else ""
    return f"{after}response {trigger.nth} on {trigger.link}"


def _query(trigger: OnQuery) -> str:
    text = f" with {trigger.containing!r}" if trigger.containing is not None else ""
    return f"query {trigger.nth}{text} on {trigger.link}"


def _portion(portion: Portion) -> str:
    return {"half": "half of the body", "all": "the whole body"}.get(str(portion), f"{portion} bytes of the body")


def _together(together: Together) -> str:
    return "together: " + "; ".join(describe(operation) for operation in together.operations)


def _inbox(operation: ReadInbox) -> str:
    cursors = {None: "", "lost": " past a lost cursor"}
    past = cursors.get(operation.cursor, f" past the cursor of {operation.cursor}")
    by = f" by {operation.query!r}" if operation.query is not None else ""
    return f"{operation.op}: {operation.of} reads its inbox{past}{by}"


def _heartbeat(operation: Heartbeat) -> str:
    spent = f", having spent {operation.spend_cents} cents" if operation.spend_cents else ""
    return f"{operation.op}: {operation.of} is alive with {operation.active_tasks} active tasks{spent}"


_WORDING: dict[type, Callable[[Any], str]] = {
    Delegate: lambda it: f"{it.op}: {it.source} delegates to {it.target}",
    Mcp: lambda it: f"{it.op}: {it.source} delegates to {it.target} by {it.tool}",
    Check: lambda it: f"{it.op}: {it.by} checks {it.delegation}",
    Record: lambda it: f"{it.op}: {it.source} records what it sent to {it.target}",
    Send: lambda it: f"{it.op}: {it.source} sends to {it.target}",
    Report: lambda it: f"{it.op}: {it.by} reports {it.delegation} {it.status}",
    ReadInbox: _inbox,
    ListDelegations: lambda it: f"{it.op}: {it.of} lists its delegations",
    Heartbeat: _heartbeat,
    Register: lambda it: f"{it.op}: {it.of} registers" + (f" to {it.delivery}" if it.delivery else ""),
    Wait: lambda it: f"wait {spoken(it.duration_s)}",
    Together: _together,
    AtTime: lambda it: spoken(it.at_s),
    OnRequest: lambda it: f"request {it.nth} on {it.link}",
    OnResponse: _response,
    OnStatus: lambda it: f"response {it.nth} with status {it.status} on {it.link}",
    OnQuery: _query,
    OnCommit: lambda it: f"commit {it.nth} on {it.link}",
    OnOperation: lambda it: f"{it.point} of {it.operation}",
    AddToxic: _toxic,
    Down: lambda it: f"down on {it.link}",
    Kill: lambda it: f"kill {it.node}",
    Stop: lambda it: f"stop {it.node}",
    Pause: lambda it: f"pause {it.node}",
    Disconnect: lambda it: f"client of {it.operation} hangs up ({it.ending})",
    Reply: lambda it: f"reply {it.text!r} after {spoken(it.after_s)}",
    Slow: lambda it: f"reply {it.text!r} in {it.pieces} pieces over {spoken(it.duration_s)}",
    Busy: lambda _: "503, busy",
    Restarting: lambda _: "503, restarting",
    Status: lambda it: f"status {it.code}",
    Empty: lambda it: f"{it.code} without a body",
    Partial: lambda it: f"{it.ending} after {_portion(it.body)}",
    Truncate: lambda it: f"{it.ending} after {_portion(it.body)}, sent in chunks",
    Hang: lambda _: "never answer",
    JsonRpcError: lambda it: f"JSON-RPC error {it.code} {it.message!r}",
    Garbage: lambda it: f"200 with {it.text!r}",
    Cut: lambda it: f"{it.ending} {it.when.replace('_', ' the request ')}",
}
