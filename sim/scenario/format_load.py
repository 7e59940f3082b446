"""The table of the section `load`: users, arrivals, gates, random faults."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from sim.scenario.containers import ListOf, Lone, Made, OneOrMore
from sim.scenario.fields import Field, Found, Record, Variants
from sim.scenario.load import (
    Arrivals,
    Constant,
    Gates,
    Limits,
    Load,
    Ramp,
    RandomFaults,
    Shape,
    Soak,
    Spike,
    UserKind,
    Users,
    unnamed_callers,
)
from sim.scenario.model import AtTime, Disconnect, OnOperation
from sim.scenario.problems import quoted, with_article
from sim.scenario.reader import Reader, Reading, Schema, written
from sim.scenario.references import WorkspaceName
from sim.scenario.scalars import DECIMAL, INTEGER, Duration, Whole
from sim.scenario.source import Mapping, Node, Sequence

RATE_MAX = 100_000.0
_PER_S = {"/s": 1.0, "/m": 60.0, "/h": 3600.0}
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
_RATE = re.compile(f"({_NUMBER})({'|'.join(_PER_S)})", re.ASCII)
_PERCENT = re.compile(f"({_NUMBER})%", re.ASCII)
_ONE_EACH: dict[str, str] = {"inbox_poller": "callers", "poll_agent": "targets", "heart": "targets"}


@dataclass(frozen=True, slots=True)
class PerSecond(Reader[float]):
    """How many in a time, with its unit, as how many a second."""

    def read(self, node: Node, reading: Reading) -> float:
        text = written(node, reading, "a rate such as 20/s").text
        match = _RATE.fullmatch(text)
        if match is None:
            if re.fullmatch(_NUMBER, text, re.ASCII):
                reading.reject(node.place, f"{text} has no unit: write {text}/s")
            reading.reject(node.place, f"expected a rate such as 20/s, 90/m or 500/h, found {quoted(text)}")
        rate = float(match[1]) / _PER_S[match[2]]
        if not 0 < rate <= RATE_MAX:
            reading.reject(node.place, f"expected a rate of more than nothing and at most {RATE_MAX:g}/s, found {text}")
        return rate

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "pattern": f"^{_NUMBER}(?:{'|'.join(_PER_S)})$"}


@dataclass(frozen=True, slots=True)
class Ratio(Reader[float]):
    """A part of all: `1%`, or a number from 0 to 1."""

    def read(self, node: Node, reading: Reading) -> float:
        value = written(node, reading, "a part of all, such as 1%")
        if match := _PERCENT.fullmatch(value.text):
            ratio = float(match[1]) / 100
        elif value.plain and (INTEGER.fullmatch(value.text) or DECIMAL.fullmatch(value.text)):
            ratio = float(value.text)
        else:
            reading.reject(node.place, f"expected a part of all, such as 1% or 0.01, found {quoted(value.text)}")
        if not 0 <= ratio <= 1:
            reading.reject(node.place, f"expected a part from 0% to 100%, found {value.text}")
        return ratio

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        number = {"type": "number", "minimum": 0, "maximum": 1}
        return {"anyOf": [number, {"type": "string", "pattern": f"^{_NUMBER}%$"}]}


_CALLERS = Field(
    "callers", OneOrMore(WorkspaceName(), "workspaces"), "Who delegates; all that poll and are no target, if left out"
)
_TARGETS = Field("targets", OneOrMore(WorkspaceName(), "workspaces"), "Who is to work; all but the callers if left out")
_COUNT = Field("count", Whole(1, 100_000), "How many of them there are")
_THINK = Field("think", Duration(), "What lies between two tasks, on average; 1s if left out", "think_s")

_OPTIONS: dict[UserKind, tuple[Field, ...]] = {
    "delegator": (_COUNT, _THINK, _CALLERS, _TARGETS),
    "mcp_client": (_COUNT, _THINK, _CALLERS, _TARGETS),
    "inbox_poller": (_THINK, _CALLERS),
    "canvas": (_COUNT, _THINK, _CALLERS, _TARGETS),
    "leaver": (
        _COUNT,
        _THINK,
        Field("share", Ratio(), "Of its requests, on which it hangs up; a half if left out"),
        _CALLERS,
        _TARGETS,
    ),
    "duplicator": (_COUNT, _THINK, _CALLERS, _TARGETS),
    "poll_agent": (_THINK, _TARGETS),
    "heart": (
        Field("busy", Duration(positive=True), "How long it says that its workspace is busy; 3s if left out", "busy_s"),
        Field("free", Duration(positive=True), "How long it says that its workspace is free; 3s if left out", "free_s"),
        Field("think", Duration(positive=True), "What lies between two heartbeats; 1s if left out", "think_s"),
        _TARGETS,
    ),
}
_WHO: dict[UserKind, str] = {
    "delegator": "Workspaces that delegate",
    "mcp_client": "Language models that delegate by a tool and ask how the task stands",
    "inbox_poller": "One for each caller: reads its inbox past its cursor",
    "canvas": "People who look at delegations and write to workspaces",
    "leaver": "Callers that hang up on a share of their requests",
    "duplicator": "Callers that ask for the same work twice under one key",
    "poll_agent": "One for each target that polls: reports what was left for it as done",
    "heart": "One for each target: says that it is busy, then free, and so on",
}


def _users(kind: UserKind) -> Record[Users]:
    def build(**values: Any) -> Users:
        return Users(kind=kind, **values)

    options: Reader[Any] = Record(f"the users {kind}", build, _OPTIONS[kind], may_be_empty=True)
    if _COUNT in _OPTIONS[kind]:
        options = Lone(Made(Whole(1, 100_000), lambda count: Users(kind=kind, count=count)), options)
    return Record(f"the users {kind}", _first, (Field(kind, options, _WHO[kind], "value", required=True),))


def _first(value: Any) -> Any:
    return value


_WHOM = (_CALLERS, _TARGETS)


def _arrivals(key: str, reader: Reader[Any], help: str) -> Record[Arrivals]:
    return Record(f"{with_article(key)} of arrivals", Arrivals, (Field(key, reader, help, "shape", True), *_WHOM))


def _shape(build: Callable[..., Shape], *fields: Field) -> Reader[Shape]:
    return Record("a shape of arrivals", build, fields)


def _rate(key: str, help: str, into: str) -> Field:
    return Field(key, PerSecond(), help, into, required=True)


ARRIVALS: dict[str, Record[Arrivals]] = {
    "constant": _arrivals("constant", Made(PerSecond(), lambda rate: Constant(rate=rate)), "As many in every second"),
    "ramp": _arrivals(
        "ramp",
        _shape(Ramp, _rate("from", "The rate at first", "from_rate"), _rate("to", "The rate at the end", "to_rate")),
        "From one rate to another, evenly over the whole load",
    ),
    "spike": _arrivals(
        "spike",
        _shape(
            Spike,
            _rate("rate", "The rate before and after", "rate"),
            _rate("peak", "The rate of the spike", "peak"),
            Field("at", Duration(), "When the spike begins", "at_s", required=True),
            Field("for", Duration(positive=True), "How long it lasts", "for_s", required=True),
        ),
        "One rate, and a higher one for a while",
    ),
    "soak": _arrivals("soak", Made(PerSecond(), lambda rate: Soak(rate=rate)), "This rate on average, gaps by chance"),
}

_LIMITS: tuple[Field, ...] = (
    Field("p50", Duration(positive=True), "Half of the requests must be quicker", "p50_s"),
    Field("p95", Duration(positive=True), "95 of 100 requests must be quicker", "p95_s"),
    Field("p99", Duration(positive=True), "99 of 100 requests must be quicker", "p99_s"),
    Field("max_failure_ratio", Ratio(), "So many of the requests may fail, from 0% to 100%", "failure_ratio"),
)


def _gates(**values: Any) -> Gates:
    own = {field.argument for field in _LIMITS}
    limits = Limits(**{name: value for name, value in values.items() if name in own})
    return Gates(overall=limits, **{name: value for name, value in values.items() if name not in own})


GATES = Record(
    "gates",
    _gates,
    (
        *_LIMITS,
        Field("outside", Record("limits", Limits, _LIMITS), "Limits while no fault is there, nor its aftermath"),
        Field("during", Record("limits", Limits, _LIMITS), "Limits in the window of each fault"),
        Field("recovery_time", Duration(), "How long after a fault requests may still fail", "recovery_s"),
        Field("lost", Whole(0, 1_000_000), "So many accepted delegations may be lost; 0 if left out"),
        Field("duplicates", Whole(0, 1_000_000), "So many may be delivered or told of twice; 0 if left out"),
    ),
)

RANDOM_FAULTS = Record(
    "'random_faults'",
    RandomFaults,
    (
        Field("every", Duration(positive=True), "One fault in each of these spans", "every_s", required=True),
        Field("for", Duration(positive=True), "How long each lasts", "for_s", required=True),
        Field("seed", Whole(1, 1_000_000), "Which faults are drawn"),
    ),
)


def _check_whole(found: Found) -> None:
    """What only several keys of the section together make wrong."""
    if found.node.get("users") is None and found.node.get("arrivals") is None:
        found.reading.source.mistake(found.node.place, "a load needs 'users' or 'arrivals': nobody asks for anything")
    duration_s = found.values.get("duration_s")
    arrivals = found.node.get("arrivals")
    for each, node in zip(found.values.get("arrivals", ()), _items(arrivals), strict=False):
        if isinstance(each.shape, Spike) and duration_s and each.shape.at_s + each.shape.for_s > duration_s:
            found.reading.source.mistake(node.place, f"this spike ends after the load, which lasts {duration_s:g}s")
    seen: dict[tuple[str, str], int] = {}
    for each, node in zip(found.values.get("users", ()), _items(found.node.get("users")), strict=False):
        for name in getattr(each, _ONE_EACH.get(each.kind, ""), ()) or (("",) if each.kind in _ONE_EACH else ()):
            if (each.kind, name) in seen:
                whose = f" of {quoted(name)}" if name else ""
                found.reading.source.mistake(node.place, f"there is {with_article(quoted(each.kind))}{whose} already")
            seen[each.kind, name] = node.place.line
    random = found.values.get("random_faults")
    if random is not None and random.for_s >= random.every_s:
        found.mistake_at("random_faults", "each fault must be over before the next: 'for' has to be less than 'every'")


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else ()


LOAD = Record(
    "a load",
    Load,
    (
        Field("duration", Duration(positive=True), "How long users and arrivals go on", "duration_s", required=True),
        Field(
            "users",
            ListOf(Variants("users", {kind: _users(kind) for kind in get_args(UserKind)}), "users", least=1),
            "Closed users: each waits for its answer before it goes on",
        ),
        Field(
            "arrivals",
            ListOf(Variants("arrivals", ARRIVALS), "arrivals", least=1),
            "Delegations that begin at their times, whoever still waits",
        ),
        Field("gates", GATES, "What is too slow or too much"),
        Field("random_faults", RANDOM_FAULTS, "Faults drawn by chance, beside those of `faults`"),
    ),
    judge=_check_whole,
)


def check_load(found: Found) -> None:
    """What a scenario with a load must not have: there are no operations with names, and the load ends."""
    load = found.values.get("load")
    section = found.node.get("load")
    if not isinstance(section, Mapping):
        return
    for key in ("expect", "watch"):
        if found.node.get(key) is not None:
            found.mistake_at(key, f"no {quoted(key)} beside 'load': it is about operations of 'steps'")
    for fault, node in zip(found.values.get("faults", ()), _items(found.node.get("faults")), strict=False):
        if isinstance(fault.when, OnOperation) or isinstance(fault.do, Disconnect):
            found.reading.source.mistake(
                node.place, "this fault is about an operation of 'steps', and a load has none: use users of 'leaver'"
            )
        if load is not None and isinstance(fault.when, AtTime) and fault.when.at_s >= load.duration_s:
            found.reading.source.mistake(node.place, f"this fault strikes after the {load.duration_s:g}s of the load")
    if load is None:
        return
    workspaces = found.values.get("workspaces", ())
    callers = unnamed_callers(load, {each.name: each.delivery for each in workspaces})
    targets = [each.name for each in workspaces if each.name not in callers]
    for what, there in (("callers", callers), ("targets", targets)):
        if workspaces and not there and any(not getattr(each, what) for each in (*load.users, *load.arrivals)):
            found.mistake_at("load", f"there are no {what}: workspaces that poll and are nobody's target delegate, "
                             "all others work; name them, or add workspaces")  # fmt: skip
