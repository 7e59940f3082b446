"""What a fake agent can be told to do with one contact: facts only; `fakes/agent.py` performs them.

Contact number i of an agent meets behaviour number i; the last one repeats. `ending` says how a connection is cut:
`reset` sends a TCP RST, `close` a FIN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Ending: TypeAlias = Literal["reset", "close"]
Portion: TypeAlias = int | Literal["half", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Answer 200 with a message whose only text part is `text`, `after_s` seconds after the request was complete."""

    text: str = "done"
    after_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """Answer 200 at once, then spread the body over `duration_s` in `pieces` writes."""

    text: str = "done"
    duration_s: float = 10.0
    pieces: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """503 with `busy: true` and `Retry-After: 30`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarting:
    """503 with `restarting: true`: the one 503 that means "not delivered"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Any status, with a body of one's own or none."""

    code: int
    body: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty:
    """A 2xx without a body (`H83`)."""

    code: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """A 200 whose Content-Length is right but whose body is cut after `body` bytes (`H10`, `D4`, `D5`)."""

    body: Portion
    ending: Ending = "reset"
    text: str = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncate:
    """A chunked 200 that is cut after `body` bytes, before its last chunk."""

    body: Portion
    ending: Ending = "reset"
    text: str = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """Read the request and never answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonRpcError:
    """A 200 that carries a JSON-RPC error object (`D11`)."""

    code: int = -32000
    message: str = "the agent failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """A 200 whose body is not JSON."""

    text: str = "<html>not json</html>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Cut the connection without any answer, before or after the request body was read."""

    when: Literal["before_body", "after_body"] = "after_body"
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
    | Cut
)
