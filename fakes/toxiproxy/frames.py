"""What a framer finds in one direction of a connection: bytes to forward, and events at their exact place between them.

A framer may hold back the first bytes of a message until it knows what the message is, so that an event always comes
before any byte that it is about. What it cannot read it lets pass unframed: a proxy never judges traffic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request begins."""


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response begins; interim ones (1xx) are not counted."""

    status: int


@dataclass(frozen=True, slots=True)
class BodyBegins:
    """The head of the HTTP message is complete."""


@dataclass(frozen=True, slots=True)
class Body:
    """Payload of an HTTP body, without chunk framing; to be forwarded."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Statement:
    """A Postgres statement is about to run; those of one batch (up to a Sync) share a number."""

    text: str
    batch: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """A Postgres CancelRequest, which comes on a connection of its own."""


Event: TypeAlias = Request | Response | BodyBegins | Statement | Cancel
Item: TypeAlias = bytes | Body | Event


class Framer(Protocol):
    """One direction of one connection."""

    def feed(self, data: bytes) -> Iterator[Item]:
        """Everything in `data`, in order, less what is held back."""

    def release(self) -> bytes:
        """The direction has ended: what was held back."""


class Unframed:
    """A direction in which nothing is looked for."""

    def feed(self, data: bytes) -> Iterator[Item]:
        """The bytes as they came."""
        yield data

    def release(self) -> bytes:
        """Nothing is ever held."""
        return b""
