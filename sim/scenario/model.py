"""A scenario as facts: who is there, what they do, what goes wrong, what must come of it.

The theory: a run is a function of (scenario, seed). A scenario therefore holds no clock, no port, no address and no
world; times are seconds since the first step. A fault is a **trigger** (when) joined to an **action** (what), so
every action can be started by every trigger. The invariants always hold on top of what `expect` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sim.scenario.behaviours import Behaviour, Reply
from sim.scenario.load import Load

Stream: TypeAlias = Literal["upstream", "downstream"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A workspace; one that is polled has an agent as well, so that a push to it is seen (`INV-12`).

    `delivery` `none`: the broker does not know it until it registers. `parent`: the workspace above it; one that the
    broker does not know is as good as none. `budget_cents`: what it may spend; None: no limit.
    """

    name: str
    delivery: Literal["push", "poll", "none"] = "push"
    parent: str | None = None
    budget_cents: int | None = None
    agent: tuple[Behaviour, ...] = (Reply(),)


# --- steps -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegate:
    """POST /workspaces/{source}/delegate."""

    op: str
    source: str
    target: str
    task: str = "do the work"
    key: str | None = None


McpTool: TypeAlias = Literal["delegate_task", "delegate_task_async"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mcp:
    """POST /workspaces/{source}/mcp: a language model delegates by calling a tool."""

    op: str
    source: str
    target: str
    tool: McpTool = "delegate_task_async"
    task: str = "do the work"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """POST /workspaces/{by}/mcp: the tool check_task_status, about an earlier `delegation`."""

    op: str
    by: str
    delegation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """POST /workspaces/{source}/delegations/record: the agent of `source` has sent the work to `target` by itself.

    `id` is the delegation's id, which the agent makes; None: one of the operation's own (`recorded_id_of`).
    """

    op: str
    source: str
    target: str
    task: str = "do the work"
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """POST /workspaces/{target}/a2a: a message through the proxy, answered by the agent's own reply."""

    op: str
    source: str
    target: str
    text: str = "hello"
    expires_in_s: float | None = None
    """How long it may wait for a busy agent; None: for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """POST /workspaces/{by}/delegations/{id of `delegation`}/update: a party of the delegation says how it went."""

    op: str
    by: str
    delegation: str
    status: Literal["completed", "failed"] = "completed"
    text: str = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadInbox:
    """One poll of `of`'s inbox, past the cursor of its last successful poll in this run.

    `cursor`: past that of another workspace, or `lost`: past a row that is nowhere. `query`: the query string, as it
    is sent, of a read that has nothing to do with any cursor.
    """

    op: str
    of: str
    cursor: str | None = None
    query: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDelegations:
    """GET /workspaces/{of}/delegations."""

    op: str
    of: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """POST /registry/heartbeat; `spend_cents` is the month's, 0 says nothing of it."""

    op: str
    of: str
    active_tasks: int = 0
    spend_cents: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """POST /registry/register; without `delivery` the mode stays as it is."""

    op: str
    of: str
    delivery: Literal["push", "poll"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing for a while."""

    duration_s: float


Operation: TypeAlias = (
    Delegate | Mcp | Check | Record | Send | Report | ReadInbox | ListDelegations | Heartbeat | Register
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Operations that start in the same instant; the step ends when all have ended."""

    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Starts when the step before it has ended, but not before `at_s`."""

    does: Operation | Wait | Together
    at_s: float | None = None


# --- triggers: when a fault strikes ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AtTime:
    """At a time since the first step."""

    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OnRequest:
    """The nth HTTP request on a link begins to pass."""

    link: str
    nth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OnResponse:
    """The nth HTTP response on a link begins to pass, or `after_bytes` bytes of its body have passed."""

    link: str
    nth: int
    after_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OnStatus:
    """The nth response with this status on a link begins to pass."""

    link: str
    status: int
    nth: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OnQuery:
    """The nth statement on a database link, or the nth whose text contains `containing`, begins to pass."""

    link: str
    nth: int = 1
    containing: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OnCommit:
    """The nth COMMIT on a database link begins to pass."""

    link: str
    nth: int = 1


OperationPoint: TypeAlias = Literal["mid_request", "request_sent", "mid_response", "response_read"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnOperation:
    """A client's operation has come to a point.

    `mid_request`: the head and half of the body are written. `request_sent`: all of it. `mid_response`: the head of the
    answer was read and its last byte was not. `response_read`: the answer was read whole.
    """

    operation: str
    point: OperationPoint


Trigger: TypeAlias = AtTime | OnRequest | OnResponse | OnStatus | OnQuery | OnCommit | OnOperation


# --- actions: what a fault does ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AddToxic:
    """Put a toxic on a link. Names, attributes and units are Toxiproxy's (ms, KB/s, bytes, µs)."""

    link: str
    type: str
    stream: Stream = "downstream"
    toxicity: float = 1.0
    attributes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Down:
    """Cut a link: live connections end, new ones are refused."""

    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """Power cut of a node; it starts again after `restart_after_s`, or never."""

    node: str
    restart_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A node is asked to end, as by SIGTERM. It starts again `restart_after_s` after it is gone, or never."""

    node: str
    restart_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A node stands still (needs a duration)."""

    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect:
    """The client of an operation hangs up: by a FIN as a closing client does, or by a RST."""

    operation: str
    ending: Literal["close", "reset"] = "close"


Action: TypeAlias = AddToxic | Down | Kill | Stop | Pause | Disconnect


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`do` begins when `when` happens and, if `for_s` is given, is healed that much later.

    Without `for_s` a toxic or a cut link lasts until the run heals everything before it judges liveness.
    """

    name: str
    when: Trigger
    do: Action
    for_s: float | None = None


# --- expectations ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What must be true of one operation after the run settled; None means "not stated".

    `answers`: allowed HTTP statuses; None stands for "no complete answer". `statuses`: allowed final states of the
    delegation; None stands for "never accepted". `deliveries`: allowed numbers of complete deliveries to the agent.
    `inbox`: `ok`, `error` or `none`. `detail`: text that the error detail contains. `text`: text the result contains.
    """

    op: str
    answers: tuple[int | None, ...] | None = None
    statuses: tuple[str | None, ...] | None = None
    deliveries: tuple[int, ...] | None = None
    inbox: tuple[Literal["ok", "error", "none"], ...] | None = None
    detail: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One file under `scenarios/`; `path` is as the user gave it, `family` the folder it lies in.

    It has either `steps` or a `load`.
    """

    path: str
    family: str
    name: str
    title: str
    covers: tuple[str, ...]
    workspaces: tuple[Workspace, ...]
    steps: tuple[Step, ...] = ()
    load: Load | None = None
    faults: tuple[Fault, ...] = ()
    expect: tuple[Expectation, ...] = ()
    broker: Mapping[str, float | int | str | bool] = field(default_factory=dict)
    settle_s: float = 3600.0
    watch: Literal["events"] | None = None
    """Whether a client follows the broker's WebSocket, so that what it is told is judged too."""
