"""The shared view: everything that a history knows about each piece of work, joined once.

The join goes by ids that the broker gave (answers, rows, message metadata). An answer may be lost while the work was
accepted; then the row is matched to the call by who, whom, key or task, and a row that fits no call stands for itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from sim.history import (
    Broadcast,
    Contact,
    Fail,
    FaultBegan,
    FaultEnded,
    Final,
    History,
    Info,
    Invoke,
    ModeRead,
    NodeChanged,
    Ok,
    Row,
    message_id_of,
    recorded_id_of,
)
from sim.invariants import faults
from sim.invariants.calls import Call
from sim.invariants.messages import TERMINAL_EVENTS, Delegation, Event, Message, delegation_id_in, message_id_in
from sim.invariants.requests import Request
from sim.mcp_answers import text_of

Part: TypeAlias = Literal[
    "rows",
    "sequence",
    "ledger",
    "events",
    "queue",
    "workspaces",
    "inbox",
    "listing",
    "statuses",
    "told",
    "fallbacks",
    "attempts",
    "mode_reads",
]
"""A part of a history that a run may be unable to observe; what clients and agents saw is always there.

Tables: `rows` (of the activity, with `sequence` numbers), `ledger`, `events`, `queue`, `workspaces`. Answers: `inbox`,
`listing`. From either: `statuses`, and what callers were `told`. `fallbacks`: every one that there can have been.
`attempts`: every request is known to be the executor's, not the queue's.
"""


@dataclass(slots=True)
class View:
    """A history, joined. Positions (`index`) are those of `history.entries`."""

    history: History
    final: Final | None = None
    final_index: int | None = None
    observed: frozenset[Part] = frozenset()
    """The parts that this history has."""
    calls: dict[str, Call] = field(default_factory=dict)
    by_action: dict[str, list[Call]] = field(default_factory=dict)
    heartbeats: dict[str, list[Call]] = field(default_factory=dict)
    """Those of each workspace."""
    deliveries: dict[str, Set[str]] = field(default_factory=dict)
    """Every delivery that a workspace may have had."""
    asked_by: dict[str, Delegation] = field(default_factory=dict)
    """What each operation asked for."""
    requests: list[Request] = field(default_factory=list)
    mode_reads: list[tuple[int, ModeRead]] = field(default_factory=list)
    broadcasts: list[Event] = field(default_factory=list)
    recorded: list[Event] = field(default_factory=list)
    node_changes: list[tuple[int, NodeChanged]] = field(default_factory=list)
    disturbances: list[faults.Disturbance] = field(default_factory=list)
    fault_names: set[str] = field(default_factory=set)
    broker_runs: bool = True
    broker_ended_s: list[float] = field(default_factory=list)
    """When the broker's process ended, and its memory with it."""
    delegations: dict[str, Delegation] = field(default_factory=dict)
    sends: dict[str, Message] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> Mapping[str, Sequence[Row]]:
        """The final tables; empty when they were not observed."""
        return (self.final.rows if self.final else None) or {}

    @property
    def operations(self) -> Set[str]:
        """The names of all operations."""
        return self.calls.keys()

    def calls_of(self, action: str) -> Sequence[Call]:
        """The operations of a kind, in the order of the history."""
        return self.by_action.get(action, ())

    def messages(self) -> list[Message]:
        """Delegations, then sends."""
        return [*self.delegations.values(), *self.sends.values()]

    def is_polled(self, name: str | None) -> bool:
        """Whether `name` polls throughout the run: nobody ever asked that it be pushed to."""
        return self.deliveries.get(name or "") == {"poll"}

    def may_poll(self, name: str | None) -> bool:
        """Whether `name` polls at some time of the run."""
        return "poll" in self.deliveries.get(name or "", ())

    def budget_s(self, message: Message) -> float:
        """How long the execution of a message may take."""
        flags = self.history.flags
        tool = message.tool if isinstance(message, Delegation) else None
        return {"delegate_task": flags.mcp_sync_budget_s, "delegate_task_async": flags.mcp_async_budget_s}.get(
            tool or "", flags.execution_budget_s
        )

    def seconds(self, when: datetime | None) -> float | None:
        """A row's time on the run's clock; None when the clocks are not joined."""
        epoch = self.history.epoch
        return None if when is None or epoch is None else (when - epoch).total_seconds()

    def evidence(self, message: Message, *more: int | None, final: bool = False) -> tuple[int, ...]:
        """The entries about a message, then `more`, then the final state if it is part of the argument."""
        found = {index for call in message.calls for index in call.entries}
        found.update(index for request in message.requests for index in request.entries)
        found.update(index for index in more if index is not None)
        if final and self.final_index is not None:
            found.add(self.final_index)
        return tuple(sorted(found))


