"""What the live world cannot play, said by name before the run."""

from __future__ import annotations

from collections.abc import Iterator

from sim.adapter.model import Adapter
from sim.scenario.load import UserKind
from sim.scenario.model import (
    AddToxic,
    Check,
    Delegate,
    Down,
    Heartbeat,
    Kill,
    ListDelegations,
    Mcp,
    OnCommit,
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
    Scenario,
    Send,
    Step,
    Stop,
    Together,
    Wait,
)
from sim.worlds.links import BROKER_DATABASE

_ASKED_FOR: dict[type, str] = {
    Delegate: "delegate",
    Mcp: "mcp",
    Check: "mcp",
    Record: "record",
    Send: "send",
    Report: "report",
    ReadInbox: "inbox",
    ListDelegations: "list",
    Heartbeat: "heartbeat",
    Register: "register",
}
"""What of the broker's API an operation needs."""


_ASKED_BY_USERS: dict[UserKind, tuple[str, ...]] = {
    "delegator": ("delegate",),
    "mcp_client": ("mcp",),
    "inbox_poller": ("inbox",),
    "canvas": ("list", "send"),
    "leaver": ("delegate",),
    "duplicator": ("delegate",),
    "poll_agent": ("inbox", "report"),
    "heart": ("heartbeat",),
}


def not_playable(scenario: Scenario, adapter: Adapter) -> str | None:
    """Why a broker with this adapter cannot play a scenario; None: it can. Ours can play all of them."""
    return next(_beyond(adapter, scenario), None)


def operations_of(scenario: Scenario) -> tuple[Operation, ...]:
    """All operations, in the order of the file."""
    return tuple(operation for step in scenario.steps for operation in _operations_in(step))


def _beyond(adapter: Adapter, scenario: Scenario) -> Iterator[str]:
    """What a broker with this adapter cannot be asked for, or struck by."""
    if scenario.broker:
        yield f"broker: {', '.join(scenario.broker)} can be set on fumble's own broker only, not with --broker-url"
    absent = {action for action, path in adapter.paths.items() if path is None}
    for operation in operations_of(scenario):
        if (action := _ASKED_FOR[type(operation)]) in absent:
            yield f"{operation.op}: the broker has no {action!r}, says its adapter"
    for who, action in _asked_under_load(scenario):
        if action in absent:
            yield f"load: {who} need {action!r}, and the broker has none, says its adapter"
    if scenario.watch is not None and "events" in absent:
        yield "watch: the broker has no 'events', says its adapter"
    for workspace in scenario.workspaces:
        for what, value in (("parent", workspace.parent), ("budget_cents", workspace.budget_cents)):
            if value is not None and not adapter.workspaces.names(what):
                yield (
                    f"workspace {workspace.name}: nothing tells the broker its {what}; "
                    f'put "{{{what}}}" into the body of the adapter\'s `workspaces`'
                )
        if workspace.delivery == "none" and adapter.workspaces.id_in:
            yield f"workspace {workspace.name}: its id is made by the broker, which does not know it yet"
    for fault in scenario.faults:
        match fault.do:
            case Kill(node="broker") | Stop(node="broker") | Pause(node="broker") if adapter.command is None:
                verb = type(fault.do).__name__.lower()
                yield f"fault {fault.name}: {verb}: broker needs the adapter's `command`, with which fumble starts it"
        struck = [fault.do.link] if isinstance(fault.do, AddToxic | Down) else []
        if isinstance(fault.when, OnRequest | OnResponse | OnStatus | OnQuery | OnCommit):
            struck.append(fault.when.link)
        if BROKER_DATABASE in struck and adapter.database_listen is None:
            yield f"fault {fault.name}: {BROKER_DATABASE} is out of reach without the adapter's `database_listen`"


def _asked_under_load(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """Who asks for what of the broker's API."""
    if scenario.load is None:
        return
    for users in scenario.load.users:
        for action in _ASKED_BY_USERS[users.kind]:
            yield f"the users {users.kind}", action
    if scenario.load.arrivals:
        yield "arrivals", "delegate"


def _operations_in(step: Step) -> tuple[Operation, ...]:
    match step.does:
        case Wait():
            return ()
        case Together(operations=operations):
            return operations
        case operation:
            return (operation,)
