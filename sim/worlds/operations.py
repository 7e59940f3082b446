"""What each operation of a scenario is on the wire: method, path, body; a table, one row a verb.

Also what a client remembers between operations: the delegation ids and tokens that it was given, and its inbox cursor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias
from urllib.parse import quote

from sim.history import Json, Member, recorded_id_of
from sim.mcp_answers import task_of
from sim.scenario.model import (
    Check,
    Delegate,
    Heartbeat,
    ListDelegations,
    Mcp,
    Operation,
    ReadInbox,
    Record,
    Register,
    Report,
    Send,
)
from sim.worlds.dialect import Dialect, field_of
from sim.worlds.http_client import Answer

BACKLOG_S = 600
"""How far back a poller without a cursor looks (contract, §2.7)."""
_IN_A_QUERY = "=&%+:"
LOST_CURSOR = "00000000-0000-4000-8000-000000000000"
"""The id of a row that is nowhere."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent for one operation, and who sends it (a workspace's name).

    `more`: what the history has to know of it beside the operation's own arguments.
    """

    action: str
    sender: str
    method: str
    path: str
    body: Json = None
    headers: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Json] = field(default_factory=dict)


class NotPossible(Exception):
    """An operation that needs something which an earlier one did not bring (a delegation id)."""


@dataclass(slots=True)
class Memory:
    """What the clients of one run know."""

    members: Mapping[str, Member]
    agent_url: Callable[[str], str]
    delegation_ids: dict[str, str] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    own_ids: dict[str, str] = field(default_factory=dict)
    """Ids that agents made for what they recorded, whatever they were answered."""
    cursors: dict[str, str] = field(default_factory=dict)
    dialect: Dialect = field(default_factory=Dialect)

    def path(self, action: str, workspace: str, *, delegation: str = "", query: str = "") -> str:
        """Where to ask for something in the name of a workspace."""
        return self.dialect.path(action, workspace=self.workspace_id(workspace), delegation=delegation, query=query)

    def workspace_id(self, name: str) -> str:
        """The broker's id of a workspace."""
        return self.members[name].workspace_id

    def learn(self, operation: Operation, request: Request, answer: Answer) -> None:
        """Keep from an answer what later operations need."""
        body = answer.body
        if isinstance(operation, Delegate | Mcp | Record):
            self.targets[operation.op] = operation.target
            key, document = ("task_id", task_of(body)) if isinstance(operation, Mcp) else ("delegation_id", body)
            if isinstance(document, dict) and isinstance(document.get(key), str):
                self.delegation_ids[operation.op] = document[key]
        elif isinstance(operation, ReadInbox) and operation.query is None:
            if answer.status == 410:
                self.cursors.pop(operation.of, None)
            elif answer.status == 200 and isinstance(body, list) and body:
                newest = body[0] if request.more["since"] is None else body[-1]
                if isinstance(row_id := field_of(newest, "id"), str):
                    self.cursors[operation.of] = row_id
        elif isinstance(operation, Register):
            self.dialect.learn_token(operation.of, body)


def request_for(operation: Operation, memory: Memory) -> Request:
    """The HTTP request of an operation. Raises `NotPossible`."""
    request = _REQUESTS[type(operation)](operation, memory)
    shown = memory.dialect.shown_by(request.sender)
    return replace(request, headers={**request.headers, **shown}) if shown else request


def _delegate(step: Delegate, memory: Memory) -> Request:
    body = {"target_id": memory.workspace_id(step.target), "task": step.task}
    if step.key is not None:
        body["idempotency_key"] = step.key
    return Request("delegate", step.source, "POST", memory.path("delegate", step.source), body)


def _mcp(step: Mcp, memory: Memory) -> Request:
    arguments = {"workspace_id": memory.workspace_id(step.target), "task": step.task}
    return _tool_call("mcp", step.op, step.source, step.tool, arguments, memory)


