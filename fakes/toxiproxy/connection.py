"""One proxied connection: two sockets, and between them two links, each a tap and a chain of stages.

Theory: TCP's semantics go through unchanged. A FIN is passed on as a FIN and leaves the other direction alone; a RST is
passed on as a RST behind the data that preceded it; a destination that does not read stops the source from being read.
Toxics stand in the order in which they were added, the oldest closest to the source, as in Toxiproxy. One that a
trigger adds stands before all others, so that what was on its way when the trigger fired is not touched.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from fakes.reset import reset
from fakes.toxiproxy.stages import End, Outlet, Stage, stage_for
from fakes.toxiproxy.toxics import NOOP, Stream, Toxic
from fakes.toxiproxy.triggers import Tap

_log = logging.getLogger(__name__)

HELD_BYTES_MAX = 1 << 18
"""A link that holds this much stops reading its source; it reads again below a quarter."""


@dataclass(slots=True)
class Carried:
    """Bytes that came in from the sources of one direction, and bytes handed on to their destinations."""

    received_bytes: int = 0
    sent_bytes: int = 0


class Side(asyncio.Protocol):
    """One socket of the connection: its bytes go into `outgoing`; `incoming` writes to it."""

    outgoing: Link
    incoming: Link

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected."""
        self.transport = cast(asyncio.Transport, transport)
        self._connection.made(self)

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        self.outgoing.receive(data)

    def eof_received(self) -> bool:
        """A FIN came in; the socket stays open for the other direction."""
        self.outgoing.receive_end("fin")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone: by an error, which is passed on as a RST, or because we closed it."""
        self._connection.lost(self, exc)

    def pause_writing(self) -> None:
        """The peer does not read."""
        self.incoming.destination_full = True
        self.incoming.regulate()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self.incoming.destination_full = False
        self.incoming.regulate()


class Link(Outlet):
    """One direction: from the source's socket through the tap and the stages to the destination's socket."""

    def __init__(
        self, connection: Connection, source: Side, destination: Side, tap: Tap | None, carried: Carried
    ) -> None:
        self._connection = connection
        self._source = source
        self._destination = destination
        self._tap = tap
        self._carried = carried
        self._stages: list[tuple[str, Stage]] = []
        self._early: list[bytes] | None = []
        self._early_end: End | None = None
        self._reading = True
        self.destination_full = False
        self.ended = False

    # --- from the source -----------------------------------------------------------------------------------------

    def open(self) -> None:
        """Both sockets are connected: let through what came in before."""
        early, self._early = self._early or [], None
        for data in early:
            self._take(data)
        if self._early_end is not None:
            self.receive_end(self._early_end)
        self.regulate()

    def receive(self, data: bytes) -> None:
        """Bytes of the source."""
        if self.ended:  # the destination is gone
            return
        self._carried.received_bytes += len(data)
        if self._early is not None:
            self._early.append(data)
        elif self._tap is None and not self._stages:
            self._write(data)  # nothing to regulate: nothing is held, and a socket that is full says so itself
            return
        else:
            self._take(data)
        self.regulate()

    def _take(self, data: bytes) -> None:
        for piece in (data,) if self._tap is None else self._tap.feed(data):
            if not self.ended:
                self._first().feed(piece)

    def receive_end(self, kind: End) -> None:
        """The source has ended."""
        if self._early is not None:
            self._early_end = kind
            return
        held = self._tap.release() if self._tap is not None else b""
        if held:
            self._first().feed(held)
        self._first().end(kind)

    def regulate(self) -> None:
        """Read the source only while there is room for what it sends."""
        transport = self._source.transport
        if transport is None or transport.is_closing():
            return
        held_bytes = sum(stage.held_bytes for _, stage in self._stages)
        held_bytes += sum(map(len, self._early or ()))
        if self._reading and (self.destination_full or held_bytes >= HELD_BYTES_MAX):
            self._reading = False
            transport.pause_reading()
        elif not self._reading and not self.destination_full and held_bytes < HELD_BYTES_MAX // 4:
            self._reading = True
            transport.resume_reading()

    # --- to the destination --------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Bytes that have passed all stages."""
        self._write(data)
        self.regulate()

    def _write(self, data: bytes) -> None:
        transport = self._destination.transport
        if not self.ended and transport is not None and not transport.is_closing():
            self._carried.sent_bytes += len(data)
            transport.write(data)

    def end(self, kind: End) -> None:
        """The end has passed all stages."""
        if self.ended:
            return
        self.ended = True
        transport = self._destination.transport
        if kind != "fin":
            self._connection.finish(kind)
        elif transport is not None and not transport.is_closing():
            transport.write_eof()
            self._connection.half_closed()

    # --- toxics --------------------------------------------------------------------------------------------------

    def add(self, toxic: Toxic, name: str, draw: random.Random, *, first: bool) -> None:
        """Put a toxic in under `name`: the last before the destination, or the first after the source."""
        if first or not self._stages:
            self._stages.insert(0, (name, stage_for(toxic, self._first(), draw)))
            return
        stage = stage_for(toxic, self, draw)
        self._stages[-1][1].outlet = stage
        self._stages.append((name, stage))

    def update(self, toxic: Toxic, name: str, draw: random.Random) -> None:
        """Let the toxic called `name` be `toxic` from now on, if it is on this link."""
        for index, (present, stage) in enumerate(self._stages):
            if present != name:
                continue
            if stage.type == toxic.type:
                stage.update(toxic)
            elif stage.give_way():
                successor = stage_for(toxic, stage.outlet, draw)
                self._stages[index] = (name, successor)
                if index:
                    self._stages[index - 1][1].outlet = successor
            self.regulate()
            return

    def remove(self, name: str) -> None:
        """Take a toxic out, if it is on this link; what it holds goes on at once."""
        for index, (present, stage) in enumerate(self._stages):
            if present == name:
                stage.remove()
                del self._stages[index]
                if index:
                    self._stages[index - 1][1].outlet = stage.outlet
                self.regulate()
                return

    def dispose(self) -> None:
        """The connection is over."""
        self.ended = True
        for _, stage in self._stages:
            stage.dispose()

    def _first(self) -> Outlet:
        return self._stages[0][1] if self._stages else self