def view_of(history: History) -> View:
    """Join a history; one pass over the entries and one over the final rows."""
    view = View(history, names={member.workspace_id: name for name, member in history.members.items()})
    _read_entries(view)
    _sort_calls(view)
    view.observed = _observed(view)
    _join_answers(view)
    _join_rows(view)
    _join_what_callers_were_told(view)
    _join_lost_answers(view)
    _join_requests(view)
    _join_broadcasts(view)
    _join_reports(view)
    _conclude(view)
    return view


def _read_entries(view: View) -> None:
    requests: dict[tuple[str, int], Request] = {}
    open_faults: dict[str, faults.Disturbance] = {}
    open_nodes: dict[str, faults.Disturbance] = {}
    struck: list[faults.Disturbance] = []
    stopped: set[str] = set()
    down: set[str] = set()
    for index, entry in enumerate(view.history.entries):
        if isinstance(entry, Contact):
            request = requests.get((entry.agent, entry.contact))
            if request is None:
                request = Request(entry.agent, entry.contact, entry.at_s, entry.at_s)
                requests[entry.agent, entry.contact] = request
            request.see(index, entry)
        elif isinstance(entry, Invoke):
            view.calls[entry.op] = Call(index, entry)
        elif isinstance(entry, (Ok, Info, Fail)):
            if (call := view.calls.get(entry.op)) is not None:
                call.end_index, call.end = index, entry
        elif isinstance(entry, ModeRead):
            view.mode_reads.append((index, entry))
        elif isinstance(entry, Broadcast):
            payload = entry.payload if isinstance(entry.payload, dict) else {}
            view.broadcasts.append(Event(entry.event, payload, entry.at_s, index))
        elif isinstance(entry, FaultBegan):
            open_faults[entry.fault] = faults.of_fault(entry)
            struck.append(open_faults[entry.fault])
            view.fault_names.add(entry.fault)
        elif isinstance(entry, FaultEnded):
            if (disturbance := open_faults.pop(entry.fault, None)) is not None:
                disturbance.ended_s = entry.at_s
        elif isinstance(entry, NodeChanged):
            view.node_changes.append((index, entry))
            if entry.change in ("killed", "paused", "stopping", "stopped"):
                stopped.add(entry.node)
                if entry.change != "paused":
                    down.add(entry.node)
                if entry.node == "broker" and entry.change in ("killed", "stopped"):
                    view.broker_ended_s.append(entry.at_s)
                if entry.node not in open_nodes:
                    open_nodes[entry.node] = faults.of_node(entry)
                    view.disturbances.append(open_nodes[entry.node])
            elif entry.change == "started" or entry.node not in down:
                down.discard(entry.node)
                if (disturbance := open_nodes.pop(entry.node, None)) is not None:
                    disturbance.ended_s = entry.at_s
        else:
            view.final, view.final_index = entry, index
    # A fault that stops a node is over when the node runs again, which only the node's own changes tell.
    view.disturbances += (fault for fault in struck if fault.where not in stopped)
    view.requests = list(requests.values())
    view.broker_runs = "broker" not in open_nodes


def _sort_calls(view: View) -> None:
    members = view.history.members
    deliveries = {name: {member.delivery} for name, member in members.items()}
    for call in view.calls.values():
        view.by_action.setdefault(call.invoke.action, []).append(call)
    for call in view.calls_of("heartbeat"):
        view.heartbeats.setdefault(call.invoke.workspace, []).append(call)
    for call in view.calls_of("register"):
        name = call.invoke.workspace
        if name in members and not call.had_no_effect:
            # A workspace that is new is pushed to unless it says otherwise.
            unsaid = "push" if members[name].delivery == "none" else members[name].delivery
            deliveries[name].add(call.invoke.arguments["delivery"] or unsaid)
    view.deliveries = {name: may_be - {"none"} for name, may_be in deliveries.items()}


