"""An A2A request as the broker passes it on: enveloped, identified, with parts that agents understand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reference_impl.text import dump_json, parse_object

_ID_BYTES_MAX = 255
_LIFETIME_MAX_S = 1e9


@dataclass(frozen=True, slots=True)
class Message:
    """The request as sent and stored, and what the broker needs to know of it."""

    body: str
    method: str
    message_id: str
    delegation_id: str | None
    expires_in_s: float | None = None

    @property
    def key(self) -> str:
        """Identifies the message among those to one target, in a size that fits an index."""
        raw = self.message_id.encode()
        return self.message_id if len(raw) <= _ID_BYTES_MAX else hashlib.sha256(raw).hexdigest()


def normalise(raw: bytes, new_id: Callable[[], str]) -> Message:
    """Wrap in a JSON-RPC envelope, give a message id and the part key `kind`, where missing (H78).

    Raises `ValueError` for what is not a JSON object.
    """
    request = parse_object(raw)
    if "jsonrpc" not in request:
        request = {
            "jsonrpc": "2.0",
            "id": new_id(),
            "method": request.get("method"),
            "params": request.get("params"),
        }
    params = request.get("params")
    message = params.get("message") if isinstance(params, dict) else None
    if isinstance(message, dict):
        if not isinstance(message.get("messageId"), str) or not message["messageId"]:
            message["messageId"] = new_id()
        _name_kinds(message.get("parts"))
        message_id, metadata = message["messageId"], message.get("metadata")
    else:
        message_id, metadata = new_id(), None
    method = request.get("method")
    delegation_id = metadata.get("delegation_id") if isinstance(metadata, dict) else None
    return Message(
        body=dump_json(request),
        method=method if isinstance(method, str) else "",
        message_id=message_id,
        delegation_id=delegation_id if isinstance(delegation_id, str) else None,
        expires_in_s=_lifetime_s(params.get("expires_in_seconds")) if isinstance(params, dict) else None,
    )


def _lifetime_s(value: Any) -> float | None:
    """How long the message may wait in a queue; None: for ever."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 < value <= _LIFETIME_MAX_S else None


def _name_kinds(parts: Any) -> None:
    for part in parts if isinstance(parts, list) else []:
        if isinstance(part, dict) and "kind" not in part and "type" in part:
            part["kind"] = part.pop("type")
