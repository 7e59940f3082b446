"""What a fake agent does with one contact. Facts only; `agent.py` performs them.

`ending` is how a connection is cut: `reset` sends a RST, `close` a FIN, both behind what was written. A `Portion` of a
body is a number of bytes, half of it, or all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Ending: TypeAlias = Literal["reset", "close"]
Portion: TypeAlias = int | Literal["half", "all"]
PartKey: TypeAlias = Literal["kind", "type"]
ReplyShape: TypeAlias = Literal["message", "task"]


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that says `text`, `after_s` seconds after the request was complete.

    `part_key` names the kind of its text part (`kind` since A2A 0.3, `type` before); a `task` carries its parts in an
    artifact.
    """

    text: str = "done"
    after_s: float = 0.0
    part_key: PartKey = "kind"
    shape: ReplyShape = "message"
    status: int = 200


@dataclass(frozen=True, slots=True)
class Slow:
    """The head of a reply at once, then its body in `pieces` writes spread over `duration_s`."""

    text: str = "done"
    duration_s: float = 10.0
    pieces: int = 5
    status: int = 200


@dataclass(frozen=True, slots=True)
class Busy:
    """`busy: true` with `Retry-After: 30`."""

    status: int = 503


@dataclass(frozen=True, slots=True)
class Restarting:
    """`restarting: true`, by which an agent says that it did not take the request."""

    status: int = 503


@dataclass(frozen=True, slots=True)
class Status:
    """Any status, with this body or none."""

    code: int
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Empty:
    """A success without a body."""

    code: int = 200


@dataclass(frozen=True, slots=True)
class Partial:
    """A reply with its true Content-Length, of which only `body_bytes` are sent before the connection is cut."""

    body_bytes: Portion
    ending: Ending = "reset"
    text: str = "done"
    status: int = 200


@dataclass(frozen=True, slots=True)
class Truncate:
    """A chunked reply, cut after `after_bytes` of payload and before its last chunk."""

    after_bytes: Portion
    ending: Ending = "reset"
    text: str = "done"
    status: int = 200


@dataclass(frozen=True, slots=True)
class Hang:
    """The request is read and never answered."""


@dataclass(frozen=True, slots=True)
class JsonRpcError:
    """A JSON-RPC error object, which A2A sends with status 200."""

    code: int = -32000
    message: str = "the agent failed"
    status: int = 200


@dataclass(frozen=True, slots=True)
class Garbage:
    """A success whose body is not JSON."""

    text: str = "<html>not json</html>"
    status: int = 200


@dataclass(frozen=True, slots=True)
class ResetOnRequest:
    """No answer: the connection is cut before the request body was read, or after."""

    before_body: bool = False
    ending: Ending = "reset"


Behaviour: TypeAlias = (
    Reply
    | Slow
    | Busy
    | Restarting
    | Status
    | Empty
    | Partial
    | Truncate
    | Hang
    | JsonRpcError
    | Garbage
    | ResetOnRequest
)