def _check(step: Check, memory: Memory) -> Request:
    task_id = memory.delegation_ids.get(step.delegation)
    if task_id is None:
        raise NotPossible(f"{step.by} was never told the task id of {step.delegation}")
    target = memory.workspace_id(memory.targets[step.delegation])
    arguments = {"workspace_id": target, "task_id": task_id}
    return _tool_call("check", step.op, step.by, "check_task_status", arguments, memory)


def _tool_call(action: str, op: str, sender: str, tool: str, arguments: Mapping[str, str], memory: Memory) -> Request:
    params = {"name": tool, "arguments": arguments}
    body = {"jsonrpc": "2.0", "id": op, "method": "tools/call", "params": params}
    return Request(action, sender, "POST", memory.path("mcp", sender), body)


def _record(step: Record, memory: Memory) -> Request:
    memory.own_ids[step.op] = delegation_id = step.id or recorded_id_of(step.op)
    body = {"target_id": memory.workspace_id(step.target), "task": step.task, "delegation_id": delegation_id}
    return Request("record", step.source, "POST", memory.path("record", step.source), body)


def _send(step: Send, memory: Memory) -> Request:
    message = {"role": "user", "messageId": f"{step.op}-message", "parts": [{"kind": "text", "text": step.text}]}
    params: dict[str, Json] = {"message": message}
    if step.expires_in_s is not None:
        params["expires_in_seconds"] = step.expires_in_s / memory.dialect.time_scale
    body = {"jsonrpc": "2.0", "id": step.op, "method": "message/send", "params": params}
    headers = {"X-Workspace-ID": memory.workspace_id(step.source)}
    return Request("send", step.source, "POST", memory.path("send", step.target), body, headers)


def _report(step: Report, memory: Memory) -> Request:
    delegation_id = memory.delegation_ids.get(step.delegation) or memory.own_ids.get(step.delegation)
    if delegation_id is None:
        raise NotPossible(f"{step.by} was never told the delegation id of {step.delegation}")
    body = {"status": step.status, "response_preview" if step.status == "completed" else "error": step.text}
    path = memory.path("report", step.by, delegation=delegation_id)
    return Request("report", step.by, "POST", path, body)


def _inbox(step: ReadInbox, memory: Memory) -> Request:
    if step.query is not None:
        path = memory.path("inbox", step.of, query=quote(step.query, safe=_IN_A_QUERY))
        return Request("inbox", step.of, "GET", path, more={"since": None})
    cursor = LOST_CURSOR if step.cursor == "lost" else memory.cursors.get(step.cursor or step.of)
    if cursor is None and step.cursor is not None:
        raise NotPossible(f"{step.cursor} has no cursor yet")
    window = f"since_secs={BACKLOG_S}" if cursor is None else f"since_id={cursor}"
    path = memory.path("inbox", step.of, query=f"type=a2a_receive&{window}")
    return Request("inbox", step.of, "GET", path, more={"since": cursor})


def _list(step: ListDelegations, memory: Memory) -> Request:
    return Request("list", step.of, "GET", memory.path("list", step.of))


def _heartbeat(step: Heartbeat, memory: Memory) -> Request:
    body: dict[str, Json] = {"workspace_id": memory.workspace_id(step.of), "active_tasks": step.active_tasks}
    if step.spend_cents:
        body["monthly_spend"] = step.spend_cents
    return Request("heartbeat", step.of, "POST", memory.path("heartbeat", step.of), body)


def _register(step: Register, memory: Memory) -> Request:
    body = {"id": memory.workspace_id(step.of), "url": memory.agent_url(step.of), "agent_card": {"name": step.of}}
    if step.delivery is not None:
        body["delivery_mode"] = step.delivery
    return Request("register", step.of, "POST", memory.path("register", step.of), body)


_RequestMaker: TypeAlias = Callable[[Any, Memory], Request]

_REQUESTS: Mapping[type, _RequestMaker] = {
    Delegate: _delegate,
    Mcp: _mcp,
    Check: _check,
    Record: _record,
    Send: _send,
    Report: _report,
    ReadInbox: _inbox,
    ListDelegations: _list,
    Heartbeat: _heartbeat,
    Register: _register,
}
