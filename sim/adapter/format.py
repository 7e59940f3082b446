"""The table of an adapter file: its sections and their keys."""

from __future__ import annotations

import re
from typing import Any

from sim.adapter.model import CONTRACT_PATHS, PLACEHOLDERS, Adapter, Auth, Creation
from sim.adapter.readers import Body, LoopbackPort, PathOf, Request, Switch, Variables
from sim.history import Flags
from sim.scenario.containers import ListOf
from sim.scenario.fields import Field, Record
from sim.scenario.scalars import Duration, Text, WordOr

_HOST = Text("a host name or an address", "[A-Za-z0-9_.-]{1,253}")
_VARIABLE = Text("the name of an environment variable", "[A-Za-z_][A-Za-z0-9_]*")
_HEADER = Text("the name of a header", "[A-Za-z0-9-]+")
_FIELD = Text("a field of the answer, such as id or workspace.id", r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")

_PATHS: Record[dict[str, str | None]] = Record(
    "'paths'",
    lambda **paths: paths,
    tuple(
        Field(
            action,
            WordOr({"none": None}, PathOf(tuple(re.findall(r"\{(\w+)\}", path)))),
            f"{path} if left out; none: the broker has no such thing",
        )
        for action, path in CONTRACT_PATHS.items()
    ),
)

_AUTH = Record(
    "'auth'",
    Auth,
    (
        Field("env", _VARIABLE, "The environment variable that holds the token or value", required=True),
        Field("header", _HEADER, "Authorization (default): as a bearer token; another: the value as it is"),
    ),
)


def _creation(*, create: tuple[str, str] | None = None, **values: Any) -> Creation:
    if create is not None:
        values["method"], values["path"] = create
    return Creation(**values)


_WORKSPACES = Record(
    "'workspaces'",
    _creation,
    (
        Field("create", Request(PLACEHOLDERS), "The request that makes one known; POST /registry/register if left out"),
        Field("body", Body(PLACEHOLDERS), f"Its JSON body, with {', '.join(f'{{{name}}}' for name in PLACEHOLDERS)}"),
        Field("id_in", _FIELD, "The field of the answer that holds its id; ids are fumble's if left out"),
        Field("token_in", _FIELD, "The field of the answer that may hold its own bearer token; auth_token if left out"),
    ),
)

_FLAGS = (
    Field("ledger", Switch(), "Whether the broker keeps the table `delegations`; true if left out"),
    Field("inbox_push", Switch(), "Whether outcomes come into the caller's inbox; true if left out"),
)
_DURATIONS = (
    Field("retry_delay", Duration(), "Between two attempts to deliver; 8s if left out", "retry_delay_s"),
    Field("execution_budget", Duration(positive=True), "Of one execution; 30m if left out", "execution_budget_s"),
    Field("mcp_sync_budget", Duration(positive=True), "Of delegate_task; 30s if left out", "mcp_sync_budget_s"),
    Field("mcp_async_budget", Duration(positive=True), "Of delegate_task_async; 8s if left out", "mcp_async_budget_s"),
    Field("sweeper_interval", Duration(positive=True), "Between two sweeps; 5m if left out", "sweeper_interval_s"),
    Field("grace", Duration(), "Within which it is gone when it is asked to stop; 10s if left out", "grace_s"),
    Field("settle", Duration(positive=True), "The longest that a run waits for it to come to rest; 5m", "settle_s"),
    Field("quiet", Duration(), "How long nothing may happen before a run is over; 1.25 retry_delay + 2s", "quiet_s"),
)


def _values(**values: Any) -> dict[str, Any]:
    return values


def _adapter(
    *,
    flags: dict[str, Any] | None = None,
    durations: dict[str, Any] | None = None,
    **values: Any,
) -> Adapter:
    told = {**(flags or {}), **(durations or {})}
    ours = {name: told.pop(name) for name in ("settle_s", "quiet_s") if name in told}
    return Adapter(flags=Flags(**told), **ours, **values)


ADAPTER = Record(
    "an adapter",
    _adapter,
    (
        Field("paths", _PATHS, "Where the broker's API differs from the contract's"),
        Field("auth", _AUTH, "What every request shows to be let in"),
        Field("workspaces", _WORKSPACES, "How a workspace is made known"),
        Field("flags", Record("'flags'", _values, _FLAGS), "Settings of the broker that invariants have to know"),
        Field("durations", Record("'durations'", _values, _DURATIONS), "The broker's own, in real time"),
        Field(
            "agent_host",
            _HOST,
            "The name by which the broker reaches fumble's agents (they listen on 127.0.0.1); 127.0.0.1 if left out",
        ),
        Field(
            "command",
            ListOf(Text(), "words", least=1),
            "The program that is the broker, and its arguments: fumble then starts, kills and pauses it",
        ),
        Field("env", Variables(), "Variables for `command`"),
        Field(
            "database_listen",
            LoopbackPort(),
            "Where the way to the broker's database begins, for faults: point the broker's DSN there",
        ),
    ),
    may_be_empty=True,
)
