"""The table of faults: what may stand under `faults`, a trigger (`at` or `on`) joined to an action."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Table
from dataclasses import replace

from sim.scenario.containers import Lone, Made, Shared
from sim.scenario.fields import Field, Found, Record, Variants
from sim.scenario.model import (
    Action,
    AddToxic,
    AtTime,
    Disconnect,
    Down,
    Fault,
    Kill,
    OnCommit,
    OnOperation,
    OnQuery,
    OnRequest,
    OnResponse,
    OnStatus,
    Pause,
    Stop,
    Trigger,
)
from sim.scenario.reader import Reader
from sim.scenario.references import Carries, LinkName, NodeName, OperationName
from sim.scenario.scalars import CountOrText, Duration, Whole, Word
from sim.scenario.toxics import TOXIC

MAX_NTH = 1_000_000

# --- triggers ----------------------------------------------------------------------------------------------------

_COUNT = Whole(1, MAX_NTH)
_POINTS = Word("a point of an operation", ("mid_request", "request_sent", "mid_response", "response_read"))


def _on_query(*, link: str, query: int | str, nth: int = 1) -> OnQuery:
    if isinstance(query, str):
        return OnQuery(link=link, nth=nth, containing=query)
    return OnQuery(link=link, nth=query)


def _check_query(found: Found) -> None:
    if isinstance(found.values.get("query"), int) and "nth" in found.values:
        found.mistake_at(
            "nth", "'query' is a number already: 'nth' goes with a text to look for, query: \"UPDATE ...\""
        )


def _link(carries: Carries, help: str) -> Field:
    return Field("link", LinkName(carries), help, required=True)


_HTTP = _link("http", "client-broker or broker-agent:<workspace>")
_DATABASE = _link("database", "broker-database")
_NTH = Field("nth", _COUNT, "Which one of those that match, from 1")

_TRIGGERS: dict[str, Record[Trigger]] = {
    "request": Record(
        "a 'request' trigger",
        OnRequest,
        (
            _HTTP,
            Field("request", _COUNT, "When this request on the link, from 1, begins", "nth", required=True),
        ),
    ),
    "response": Record(
        "a 'response' trigger",
        OnResponse,
        (
            _HTTP,
            Field("response", _COUNT, "When this response on the link, from 1, begins", "nth", required=True),
            Field("after_bytes", Whole(0, 1_000_000_000), "... and this much of its body has passed"),
        ),
    ),
    "status": Record(
        "a 'status' trigger",
        OnStatus,
        (
            _HTTP,
            Field("status", Whole(100, 599), "When a response with this status begins", required=True),
            _NTH,
        ),
    ),
    "query": Record(
        "a 'query' trigger",
        _on_query,
        (
            _DATABASE,
            Field(
                "query",
                CountOrText(_COUNT),
                "When this statement, from 1, begins; or one whose text contains this",
                required=True,
            ),
            _NTH,
        ),
        judge=_check_query,
    ),
    "commit": Record(
        "a 'commit' trigger",
        OnCommit,
        (_DATABASE, Field("commit", _COUNT, "When this COMMIT, from 1, begins", "nth", required=True)),
    ),
    "operation": Record(
        "an 'operation' trigger",
        OnOperation,
        (
            Field("operation", OperationName(), "When this operation of a client ...", required=True),
            Field("point", _POINTS, "... has come to this point", required=True),
        ),
    ),
}

TRIGGER: Reader[Trigger] = Shared("trigger", Variants("a trigger", _TRIGGERS))

# --- actions -----------------------------------------------------------------------------------------------------


def _at_time(at_s: float) -> AtTime:
    return AtTime(at_s=at_s)


def _down(link: str) -> Down:
    return Down(link=link)


def _pause(node: str) -> Pause:
    return Pause(node=node)


def _disconnect(operation: str) -> Disconnect:
    return Disconnect(operation=operation)


def _fault(*, name: str, when: Trigger, do: Action, for_s: float | None = None) -> Fault:
    if isinstance(do, AddToxic) and not do.link:
        do = replace(do, link=_link_of(when))
    return Fault(name=name, when=when, do=do, for_s=for_s)


def _ends_node(action: type[Kill | Stop]) -> Callable[..., Fault]:
    def build(*, name: str, when: Trigger, node: str, restart_after_s: float | None = None) -> Fault:
        return Fault(name=name, when=when, do=action(node=node, restart_after_s=restart_after_s))

    return build


def _link_of(trigger: Trigger) -> str:
    return "" if isinstance(trigger, AtTime | OnOperation) else trigger.link


def _check_toxic_link(found: Found) -> None:
    toxic, when = found.values.get("do"), found.values.get("when")
    if isinstance(toxic, AddToxic) and when is not None and not toxic.link and not _link_of(when):
        links = found.reading.names.links
        found.mistake_at("toxic", "on which link? The trigger names none, so the toxic needs 'link'", allowed=links)


_WHEN = (
    Field("at", Made(Duration(), _at_time), "At this time since the first step", "when"),
    Field("on", TRIGGER, "When this happens", "when"),
)
_FOR = Field(
    "for", Duration(positive=True), "Healed after this long; until the run heals everything if left out", "for_s"
)
_RESTART = Field("restart_after", Duration(), "How long until it starts again; never if left out", "restart_after_s")
_ENDS_WITH_FOR = {
    "restart_after": "only a node that was killed or stopped starts again; how long this lasts is said by 'for'"
}


def _action(
    action: Field, *options: Field, refused: Table[str, str], build: Callable[..., Fault] = _fault
) -> Record[Fault]:
    return Record(
        f"a {action.key!r} fault",
        build,
        (*_WHEN, action, *options),
        named="name",
        one_of=("at", "on"),
        refused=refused,
        judge=_check_toxic_link,
    )


_DISCONNECT: Reader[Disconnect] = Lone(
    Made(OperationName(), _disconnect),
    Record(
        "'disconnect'",
        Disconnect,
        (
            Field("operation", OperationName(), "The operation whose client hangs up", required=True),
            Field("ending", Word("an ending", ("close", "reset")), "close (default): by a FIN; reset: by a RST"),
        ),
    ),
)

_ACTIONS: tuple[Record[Fault], ...] = (
    _action(Field("toxic", TOXIC, "Put a toxic on a link", "do", required=True), _FOR, refused=_ENDS_WITH_FOR),
    _action(
        Field(
            "down", Made(LinkName(), _down), "Cut this link: connections end, new ones are refused", "do", required=True
        ),
        _FOR,
        refused=_ENDS_WITH_FOR,
    ),
    _action(
        Field("kill", NodeName(), "Power cut of broker or agent:<workspace>", "node", required=True),
        _RESTART,
        refused={"for": "a killed node comes back by 'restart_after'"},
        build=_ends_node(Kill),
    ),
    _action(
        Field("stop", NodeName(), "Ask broker or agent:<workspace> to end, as by SIGTERM", "node", required=True),
        replace(_RESTART, help="How long after it is gone it starts again; never if left out"),
        refused={"for": "how long a node takes to stop is its own affair; it comes back by 'restart_after'"},
        build=_ends_node(Stop),
    ),
    _action(
        Field("pause", Made(NodeName(), _pause), "broker or agent:<workspace> stands still", "do", required=True),
        replace(_FOR, help="How long it stands still", required=True),
        refused=_ENDS_WITH_FOR,
    ),
    _action(
        Field("disconnect", _DISCONNECT, "The client of this operation hangs up", "do", required=True),
        refused={
            "for": "a disconnect happens in one instant",
            "restart_after": "a disconnect happens in one instant",
        },
    ),
)

FAULT: Reader[Fault] = Variants(
    "a fault", {action: record for record in _ACTIONS for action in (record.fields[len(_WHEN)].key,)}
)