def _observed(view: View) -> frozenset[Part]:
    final, rows = view.final, view.rows
    has_rows = "activity_logs" in rows
    has_inbox = final is not None and final.inbox is not None
    has_listing = final is not None and final.listing is not None
    there: dict[Part, bool] = {
        "rows": has_rows,
        "sequence": has_rows and all("seq" in row for row in rows["activity_logs"]),
        "ledger": "delegations" in rows,
        "events": "structure_events" in rows,
        "queue": "a2a_queue" in rows,
        "workspaces": "workspaces" in rows,
        "inbox": has_inbox,
        "listing": has_listing,
        "statuses": has_rows or has_listing,
        "told": has_rows or (has_inbox and has_listing and view.history.flags.inbox_push),
        "fallbacks": "structure_events" in rows or not faults.any_to_what_the_broker_reads(view.disturbances),
        "attempts": "a2a_queue" in rows or not _may_have_queued(view),
        "mode_reads": view.history.watches_database or bool(view.mode_reads),
    }
    return frozenset(part for part, is_there in there.items() if is_there)


def _may_have_queued(view: View) -> bool:
    """Whether an agent said that it is busy, or left a message without an answer, which is taken for it."""
    said = any(call.invoke.arguments["active_tasks"] for call in view.calls_of("heartbeat"))
    return said or any(request.delivered and request.status in (None, 503) for request in view.requests)


def _join_answers(view: View) -> None:
    for call in view.calls.values():
        if call.invoke.action == "delegate":
            delegation_id = call.body.get("delegation_id")
            if call.status in (200, 202) and delegation_id:
                found = _delegation(view, str(delegation_id))
                _claim(found, call)
                found.accepted = True
                found.untracked = "warning" in call.body
        elif call.invoke.action == "mcp":
            if task_id := call.task.get("task_id"):
                found = _delegation(view, str(task_id))
                _claim(found, call)
                found.accepted = True
        elif call.invoke.action == "record":
            if call.status == 202:
                found = _delegation(view, _recorded_id(call))
                _claim(found, call)
                found.accepted = found.recorded = True
        elif call.invoke.action == "send":
            message_id = message_id_of(call.op)
            view.sends[message_id] = Message(message_id, call.invoke.workspace, call.invoke.arguments["target"], [call])


def _join_rows(view: View) -> None:
    rows = view.rows
    inbound: list[Row] = []
    for row in rows.get("activity_logs", ()):
        method = row["method"]
        if method not in ("delegate", "delegate_result"):
            if row["activity_type"] == "a2a_receive":
                inbound.append(row)
            continue
        delegation_id = delegation_id_in(row)
        if delegation_id is None:
            continue
        found = _delegation(view, delegation_id)
        if method == "delegate":
            found.delegate_rows.append(row)
            found.source = found.source or view.names.get(str(row["source_id"]))
            found.target = found.target or view.names.get(str(row["target_id"]))
            found.key = found.key or row.get("idempotency_key")
            found.task = found.task or (row["request_body"] or {}).get("task")
        elif row["activity_type"] == "a2a_receive":
            found.inbox_rows.append(row)
        else:
            found.result_rows.append(row)
    for row in rows.get("delegations", ()):
        found = _delegation(view, str(row["delegation_id"]))
        found.ledger = row
        found.source = found.source or view.names.get(str(row["caller_id"]))
        found.target = found.target or view.names.get(str(row["callee_id"]))
    for row in rows.get("structure_events", ()):
        payload = row["payload"] if isinstance(row["payload"], dict) else {}
        event = Event(row["event_type"], payload, view.seconds(row["created_at"]), None)
        view.recorded.append(event)
        if (ended := _ended(view, event)) is not None:
            ended.recorded_ends.append(event)
    for row in inbound:
        if (message := _message(view, message_id_in(row["request_body"]))) is not None:
            message.inbound_rows.append(row)
    for row in rows.get("a2a_queue", ()):
        if (message := _message(view, message_id_in(row["body"]))) is not None:
            message.queue_items.append(row)
            message.was_queued = True


def _join_lost_answers(view: View) -> None:
    claimed = {call.op for each in view.delegations.values() for call in each.calls}
    for call in view.calls.values():
        if call.invoke.action not in ("delegate", "mcp", "record") or call.op in claimed or call.had_no_effect:
            continue
        if call.invoke.action == "record":
            if (recorded := view.delegations.get(_recorded_id(call))) is not None:
                _claim(recorded, call)
                recorded.recorded = True
            continue
        arguments = call.invoke.arguments
        key, target = arguments.get("key"), arguments.get("target")
        fitting = [
            each
            for each in view.delegations.values()
            if each.source in (call.invoke.workspace, None)
            and each.target in (target, None)
            and (each.key == key if key else each.key is None and each.task in (arguments.get("task"), None))
        ]
        unclaimed = [each for each in fitting if not each.calls]
        if unclaimed:
            _claim(unclaimed[0], call)
            # A tool that waits is answered with the result alone.
            unclaimed[0].accepted |= text_of(call.body) is not None
        elif key and fitting:
            _claim(fitting[-1], call)


