"""A history as lines that a person can read: when, who, what. One entry is one line, the final state is a few more."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import singledispatch
from typing import Any, TypeAlias

from reports.plain import fit, printable
from sim.history import (
    Broadcast,
    Contact,
    Entry,
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
)

WHAT_CELLS_MAX = 180
"""How much of what happened is shown on a line; bodies are the last part of it."""

Names: TypeAlias = Mapping[str, str]

_ROW_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "activity_logs": (
        "workspace_id",
        "activity_type",
        "method",
        "status",
        "request_body",
        "response_body",
        "error_detail",
        "idempotency_key",
    ),
    "delegations": ("delegation_id", "caller_id", "callee_id", "status", "result_preview", "error_detail"),
    "a2a_queue": ("workspace_id", "status", "attempts", "last_error"),
    "structure_events": ("event_type", "workspace_id", "payload"),
}
"""What is shown of a row; empty columns are left out, and so are other tables, which no invariant reads."""


def line(history: History, index: int) -> str:
    """One entry on one line: its position, the time in seconds, who, what."""
    return _line(index, history.entries[index], _names(history))


def lines(history: History) -> Iterator[str]:
    """All entries, with the rows of the final state below it."""
    names = _names(history)
    for index, entry in enumerate(history.entries):
        yield _line(index, entry, names)
        if isinstance(entry, Final):
            yield from _final_lines(entry, names)


def _line(index: int, entry: Entry, names: Names) -> str:
    who, what = _told(entry)
    return f"#{index:<4} {entry.at_s:>12.6f}s  {printable(who):<10} {_shown(what, names)}"


def _shown(what: str, names: Names) -> str:
    for identifier, name in names.items():
        what = what.replace(identifier, name)
    return fit(printable(what[: 4 * WHAT_CELLS_MAX]), WHAT_CELLS_MAX)


def _names(history: History) -> Names:
    """Ids that the run knows and their names: a person thinks in `bob` and `d1`, not in UUIDs."""
    names = {member.workspace_id: name for name, member in history.members.items()}
    for entry in history.entries:
        if isinstance(entry, Ok) and entry.status == 202 and isinstance(entry.body, dict):
            delegation_id = entry.body.get("delegation_id")
            if isinstance(delegation_id, str) and delegation_id:
                names[delegation_id] = entry.op
    return names


@singledispatch
def _told(entry: Entry) -> tuple[str, str]:
    raise TypeError(f"no line is defined for a {type(entry).__name__}; add one to reports/history_text.py")


@_told.register
def _(entry: Invoke) -> tuple[str, str]:
    arguments = " ".join(f"{key}={_text(value)}" for key, value in entry.arguments.items() if value is not None)
    return entry.op, f"{entry.workspace} calls {entry.action} {arguments}".rstrip()


@_told.register
def _(entry: Ok) -> tuple[str, str]:
    return entry.op, f"is answered {entry.status} {_text(entry.body)}"


@_told.register
def _(entry: Fail) -> tuple[str, str]:
    return entry.op, f"had no effect: {entry.reason}"


@_told.register
def _(entry: Info) -> tuple[str, str]:
    head = "" if entry.status is None else f" after the head of a {entry.status}"
    return entry.op, f"outcome unknown{head}: {entry.reason}"


@_told.register
def _(entry: Contact) -> tuple[str, str]:
    about = entry.delegation_id or entry.message_id
    parts = [f"request {entry.contact} {entry.stage}"]
    if about is not None:
        parts.append(f"of {about}")
    if entry.status is not None:
        parts.append(f"with {entry.status}{' restarting' if entry.restarting else ''}, {entry.body_bytes} body bytes")
    if entry.rpc_error:
        parts.append("(a JSON-RPC error)")
    if entry.text is not None:
        parts.append(_text(entry.text))
    return entry.agent, " ".join(parts)


@_told.register
def _(entry: ModeRead) -> tuple[str, str]:
    return "broker", f"reads the delivery mode of {entry.workspace_id}: {entry.mode}"


@_told.register
def _(entry: Broadcast) -> tuple[str, str]:
    return "broker", f"broadcasts {entry.event} for {entry.workspace_id} {_text(entry.payload)}"


@_told.register
def _(entry: FaultBegan) -> tuple[str, str]:
    return entry.fault, f"begins: {entry.what}"


@_told.register
def _(entry: FaultEnded) -> tuple[str, str]:
    return entry.fault, "is healed"


@_told.register
def _(entry: NodeChanged) -> tuple[str, str]:
    why = f": {entry.why}" if entry.why else ""
    return entry.node, f"is {entry.change}{why}"


@_told.register
def _(entry: Final) -> tuple[str, str]:
    counts = [
        f"{name} {'not observed' if part is None else ', '.join(f'{key} {len(rows)}' for key, rows in part.items())}"
        for name, part in (("rows:", entry.rows), ("inbox:", entry.inbox), ("listing:", entry.listing))
    ]
    return "final", "; ".join(counts)


def _final_lines(final: Final, names: Names) -> Iterator[str]:
    for table, columns in _ROW_COLUMNS.items():
        for row in (final.rows or {}).get(table, ()):
            yield _row_line(table, row, columns, names)
    for name, items in (final.inbox or {}).items():
        for item in items:
            yield _row_line(f"inbox of {name}", item, _ROW_COLUMNS["activity_logs"], names)
    for name, entries in (final.listing or {}).items():
        for entry in entries:
            yield _row_line(f"listing of {name}", entry, ("delegation_id", "status", "error"), names)


def _row_line(table: str, row: Row, columns: tuple[str, ...], names: Names) -> str:
    shown = " ".join(f"{column}={_text(row[column])}" for column in columns if row.get(column) not in (None, ""))
    return f"      {printable(table):<20} {_shown(shown, names)}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
