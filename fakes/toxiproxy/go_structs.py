"""Which members of a body are read, as what, and what Go says when one is something else.

Theory: Go's decoder goes through a body in its order, finds a field by its name in any case, lets `null` leave the
field as it is and the last of two win, ignores what it does not know, and reports the first mismatch with the names of
its own structs and types. Those names are part of Toxiproxy's answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fakes.toxiproxy.go_json_reader import Number, Object, Value
from fakes.toxiproxy.toxics import ATTRIBUTES

INT64_MAX = 2**63 - 1
FLOAT32_MAX = 3.4028235677973366e38
"""The next number that 32 bits do not hold."""


class GoTypeError(Exception):
    """What Go says of a value that does not fit its field."""


@dataclass(frozen=True, slots=True)
class Field:
    """One member: its name in Python, how Go calls its place, and its type (one with a dot is a struct)."""

    name: str
    place: str
    type: str


@dataclass(frozen=True, slots=True)
class Struct:
    """The members by their names in lower case; those without a type here are ignored, whatever they are."""

    type: str
    fields: Mapping[str, Field]


PROXY = Struct(
    "toxiproxy.Proxy",
    {
        "name": Field("name", "Proxy.name", "string"),
        "listen": Field("listen", "Proxy.listen", "string"),
        "upstream": Field("upstream", "Proxy.upstream", "string"),
        "enabled": Field("enabled", "Proxy.enabled", "bool"),
        "logger": Field("logger", "Proxy.Logger", "zerolog.Logger"),
        "protocol": Field("protocol", "Proxy.protocol", "string"),
    },
)
LISTED_PROXY = Struct(
    'struct { toxiproxy.Proxy; Enabled *bool "json:\\"enabled\\"" }',
    {
        "name": Field("name", ".Proxy.name", "string"),
        "listen": Field("listen", ".Proxy.listen", "string"),
        "upstream": Field("upstream", ".Proxy.upstream", "string"),
        "enabled": Field("enabled", ".enabled", "bool"),
        "logger": Field("logger", ".Proxy.Logger", "zerolog.Logger"),
        "protocol": Field("protocol", ".Proxy.protocol", "string"),
    },
)
TOXIC = Struct(
    "toxics.ToxicWrapper",
    {
        # What kind of toxic it is, Go does not know yet when it reads this for the first time.
        "attributes": Field("attributes", "ToxicWrapper.attributes", "toxics.NoopToxic"),
        "name": Field("name", "ToxicWrapper.name", "string"),
        "type": Field("type", "ToxicWrapper.type", "string"),
        "stream": Field("stream", "ToxicWrapper.stream", "string"),
        "toxicity": Field("toxicity", "ToxicWrapper.toxicity", "float32"),
    },
)
TOXIC_TYPES: Mapping[str, str] = {
    "latency": "LatencyToxic",
    "bandwidth": "BandwidthToxic",
    "slow_close": "SlowCloseToxic",
    "timeout": "TimeoutToxic",
    "reset_peer": "ResetToxic",
    "slicer": "SlicerToxic",
    "limit_data": "LimitDataToxic",
    "noop": "NoopToxic",
}
"""How Go calls each type of toxic that Toxiproxy has."""
_ATTRIBUTES: Mapping[str, Struct] = {
    type_: Struct(
        TOXIC_TYPES.get(type_, type_),
        {
            name: Field(name, f"{TOXIC_TYPES.get(type_)}.attributes.{name}", "int" if type_ == "slicer" else "int64")
            for name in attributes
        },
    )
    for type_, attributes in ATTRIBUTES.items()
}


def toxic_change(toxic_type: str) -> Struct:
    """What can be changed on a toxic of this type."""
    return Struct(
        'struct { Attributes interface {} "json:\\"attributes\\""; Toxicity float32 "json:\\"toxicity\\"" }',
        {
            "attributes": Field("attributes", ".attributes", f"toxics.{_ATTRIBUTES[toxic_type].type}"),
            "toxicity": Field("toxicity", ".toxicity", "float32"),
        },
    )


def fields_of(value: Value, struct: Struct) -> dict[str, Any]:
    """The members of `struct` that are in `value` and not null. Raises GoTypeError."""
    found: dict[str, Any] = {}
    for name, member in members_of(value, struct.type):
        field = struct.fields.get(name.casefold())
        if field is not None and member is not None:
            found[field.name] = _fitting(member, field)
    return found


def members_of(value: Value, type_: str) -> tuple[tuple[str, Value], ...]:
    """What is in an object; nothing is in null. Raises GoTypeError."""
    if value is None:
        return ()
    if not isinstance(value, Object):
        raise GoTypeError(f"json: cannot unmarshal {_kind(value)} into Go value of type {type_}")
    return value.members


def items_of(value: Value, type_: str) -> list[Value]:
    """What is in an array; nothing is in null. Raises GoTypeError."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise GoTypeError(f"json: cannot unmarshal {_kind(value)} into Go value of type []{type_}")
    return value


def member(value: Value, name: str) -> Value:
    """The last member of an object that has this name, in any case; None without one."""
    members = value.members if isinstance(value, Object) else ()
    return next((found for present, found in reversed(members) if present.casefold() == name), None)


def attributes_of(attributes: Value, toxic_type: str) -> dict[str, Any]:
    """The attributes of a toxic, an object; those that Go does not know stay as they are. Raises GoTypeError."""
    struct = _ATTRIBUTES[toxic_type]
    unknown = {
        name: given for name, given in members_of(attributes, struct.type) if name.casefold() not in struct.fields
    }
    return {**fields_of(attributes, struct), **unknown}


def _fitting(value: Value, field: Field) -> Any:
    match value, field.type:
        case str(), "string":
            return value
        case bool(), "bool":
            return value
        case Object(), type_ if "." in type_:
            return value
        case Number(text=text), "float32":
            if abs(float(text)) < FLOAT32_MAX:
                return float(text)
        case Number(text=text), "int" | "int64":
            if text.lstrip("-").isdigit() and -INT64_MAX - 1 <= int(text) <= INT64_MAX:
                return int(text)
    what = _kind(value)
    if isinstance(value, Number) and field.type in ("int", "int64", "float32"):
        what = f"number {value.text}"
    raise GoTypeError(f"json: cannot unmarshal {what} into Go struct field {field.place} of type {field.type}")


def _kind(value: Value) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case Number():
            return "number"
        case list():
            return "array"
    return "object"
