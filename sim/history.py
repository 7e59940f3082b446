"""What was observed during one run, in order: the only thing that invariants judge.

Operations are recorded in Jepsen's manner: an `Invoke`, then exactly one of `Ok` (a complete HTTP answer was
read, whatever its status), `Fail` (the operation certainly had no effect: nothing was sent) or `Info` (unknown: it
may or may not have happened). An operation that never ends has only its `Invoke`, which means the same as `Info`.
Beside them stand what the agents saw, what the broker read and broadcast, the faults as they began and ended, and
one `Final`: the rows and answers of the broker after the system has settled.

Times are seconds on the run's clock since its start. A position in `History.entries` is how a violation points here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

Json: TypeAlias = Any
Row: TypeAlias = Mapping[str, Any]
ContactStage: TypeAlias = Literal["opened", "delivered", "aborted", "answering", "answered", "cut"]


def message_id_of(op: str) -> str:
    """The A2A message id that a `send` operation gives to its message."""
    return f"{op}-message"


def recorded_id_of(op: str) -> str:
    """The delegation id that an agent makes for a `record` operation which is given none."""
    return f"{op}-recorded"


@dataclass(frozen=True, slots=True)
class Invoke:
    """A client starts operation `op` as `workspace` (a name); `action` is the step's verb.

    `arguments`, with workspaces by name: `delegate` {target, task, key}, `mcp` {target, tool, task}, `check`
    {delegation (an op)}, `record` {target, task, id (None: `recorded_id_of(op)`)}, `send` {target, text,
    expires_in_s} (its message id is `message_id_of(op)`), `report` {delegation, status, text}, `inbox` {since (the
    row past which is read, None: a window of time), query (None, or what is asked for instead)}, `heartbeat`
    {active_tasks, spend_cents}, `register` {delivery}.
    """

    at_s: float
    op: str
    action: str
    workspace: str
    arguments: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Ok:
    """A complete answer was read."""

    at_s: float
    op: str
    status: int
    body: Json


@dataclass(frozen=True, slots=True)
class Fail:
    """The operation certainly had no effect (connection refused, unknown host)."""

    at_s: float
    op: str
    reason: str


@dataclass(frozen=True, slots=True)
class Info:
    """The outcome is unknown to the client; `status` is there when the head of an answer had been read."""

    at_s: float
    op: str
    reason: str
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Contact:
    """One HTTP request that reached an agent, at one stage.

    `contact` numbers the requests of one agent from 1. `delivered` means that the agent's handler was given the
    complete request body (decisions, §2); `body_bytes` counts response body bytes handed to the socket so far.
    The last three describe the answer on `answering`, `answered` and `cut`: a 503 with `restarting: true`, a JSON-RPC
    error object in the body, and the text that the whole answer says (None: not a reply with text).
    """

    at_s: float
    agent: str
    contact: int
    stage: ContactStage
    message_id: str | None = None
    delegation_id: str | None = None
    status: int | None = None
    body_bytes: int = 0
    restarting: bool = False
    rpc_error: bool = False
    text: str | None = None


@dataclass(frozen=True, slots=True)
class ModeRead:
    """The broker received, complete, the answer of a delivery-mode query; `mode` is None for a NULL or missing row."""

    at_s: float
    workspace_id: str
    mode: str | None


@dataclass(frozen=True, slots=True)
class Broadcast:
    """An event that the broker sent to a WebSocket subscriber."""

    at_s: float
    event: str
    workspace_id: str
    payload: Json


@dataclass(frozen=True, slots=True)
class FaultBegan:
    """Fault `fault` (its number in the scenario, `f1`, `f2`, ...) took effect; `what` describes it in words.

    `where` is the link, node or operation that it strikes; empty means unknown, which may be anywhere.
    """

    at_s: float
    fault: str
    what: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class FaultEnded:
    """Fault `fault` was healed."""

    at_s: float
    fault: str


@dataclass(frozen=True, slots=True)
class NodeChanged:
    """A simulated machine or a process was killed, started again, paused or resumed, asked to stop, or is gone.

    `stopping`: it was asked. `stopped`: its process has ended; by itself, if it was not asked before, and `why` then
    says what ended it.
    """

    at_s: float
    node: str
    change: Literal["started", "killed", "paused", "resumed", "stopping", "stopped"]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Final:
    """The broker's state after it settled.

    `rows` maps a table to its rows, in insertion order; `inbox` maps a workspace's name to what its reference poller
    was given, in order; `listing` maps a workspace's name to the answer of the delegation listing. A part that could
    not be observed (a foreign broker without a database URL) is None: invariants that need it then do not judge.
    """

    at_s: float
    rows: Mapping[str, Sequence[Row]] | None
    inbox: Mapping[str, Sequence[Row]] | None
    listing: Mapping[str, Sequence[Row]] | None


Entry: TypeAlias = (
    Invoke | Ok | Fail | Info | Contact | ModeRead | Broadcast | FaultBegan | FaultEnded | NodeChanged | Final
)


@dataclass(frozen=True, slots=True)
class Member:
    """A workspace of the run: its name in the scenario, its id at the broker, and how it is delivered to.

    `delivery` is that of the start; `none`: the broker does not know the workspace until it registers. `parent` is a
    name. `budget_cents`: what it may spend before nothing is sent to it any more; None: no limit.
    """

    name: str
    workspace_id: str
    delivery: Literal["push", "poll", "none"]
    parent: str | None = None
    budget_cents: int | None = None


@dataclass(frozen=True, slots=True)
class Flags:
    """Broker settings that change what the invariants demand (contract, §9)."""

    ledger: bool = True
    inbox_push: bool = True
    retry_delay_s: float = 8.0
    execution_budget_s: float = 1800.0
    mcp_sync_budget_s: float = 30.0
    mcp_async_budget_s: float = 8.0
    sweeper_interval_s: float = 300.0
    grace_s: float = 10.0
    closing_s: float = 2.0
    """After the grace: for cutting off what still runs, and saying goodbye to a database that may not answer."""


@dataclass(slots=True)
class History:
    """Entries in the order in which they were observed.

    `epoch` is what the broker's clock read when the run's clock stood at zero: it joins the times of rows to `at_s`
    (None: unknown, they are not compared). `watches_database`: delivery-mode reads were seen whenever they happened.
    """

    members: Mapping[str, Member]
    flags: Flags = Flags()
    entries: list[Entry] = field(default_factory=list)
    epoch: datetime | None = None
    watches_database: bool = False

    def add(self, entry: Entry) -> None:
        """Append an entry; its index is its position."""
        self.entries.append(entry)

    def final(self) -> Final | None:
        """The state after settling, or None when the run ended before it was read."""
        for entry in reversed(self.entries):
            if isinstance(entry, Final):
                return entry
        return None
