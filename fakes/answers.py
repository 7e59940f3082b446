"""What goes over the wire for each behaviour: A2A 0.3 bodies, and how much of them is sent when.

Theory: every behaviour that answers at all is one `Answer`, so a cut differs from a whole reply only in numbers. Ids
are derived from those of the request: the same run has the same bytes.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

from sim.scenario.behaviours import (
    Behaviour,
    Busy,
    Cut,
    Empty,
    Ending,
    Garbage,
    Hang,
    JsonRpcError,
    Partial,
    PartKey,
    Portion,
    Reply,
    ReplyShape,
    Restarting,
    Slow,
    Status,
    Truncate,
)

RETRY_AFTER_S = 30
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request says about itself; None where it does not, or where it is not JSON-RPC."""

    rpc_id: Any = None
    method: str | None = None
    message_id: str | None = None
    delegation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response: its bytes, when they are sent, and where it is cut (`cut_at_bytes` of the body, None: nowhere)."""

    status: int
    body: bytes
    content_type: str = _JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    chunked: bool = False
    after_s: float = 0.0
    duration_s: float = 0.0
    pieces: int = 1
    cut_at_bytes: int | None = None
    ending: Ending = "reset"
    text: str | None = None
    restarting: bool = False
    rpc_error: bool = False


def read_request(body: bytes) -> Asked:
    """Who asks for what, as far as the body tells."""
    try:
        envelope = json.loads(body)
    except ValueError:
        return Asked()
    if not isinstance(envelope, dict):
        return Asked()
    message = _object(_object(envelope.get("params")).get("message"))
    return Asked(
        rpc_id=envelope.get("id"),
        method=_text(envelope.get("method")),
        message_id=_text(message.get("messageId")),
        delegation_id=_text(_object(message.get("metadata")).get("delegation_id")),
    )


def answer_to(asked: Asked, behaviour: Behaviour, *, agent: str, contact: int) -> Answer | None:
    """The response of `agent` to its `contact`th request; None if there is to be none."""

    def reply(text: str, part_key: PartKey = "kind", shape: ReplyShape = "message") -> bytes:
        return _reply(asked, text, part_key, shape, seed=f"{agent}/{contact}/{asked.message_id}")

    match behaviour:
        case Reply(text, after_s, part_key, shape):
            return Answer(status=200, body=reply(text, part_key, shape), after_s=after_s, text=text)
        case Slow(text, duration_s, pieces):
            return Answer(status=200, body=reply(text), duration_s=duration_s, pieces=pieces, text=text)
        case Busy():
            body = {"error": "workspace agent busy", "busy": True, "retry_after": RETRY_AFTER_S}
            return Answer(status=503, body=_json(body), headers={"Retry-After": str(RETRY_AFTER_S)})
        case Restarting():
            body = {"error": "workspace agent restarting", "restarting": True}
            return Answer(status=503, body=_json(body), restarting=True)
        case Status(code, body_text):
            return Answer(status=code, body=(body_text or "").encode())
        case Empty(code):
            return Answer(status=code, body=b"")
        case Partial(portion, ending, text):
            whole = reply(text)
            cut_at_bytes = _size(portion, whole)
            return Answer(status=200, body=whole, cut_at_bytes=cut_at_bytes, ending=ending, text=text)
        case Truncate(portion, ending, text):
            whole = reply(text)
            cut_at_bytes = _size(portion, whole)
            return Answer(status=200, body=whole, chunked=True, cut_at_bytes=cut_at_bytes, ending=ending, text=text)
        case JsonRpcError(code, message):
            error = {"jsonrpc": "2.0", "id": asked.rpc_id, "error": {"code": code, "message": message}}
            return Answer(status=200, body=_json(error), rpc_error=True)
        case Garbage(text):
            return Answer(status=200, body=text.encode(), content_type="text/html")
        case Hang() | Cut():
            return None
    assert_never(behaviour)


def _reply(asked: Asked, text: str, part_key: PartKey, shape: ReplyShape, *, seed: str) -> bytes:
    identity = str(uuid.uuid5(uuid.NAMESPACE_OID, seed))
    parts = [{part_key: "text", "text": text}]
    result: dict[str, Any]
    if shape == "message":
        result = {"kind": "message", "role": "agent", "messageId": identity, "parts": parts}
    else:
        result = {
            "kind": "task",
            "id": identity,
            "contextId": identity,
            "status": {"state": "completed"},
            "artifacts": [{"artifactId": identity, "parts": parts}],
        }
    return _json({"jsonrpc": "2.0", "id": asked.rpc_id, "result": result})


def _size(portion: Portion, body: bytes) -> int:
    sizes = {"half": len(body) // 2, "all": len(body)}
    return min(portion, len(body)) if isinstance(portion, int) else sizes[portion]


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
