"""Appliances: servers of the machine room, called where their segments arrive.

What answers in no virtual time (the database gateway) needs no event loop between the wire and itself. Its protocol
is the same `asyncio.Protocol` that `create_server` would take; the way there has no transport's callbacks and no poll.
Two things differ from a server on a node: its window never closes, and pausing or killing its node does not stop it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.kernel.sockets import SimSocket

ProtocolFactory = Callable[[], asyncio.Protocol]


class ApplianceTransport(asyncio.Transport):
    """One connection of an appliance: the protocol's transport, and the receiving end of its socket."""

    def __init__(self, socket: SimSocket, protocol: asyncio.Protocol, call_soon: Callable[..., object]) -> None:
        super().__init__()
        self._socket = socket
        self._protocol = protocol
        self._call_soon = call_soon
        self._closing = False
        protocol.connection_made(self)

    def arrived(self, data: bytes) -> None:
        """A segment for the protocol."""
        if not self._closing:
            self._protocol.data_received(data)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send at once, however full the window is. What a peer cannot receive any more is dropped."""
        if not self._closing and not self._socket.reset:
            self._socket.unread_by_peer += len(data)
            self._socket.network.carry(self._socket, bytes(data))

    def close(self) -> None:
        """Send a FIN; the protocol hears of it afterwards. Also what follows from the peer's FIN or RST."""
        if not self._closing:
            self._closing = True
            self._socket.close()
            self._call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """Send a RST."""
        self._socket.linger = (1, 0)
        self.close()

    def is_closing(self) -> bool:
        """Whether `close` was called."""
        return self._closing
