"""The bodies of the API's requests: what is read out of them, in which order they are checked, and what is refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from fakes.toxiproxy.collection import Wanted
from fakes.toxiproxy.go_json_reader import GoJsonError, Value, read
from fakes.toxiproxy.go_structs import (
    LISTED_PROXY,
    PROXY,
    TOXIC,
    GoTypeError,
    Struct,
    attributes_of,
    fields_of,
    items_of,
    member,
    toxic_change,
)
from fakes.toxiproxy.served_proxy import ListedToxic
from fakes.toxiproxy.toxics import ATTRIBUTES, STREAMS, InvalidToxic, Toxic
from fakes.toxiproxy.trigger_json import TriggerError, trigger_of
from fakes.toxiproxy.triggers import TrafficProtocol


class Refused(Exception):
    """What a request gets instead of what it asked for."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be changed on a proxy; None leaves it as it is."""

    listen: str | None
    upstream: str | None
    enabled: bool | None


def proxy_in(body: bytes) -> Wanted:
    """The proxy to create. Raises Refused."""
    fields = _fields(_value(body), PROXY)
    _require(fields, "")
    return _wanted(fields)


def proxies_in(body: bytes) -> list[Wanted]:
    """The proxies to populate with; all are checked before any is made. Raises Refused."""
    value = _value(body)
    try:
        found = [fields_of(item, LISTED_PROXY) for item in items_of(value, LISTED_PROXY.type)]
    except GoTypeError as error:
        raise _bad_body(error) from error
    for number, fields in enumerate(found, 1):
        _require(fields, f" at proxy {number}")
    return [_wanted(fields) for fields in found]


def change_in(body: bytes) -> Change:
    """What a proxy is to be changed to. Raises Refused."""
    fields = _fields(_value(body), PROXY)
    return Change(fields.get("listen"), fields.get("upstream"), fields.get("enabled"))


def toxic_in(body: bytes, taken: Collection[str]) -> ListedToxic:
    """The toxic to add; the names in `taken` are there already. Raises Refused."""
    value = _value(body)
    fields = _fields(value, TOXIC)
    stream_text: str = fields.get("stream", "downstream")
    stream = stream_text.lower()
    if stream not in STREAMS:
        raise Refused(400, "stream was invalid, can be either upstream or downstream")
    type_ = fields.get("type", "")
    name = fields.get("name") or f"{type_}_{stream_text}"
    if type_ not in ATTRIBUTES:
        raise Refused(400, "invalid toxic type")
    if name in taken:
        raise Refused(409, "toxic already exists")
    attributes = _attributes(fields, type_)
    trigger = member(value, "trigger")
    try:
        toxic = Toxic(type_, stream, name, fields.get("toxicity", 1.0), attributes)
        return ListedToxic(toxic, stream_text, None if trigger is None else trigger_of(trigger))
    except (InvalidToxic, TriggerError) as error:
        raise Refused(400, str(error)) from error


def toxic_change_in(body: bytes, toxic: Toxic) -> Toxic:
    """The toxic as it is to be from now on. Raises Refused."""
    fields = _fields(_value(body), toxic_change(toxic.type))
    attributes = {**toxic.attributes, **_attributes(fields, toxic.type)}
    try:
        return replace(toxic, attributes=attributes, toxicity=fields.get("toxicity", toxic.toxicity))
    except InvalidToxic as error:
        raise Refused(400, str(error)) from error


def _value(body: bytes) -> Value:
    try:
        return read(body)
    except GoJsonError as error:
        raise _bad_body(error) from error


def _fields(value: Value, struct: Struct) -> dict[str, Any]:
    try:
        return fields_of(value, struct)
    except GoTypeError as error:
        raise _bad_body(error) from error


def _attributes(fields: Mapping[str, Any], type_: str) -> dict[str, Any]:
    try:
        return attributes_of(fields.get("attributes"), type_)
    except GoTypeError as error:
        raise _bad_body(error) from error


def _require(fields: Mapping[str, Any], where: str) -> None:
    for name in ("name", "upstream"):
        if not fields.get(name):
            raise Refused(400, f"missing required field: {name}{where}")


def _wanted(fields: Mapping[str, Any]) -> Wanted:
    protocol = fields.get("protocol")
    if protocol not in (None, *get_args(TrafficProtocol)):
        raise Refused(400, f"protocol: {protocol!r} is not known; use {' or '.join(get_args(TrafficProtocol))}")
    return Wanted(fields["name"], fields.get("listen", ""), fields["upstream"], fields.get("enabled", True), protocol)


def _bad_body(error: Exception) -> Refused:
    return Refused(400, f"bad request body: {error}")
