"""Triggers in JSON, the member `trigger` of a toxic: an addition to Toxiproxy, which ignores it.

    {"type": "reset_peer", "trigger": {"response": 2, "after_bytes": 100}}

The words are those of a scenario's faults. A number says which one, counted from 1 over all connections of the proxy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fakes.toxiproxy.go_json_reader import Number, Object, Value
from fakes.toxiproxy.go_json_writer import Json
from fakes.toxiproxy.triggers import CancelSeen, NthCommit, NthQuery, NthRequest, NthResponse, StatusSeen, Trigger


class TriggerError(ValueError):
    """A trigger that cannot be used; the message names the member."""


_KINDS: Mapping[str, tuple[Callable[..., Trigger], Mapping[str, str]]] = {
    "request": (NthRequest, {"request": "n"}),
    "response": (NthResponse, {"response": "n", "after_bytes": "after_bytes"}),
    "status": (StatusSeen, {"status": "status", "nth": "n"}),
    "query": (NthQuery, {"query": "n", "containing": "containing"}),
    "commit": (NthCommit, {"commit": "n"}),
    "cancel": (CancelSeen, {"cancel": "n"}),
}
"""By the member that tells the kind: what it is, and its members with the names of its fields."""
_LEAST: Mapping[str, int] = {"after_bytes": 0, "status": 100}
_ECHOED = "fired"
"""Only told, in answers; a client may send it back."""


def trigger_of(value: Value) -> Trigger:
    """Raises TriggerError."""
    members = dict(value.members) if isinstance(value, Object) else {}
    members.pop(_ECHOED, None)
    kinds = [name for name in _KINDS if name in members]
    if len(kinds) != 1:
        raise TriggerError(f"trigger: give an object with one of {', '.join(_KINDS)}")
    make, names = _KINDS[kinds[0]]
    for name in members:
        if name not in names:
            raise TriggerError(f"trigger {kinds[0]}: unknown member {name!r}; use {', '.join(names)}")
    return make(**{names[name]: _checked(name, member) for name, member in members.items() if member is not None})


def trigger_json(trigger: Trigger, *, fired: bool) -> dict[str, Json]:
    """The trigger as it was given, and whether it has fired."""
    names = next(names for make, names in _KINDS.values() if make is type(trigger))
    given = {name: getattr(trigger, field) for name, field in names.items()}
    return {**{name: value for name, value in given.items() if value is not None}, _ECHOED: fired}


def _checked(name: str, value: Value) -> Any:
    if name == "containing":
        if isinstance(value, str):
            return value
        raise TriggerError("trigger: 'containing' has to be a string")
    least = _LEAST.get(name, 1)
    if isinstance(value, Number) and value.text.isdecimal() and int(value.text) >= least:
        return int(value.text)
    raise TriggerError(f"trigger: {name!r} has to be a whole number, at least {least}")