class Connection:
    """A client's socket and the upstream's, joined by two links."""

    def __init__(
        self,
        *,
        upstream: tuple[str, int | str],
        taps: tuple[Tap, Tap] | None,
        carried: Mapping[Stream, Carried],
        over: Callable[[Connection], None],
    ) -> None:
        self._upstream = upstream
        self.client = Side(self)
        self._server = Side(self)
        upstream_tap, downstream_tap = taps or (None, None)
        self._links: dict[Stream, Link] = {
            "upstream": Link(self, self.client, self._server, upstream_tap, carried["upstream"]),
            "downstream": Link(self, self._server, self.client, downstream_tap, carried["downstream"]),
        }
        self.client.outgoing = self._server.incoming = self._links["upstream"]
        self.client.incoming = self._server.outgoing = self._links["downstream"]
        self._connecting: asyncio.Task[None] | None = None
        self._over = over
        self._finished = False

    # --- life ----------------------------------------------------------------------------------------------------

    def made(self, side: Side) -> None:
        """A socket is connected: the client's first, then the upstream's."""
        if self._finished:  # the proxy was disabled in between
            cast(asyncio.Transport, side.transport).close()
            return
        if side is self.client:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            return
        for link in self._links.values():
            link.open()

    async def _connect(self) -> None:
        host, port = self._upstream
        try:
            number = port if isinstance(port, int) else socket.getservbyname(port, "tcp")
            await asyncio.get_running_loop().create_connection(lambda: self._server, host, number)
        except (OSError, OverflowError, UnicodeError) as error:  # the last two: no such port, no such name
            # As Toxiproxy: the client was accepted, and now sees an end.
            _log.warning(
                "Unable to open connection to upstream", extra={"upstream": f"{host}:{port}", "error": str(error)}
            )
            self.finish("close")

    def lost(self, side: Side, error: Exception | None) -> None:
        """A socket is gone."""
        if self._finished:
            return
        side.incoming.dispose()
        if error is not None:
            side.outgoing.receive_end("reset")

    def half_closed(self) -> None:
        """A FIN was passed on: after both, the connection is over."""
        if all(link.ended for link in self._links.values()):
            self.finish("close")

    def finish(self, kind: End) -> None:
        """End the connection, by FIN or by RST, behind what was already written."""
        if self._finished:
            return
        self._finished = True
        for link in self._links.values():
            link.dispose()
        if self._connecting is not None and self._server.transport is None:
            self._connecting.cancel()
        for side in (self.client, self._server):
            if side.transport is None or side.transport.is_closing():
                continue
            if kind == "reset":
                reset(side.transport)
            else:
                side.transport.close()
        self._over(self)

    # --- toxics --------------------------------------------------------------------------------------------------

    def add(self, toxic: Toxic, draw: random.Random, *, strikes: bool, first: bool) -> None:
        """Put a toxic in its place; unless it `strikes` this connection, it lets everything pass."""
        self._links[toxic.stream].add(toxic if strikes else NOOP, toxic.name, draw, first=first)

    def update(self, toxic: Toxic, draw: random.Random, *, strikes: bool) -> None:
        """Let the toxic of the same name be this one."""
        self._links[toxic.stream].update(toxic if strikes else NOOP, toxic.name, draw)

    def remove(self, name: str) -> None:
        """Take a toxic off, if this connection has it."""
        for link in self._links.values():
            link.remove(name)
