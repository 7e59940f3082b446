"""When a fault strikes: at the nth message of a kind on a proxy, or at a byte of a body.

Theory: a trigger counts messages over all connections of a proxy and fires once, synchronously, before the first byte
that it is about is forwarded. A toxic that the callback adds on the same stream therefore strikes that very message;
one on the other stream strikes its reply. `after_bytes` is the exception that its name says: so many bytes have passed.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from fakes.toxiproxy.frames import Body, BodyBegins, Cancel, Event, Framer, Request, Response, Statement

TrafficProtocol: TypeAlias = Literal["http", "postgres"]


@dataclass(frozen=True, slots=True)
class NthRequest:
    """The nth HTTP request."""

    protocol: ClassVar[TrafficProtocol] = "http"
    n: int

    def matches(self, event: Event) -> bool:
        """Whether `event` counts."""
        return isinstance(event, Request)

    def describe(self) -> str:
        """In words."""
        return f"HTTP request {self.n} begins"


@dataclass(frozen=True, slots=True)
class NthResponse:
    """The nth HTTP response (interim ones do not count), or the moment when `after_bytes` of its body have passed.

    With `after_bytes=0` that is when its head has passed. A body that is shorter never fires it.
    """

    protocol: ClassVar[TrafficProtocol] = "http"
    n: int
    after_bytes: int | None = None

    def matches(self, event: Event) -> bool:
        """Whether `event` counts."""
        return isinstance(event, Response)

    def describe(self) -> str:
        """In words."""
        if self.after_bytes is None:
            return f"HTTP response {self.n} begins"
        return f"{self.after_bytes} bytes of the body of HTTP response {self.n} have passed"


@dataclass(frozen=True, slots=True)
class StatusSeen:
    """The nth HTTP response with this status."""

    protocol: ClassVar[TrafficProtocol] = "http"
    status: int
    n: int = 1

    def matches(self, event: Event) -> bool:
        """Whether `event` counts."""
        return isinstance(event, Response) and event.status == self.status

    def describe(self) -> str:
        """In words."""
        return f"HTTP response {self.n} with status {self.status} begins"


@dataclass(frozen=True, slots=True)
class NthQuery:
    """The nth Postgres query, or the nth whose text contains `containing`; a batch up to its Sync counts once."""

    protocol: ClassVar[TrafficProtocol] = "postgres"
    n: int
    containing: str | None = None

    def matches(self, event: Event) -> bool:
        """Whether `event` counts."""
        return isinstance(event, Statement) and (self.containing is None or self.containing in event.text)

    def describe(self) -> str:
        """In words."""
        what = "query" if self.containing is None else f"query containing {self.containing!r}"
        return f"{what} {self.n} begins"


@dataclass(frozen=True, slots=True)
class NthCommit:
    """The nth Postgres COMMIT."""

    protocol: ClassVar[TrafficProtocol] = "postgres"
    n: int

    def matches(self, event: Event) -> bool:
        """Whether `event` counts."""
        return isinstance(event, Statement) and event.text.strip(" \t\r\n;").upper() in ("COMMIT", "END")

    def describe(self) -> str:
        """In words."""
        return f"commit {self.n} begins"


@dataclass(frozen=True, slots=True)
class CancelSeen:
    """The nth Postgres CancelRequest."""

    protocol: ClassVar[TrafficProtocol] = "postgres"
    n: int = 1

    def matches(self, event: Event) -> bool:
        """Whether `event` counts."""
        return isinstance(event, Cancel)

    def describe(self) -> str:
        """In words."""
        return f"cancel request {self.n} begins"


Trigger: TypeAlias = NthRequest | NthResponse | StatusSeen | NthQuery | NthCommit | CancelSeen


class Watch:
    """A trigger that waits: how many messages it has counted, and whether it has fired.

    The callback runs in the context in which the watch was made, as asyncio's own callbacks do.
    """

    def __init__(self, trigger: Trigger, callback: Callable[[], None]) -> None:
        if trigger.n < 1:
            raise ValueError(f"{type(trigger).__name__}: n is {trigger.n}; count from 1")
        if isinstance(trigger, NthResponse) and trigger.after_bytes is not None and trigger.after_bytes < 0:
            raise ValueError(f"NthResponse: after_bytes is {trigger.after_bytes}; give 0 or more")
        self.trigger = trigger
        self.fired = False
        self._callback = callback
        self._context = contextvars.copy_context()
        self._count = 0
        self._last_batch: tuple[int, int] | None = None

    def reached(self, event: Event, connection: int) -> bool:
        """Count `event`; True if it is the nth."""
        if self.fired or not self.trigger.matches(event):
            return False
        if isinstance(event, Statement):
            if self._last_batch == (connection, event.batch):
                return False
            self._last_batch = (connection, event.batch)
        self._count += 1
        return self._count == self.trigger.n

    def fire(self) -> None:
        """Tell the callback, once."""
        if not self.fired:
            self.fired = True
            self._context.copy().run(self._callback)


class Tap:
    """One direction of one connection, watched: forwards its bytes and fires at the exact place between them."""

    def __init__(
        self,
        framer: Framer,
        watches: Sequence[Watch],
        connection: int,
        observe: Callable[[bytes], None] | None = None,
    ) -> None:
        """`observe` is given all bytes, before anything is fired or forwarded."""
        self._framer = framer
        self._observe = observe
        self._watches = watches
        self._connection = connection
        self._counting: list[tuple[Watch, int]] = []
        """Watches that wait for a byte of the body that passes now, with the bytes still to come."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bytes to forward, in as few pieces as triggers allow; a piece has to be forwarded before the next."""
        if self._observe is not None:
            self._observe(data)
        ready = bytearray()
        for item in self._framer.feed(data):
            if isinstance(item, bytes):
                ready += item
            elif isinstance(item, Body):
                rest = item.data
                while due := self._due_within(len(rest)):
                    ready += rest[:due]
                    rest = rest[due:]
                    yield bytes(ready)
                    ready.clear()
                    self._advance(due)
                self._advance(len(rest))
                ready += rest
            elif firing := self._reached(item):
                if ready:
                    yield bytes(ready)
                    ready.clear()
                for watch in firing:
                    watch.fire()
        if ready:
            yield bytes(ready)

    def release(self) -> bytes:
        """The direction has ended: bytes that were held back."""
        return self._framer.release()

    def _reached(self, event: Event) -> list[Watch]:
        """The watches that fire now; one that waits for a byte of this body is set to count."""
        if isinstance(event, BodyBegins):
            firing = [watch for watch, left in self._counting if left == 0]
            self._counting = [(watch, left) for watch, left in self._counting if left]
            return firing
        if isinstance(event, Response):
            self._counting = []
        firing = []
        for watch in self._watches:
            if not watch.reached(event, self._connection):
                continue
            after_bytes = watch.trigger.after_bytes if isinstance(watch.trigger, NthResponse) else None
            if after_bytes is None:
                firing.append(watch)
            else:
                self._counting.append((watch, after_bytes))
        return firing

    def _due_within(self, size: int) -> int:
        """Bytes until the next firing, 0 if none fires within `size` bytes."""
        return min((left for _, left in self._counting if left <= size), default=0)

    def _advance(self, passed: int) -> None:
        """So many body bytes were forwarded: fire what was waiting for the last of them."""
        waiting, self._counting = self._counting, []
        for watch, left in waiting:
            if left > passed:
                self._counting.append((watch, left - passed))
        for watch, left in waiting:
            if left <= passed:
                watch.fire()
