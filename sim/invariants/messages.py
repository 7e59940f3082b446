"""The facts about one piece of work: a message for an agent, and a delegation with all that the broker keeps of it.

Only facts and what follows from one of them alone; `delegations.py` joins them from a history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sim.history import Row
from sim.invariants.calls import Call
from sim.invariants.requests import Request

TERMINAL = ("completed", "failed")
TERMINAL_EVENTS: Mapping[str, str] = {"DELEGATION_COMPLETE": "completed", "DELEGATION_FAILED": "failed"}
FALLBACK_EVENT = "DELIVERY_MODE_FALLBACK"


@dataclass(slots=True)
class Event:
    """A recorded event (`index` None, `at_s` from its row, None if the clocks are not joined) or a broadcast one."""

    name: str
    payload: Mapping[str, Any]
    at_s: float | None
    index: int | None


@dataclass(slots=True)
class Message:
    """Work for agent `target`: a `Send`, or what a delegation is beside its rows. Names are None where unknown.

    `calls` are the operations that asked for it. `was_queued`: it waited in the queue of a busy agent, or may have.
    """

    id: str
    source: str | None
    target: str | None
    calls: list[Call] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    inbound_rows: list[Row] = field(default_factory=list)
    queue_items: list[Row] = field(default_factory=list)
    was_queued: bool = False

    @property
    def name(self) -> str:
        """The operations that asked for it, or its id when none is known."""
        return "/".join(call.op for call in self.calls) or f"delegation {self.id[:8]}"

    @property
    def label(self) -> str:
        """The name, with who sends to whom: how sentences call it."""
        return f"{self.name} ({self.source or 'an unknown caller'} to {self.target or 'an unknown agent'})"

    @property
    def deliveries(self) -> int:
        """How often the agent was given the whole message and kept it."""
        return sum(request.delivered for request in self.requests)

    @property
    def first_index(self) -> int:
        """Where the history first knows of it as wanted; 0 when no call is known."""
        return min((call.index for call in self.calls), default=0)

    @property
    def asked_s(self) -> float:
        """When it was first asked for; 0 when no call is known."""
        return min((call.invoke.at_s for call in self.calls), default=0.0)


@dataclass(slots=True)
class Delegation(Message):
    """A delegation with what the broker stored and said of it, and with the reports that may have had an effect.

    `accepted`: the broker answered 202 or 200. `key_reused`: its key was given to a later delegation, for which its own
    delegate and ledger rows may have made room (contract, §3.1.4). `recorded`: its source's agent carries it out.
    `untracked`: the answer warned that it could not be stored yet (INV-05).
    """

    key: str | None = None
    task: str | None = None
    accepted: bool = False
    status: str | None = None
    delegate_rows: list[Row] = field(default_factory=list)
    result_rows: list[Row] = field(default_factory=list)
    inbox_rows: list[Row] = field(default_factory=list)
    ledger: Row | None = None
    recorded_ends: list[Event] = field(default_factory=list)
    broadcast_ends: list[Event] = field(default_factory=list)
    reports: list[Call] = field(default_factory=list)
    key_reused: bool = False
    recorded: bool = False
    untracked: bool = False

    @property
    def tool(self) -> str | None:
        """The MCP tool that asked for it; None for `/delegate`, or when no call is known."""
        return next((call.invoke.arguments.get("tool") for call in self.calls), None)

    @property
    def terminal(self) -> bool:
        """Completed or failed at the end."""
        return self.status in TERMINAL

    @property
    def terminal_results(self) -> list[Row]:
        """The result rows that say completed or failed."""
        return [row for row in self.result_rows if row["status"] in TERMINAL]

    @property
    def detail(self) -> str:
        """Why it failed, as the caller can read it; empty when nothing says so."""
        ledger = [self.ledger] if self.ledger else []
        for row in (*self.delegate_rows, *self.result_rows, *ledger, *self.inbox_rows):
            if row.get("error_detail"):
                return str(row["error_detail"])
        return ""

    @property
    def result_text(self) -> str:
        """The text of the stored result; empty when there is none."""
        for row in (*self.result_rows, *self.inbox_rows):
            body = row.get("response_body")
            if isinstance(body, dict) and body.get("text"):
                return str(body["text"])
        return ""


def delegation_id_in(row: Row) -> str | None:
    """The delegation that an activity row is about, by its request or its response body."""
    for column in ("request_body", "response_body"):
        body = row.get(column)
        if isinstance(body, dict) and body.get("delegation_id"):
            return str(body["delegation_id"])
    return None


def message_id_in(body: object) -> str:
    """The A2A message id in a request body; empty when there is none."""
    for step in ("params", "message", "messageId"):
        body = body.get(step) if isinstance(body, dict) else None
    return str(body) if body else ""