def _join_requests(view: View) -> None:
    for request in view.requests:
        message_id = request.delegation_id or request.message_id
        if message_id is None:
            meant = [each for each in view.messages() if each.target == request.agent]
            if len(meant) == 1:
                meant[0].requests.append(request)
            continue
        message = _message(view, message_id)
        if message is None and request.delegation_id is not None:
            message = _delegation(view, request.delegation_id)
            message.target = request.agent
        if message is not None:
            message.requests.append(request)


def _join_broadcasts(view: View) -> None:
    for event in view.broadcasts:
        if (ended := _ended(view, event)) is not None:
            ended.broadcast_ends.append(event)
        elif event.name == "DELEGATION_STATUS" and event.payload.get("status") == "queued":
            queued = view.delegations.get(str(event.payload.get("delegation_id")))
            if queued is not None:
                queued.was_queued = True


def _join_reports(view: View) -> None:
    view.asked_by = {call.op: each for each in view.delegations.values() for call in each.calls}
    for call in view.calls_of("report"):
        found = view.asked_by.get(call.invoke.arguments["delegation"])
        if found is not None and not call.had_no_effect:
            found.reports.append(call)


def _conclude(view: View) -> None:
    last_of_key: dict[tuple[str | None, str], Delegation] = {}
    for each in view.delegations.values():
        if each.key:
            earlier = last_of_key.get((each.source, each.key))
            if earlier is not None:
                (earlier if earlier.first_index <= each.first_index else each).key_reused = True
            last_of_key[each.source, each.key] = each
        if each.delegate_rows:
            each.status = each.delegate_rows[-1]["status"]
        elif each.ledger is not None:
            each.status = each.ledger["status"]
        elif each.terminal_results:
            each.status = each.terminal_results[-1]["status"]
        elif each.broadcast_ends:
            each.status = TERMINAL_EVENTS[each.broadcast_ends[-1].name]
    if "rows" not in view.observed:
        for found, entry in _listed(view):
            found.status = str(entry.get("status"))


def _join_what_callers_were_told(view: View) -> None:
    """Where rows were not observed: what listings and inboxes have of them."""
    if view.final is None or "rows" in view.observed:
        return
    for found, entry in _listed(view):
        found.source = found.source or view.names.get(str(entry.get("source_id")))
        found.target = found.target or view.names.get(str(entry.get("target_id")))
    for items in (view.final.inbox or {}).values():
        for item in items:
            about = view.delegations.get(delegation_id_in(item) or "")
            if about is not None and item.get("method") == "delegate_result":
                about.inbox_rows.append(item)


def _listed(view: View) -> Iterator[tuple[Delegation, Row]]:
    """Each entry of the final listings, with its delegation."""
    for entries in ((view.final.listing if view.final else None) or {}).values():
        for entry in entries:
            if delegation_id := entry.get("delegation_id"):
                yield _delegation(view, str(delegation_id)), entry


def _recorded_id(call: Call) -> str:
    return call.invoke.arguments.get("id") or recorded_id_of(call.op)


def _delegation(view: View, delegation_id: str) -> Delegation:
    found = view.delegations.get(delegation_id)
    if found is None:
        found = view.delegations[delegation_id] = Delegation(delegation_id, None, None)
    return found


def _message(view: View, message_id: str) -> Message | None:
    return view.sends.get(message_id) or view.delegations.get(message_id)


def _claim(delegation: Delegation, call: Call) -> None:
    delegation.calls.append(call)
    delegation.source = delegation.source or call.invoke.workspace
    delegation.target = delegation.target or call.invoke.arguments.get("target")
    delegation.key = delegation.key or call.invoke.arguments.get("key")
    delegation.task = delegation.task or call.invoke.arguments.get("task")


def _ended(view: View, event: Event) -> Delegation | None:
    if event.name not in TERMINAL_EVENTS:
        return None
    return view.delegations.get(str(event.payload.get("delegation_id")))
