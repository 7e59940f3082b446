"""What a fake agent can be told to do with one contact: facts only; `fakes/agent.py` performs them.

Contact number i of an agent meets behaviour number i; the last one repeats. `ending` says how a connection is cut:
`reset` sends a TCP RST, `close` a FIN.
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
    """Answer 200 with the one text part `text`, `after_s` seconds after the request was complete.

    `part_key` names the kind of the part (`kind` since A2A 0.3, `type` before, `H78`); a `task` carries its parts in an
    artifact.
    """

    text: str = "done"
    after_s: float = 0.0
    part_key: PartKey = "kind"
    shape: ReplyShape = "message"


@dataclass(frozen=True, slots=True)
class Slow:
    """Answer 200 at once, then spread the body over `duration_s` in `pieces` writes."""

    text: str = "done"
    duration_s: float = 10.0
    pieces: int = 5


@dataclass(frozen=True, slots=True)
class Busy:
    """503 with `busy: true` and `Retry-After: 30`."""


@dataclass(frozen=True, slots=True)
class Restarting:
    """503 with `restarting: true`: the one 503 that means "not delivered"."""


@dataclass(frozen=True, slots=True)
class Status:
    """Any status, with a body of one's own or none."""

    code: int
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Empty:
    """A 2xx without a body (`H83`)."""

    code: int = 200


@dataclass(frozen=True, slots=True)
class Partial:
    """A 200 whose Content-Length is right but whose body is cut after `body` bytes (`H10`, `D4`, `D5`)."""

    body: Portion
    ending: Ending = "reset"
    text: str = "done"


@dataclass(frozen=True, slots=True)
class Truncate:
    """A chunked 200 that is cut after `body` bytes, before its last chunk."""

    body: Portion
    ending: Ending = "reset"
    text: str = "done"


@dataclass(frozen=True, slots=True)
class Hang:
    """Read the request and never answer."""


@dataclass(frozen=True, slots=True)
class JsonRpcError:
    """A 200 that carries a JSON-RPC error object (`D11`)."""

    code: int = -32000
    message: str = "the agent failed"


@dataclass(frozen=True, slots=True)
class Garbage:
    """A 200 whose body is not JSON."""

    text: str = "<html>not json</html>"


@dataclass(frozen=True, slots=True)
class Cut:
    """Cut the connection without any answer, before or after the request body was read."""

    when: Literal["before_body", "after_body"] = "after_body"
    ending: Ending = "reset"


Behaviour: TypeAlias = (
    Reply | Slow | Busy | Restarting | Status | Empty | Partial | Truncate | Hang | JsonRpcError | Garbage | Cut
)
