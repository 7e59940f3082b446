"""What each operation of a scenario is on the wire: method, path, body; a table, one row a verb.

Also what a client remembers between operations: the delegation ids that it was given, and its inbox cursor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sim.history import Json, Member, recorded_id_of
from sim.scenario.model import (
    Delegate,
    Heartbeat,
    ListDelegations,
    Operation,
    ReadInbox,
    Record,
    Report,
    Send,
)
from sim.worlds.http_client import Answer

BACKLOG_S = 600
"""How far back a poller without a cursor looks (contract, §2.7)."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent for one operation, and who sends it (a workspace's name)."""

    action: str
    sender: str
    method: str
    path: str
    body: Json = None
    headers: Mapping[str, str] = field(default_factory=dict)


class NotPossible(Exception):
    """An operation that needs something which an earlier one did not bring (a delegation id)."""


@dataclass(slots=True)
class Memory:
    """What the clients of one run know."""

    members: Mapping[str, Member]
    delegation_ids: dict[str, str] = field(default_factory=dict)
    own_ids: dict[str, str] = field(default_factory=dict)
    """Ids that agents made for what they recorded, whatever they were answered."""
    cursors: dict[str, str] = field(default_factory=dict)

    def workspace_id(self, name: str) -> str:
        """The broker's id of a workspace."""
        return self.members[name].workspace_id

    def learn(self, operation: Operation, answer: Answer) -> None:
        """Keep from an answer what later operations need."""
        body = answer.body
        if (
            isinstance(operation, Delegate | Record)
            and isinstance(body, dict)
            and isinstance(body.get("delegation_id"), str)
        ):
            self.delegation_ids[operation.op] = body["delegation_id"]
        elif isinstance(operation, ReadInbox):
            if answer.status == 410:
                self.cursors.pop(operation.of, None)
            elif answer.status == 200 and isinstance(body, list) and body:
                newest = body[-1] if operation.of in self.cursors else body[0]
                self.cursors[operation.of] = newest["id"]


def request_for(operation: Operation, memory: Memory) -> Request:
    """The HTTP request of an operation. Raises `NotPossible`."""
    return _REQUESTS[type(operation)](operation, memory)


def _delegate(step: Delegate, memory: Memory) -> Request:
    body = {"target_id": memory.workspace_id(step.target), "task": step.task}
    if step.key is not None:
        body["idempotency_key"] = step.key
    return Request("delegate", step.source, "POST", f"/workspaces/{memory.workspace_id(step.source)}/delegate", body)


def _record(step: Record, memory: Memory) -> Request:
    memory.own_ids[step.op] = delegation_id = step.id or recorded_id_of(step.op)
    body = {"target_id": memory.workspace_id(step.target), "task": step.task, "delegation_id": delegation_id}
    path = f"/workspaces/{memory.workspace_id(step.source)}/delegations/record"
    return Request("record", step.source, "POST", path, body)


def _send(step: Send, memory: Memory) -> Request:
    message = {"role": "user", "messageId": f"{step.op}-message", "parts": [{"kind": "text", "text": step.text}]}
    body = {"jsonrpc": "2.0", "id": step.op, "method": "message/send", "params": {"message": message}}
    headers = {"X-Workspace-ID": memory.workspace_id(step.source)}
    return Request("send", step.source, "POST", f"/workspaces/{memory.workspace_id(step.target)}/a2a", body, headers)


def _report(step: Report, memory: Memory) -> Request:
    delegation_id = memory.delegation_ids.get(step.delegation) or memory.own_ids.get(step.delegation)
    if delegation_id is None:
        raise NotPossible(f"{step.by} was never told the delegation id of {step.delegation}")
    body = {"status": step.status, "response_preview" if step.status == "completed" else "error": step.text}
    path = f"/workspaces/{memory.workspace_id(step.by)}/delegations/{delegation_id}/update"
    return Request("report", step.by, "POST", path, body)


def _inbox(step: ReadInbox, memory: Memory) -> Request:
    cursor = memory.cursors.get(step.of)
    window = f"since_secs={BACKLOG_S}" if cursor is None else f"since_id={cursor}"
    path = f"/workspaces/{memory.workspace_id(step.of)}/activity?type=a2a_receive&{window}"
    return Request("inbox", step.of, "GET", path)


def _list(step: ListDelegations, memory: Memory) -> Request:
    return Request("list", step.of, "GET", f"/workspaces/{memory.workspace_id(step.of)}/delegations")


def _heartbeat(step: Heartbeat, memory: Memory) -> Request:
    body = {"workspace_id": memory.workspace_id(step.of), "active_tasks": step.active_tasks}
    return Request("heartbeat", step.of, "POST", "/registry/heartbeat", body)


_RequestMaker: TypeAlias = Callable[[Any, Memory], Request]

_REQUESTS: Mapping[type, _RequestMaker] = {
    Delegate: _delegate,
    Record: _record,
    Send: _send,
    Report: _report,
    ReadInbox: _inbox,
    ListDelegations: _list,
    Heartbeat: _heartbeat,
}
