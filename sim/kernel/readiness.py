"""Readiness: which simulated sockets can be read from and written to, as asyncio's transports learn it from a selector.

Level-triggered, like epoll: a reader is called again for as long as there is something to read. Nothing is waited
for, so there is no selector; a socket whose state may have changed is watched, and looked at before the next round.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

from sim.kernel.errors import NotSimulated
from sim.kernel.fences import FencedLoop
from sim.kernel.handles import SimHandle
from sim.kernel.sockets import SimSocket


class _NoSelector:
    """Stands where the base class keeps its selector: nothing is ever selected, but transports ask when printed."""

    def __init__(self, sockets: dict[int, SimSocket]) -> None:
        self._sockets = sockets

    def get_key(self, fd: int) -> selectors.SelectorKey:
        """What is watched of a socket. Raises KeyError."""
        socket = self._sockets[fd]
        events = (selectors.EVENT_READ if socket.reader else 0) | (selectors.EVENT_WRITE if socket.writer else 0)
        if not events:
            raise KeyError(fd)
        return selectors.SelectorKey(fd, fd, events, (socket.reader, socket.writer))

    def close(self) -> None:
        """Nothing to close."""


class ReadinessLoop(FencedLoop):
    """The part of the loop that its transports and `sock_*` calls rely on."""

    # Of the base classes; not in the type stubs.
    _ready: Any
    _closed: bool

    def __init__(self) -> None:
        self.sockets: dict[int, SimSocket] = {}
        super().__init__(_NoSelector(self.sockets))  # type: ignore[arg-type]
        self._watched: dict[SimSocket, None] = {}
        self._attention = False
        """Something has to be looked at before the next round."""

    def watch(self, socket: SimSocket) -> None:
        """Look at this socket's readiness before the next round of callbacks."""
        if socket.reader is not None or socket.writer is not None:
            self._watched[socket] = None
            self._attention = True

    def drained(self, socket: SimSocket) -> None:
        """All that arrived was read: look at this socket again when more arrives."""
        if socket.writer is None:
            self._watched.pop(socket, None)

    def _socket(self, fd: Any) -> SimSocket:
        number = fd if isinstance(fd, int) else fd.fileno()
        socket = self.sockets.get(number)
        if socket is None:
            raise NotSimulated(f"watching the real file descriptor {number}")
        return socket

    def _add_reader(self, fd: Any, callback: Callable[..., object], *args: Any) -> asyncio.Handle:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        socket = self._socket(fd)
        if socket.reader is not None:
            socket.reader.cancel()
        socket.reader = handle = SimHandle(callback, args, None)
        self._watched[socket] = None
        self._attention = True
        return handle

    def _remove_reader(self, fd: Any) -> bool:
        socket = self.sockets.get(fd if isinstance(fd, int) else fd.fileno())
        if socket is None or socket.reader is None:
            return False
        socket.reader.cancel()
        socket.reader = None
        return True

    def _add_writer(self, fd: Any, callback: Callable[..., object], *args: Any) -> asyncio.Handle:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        socket = self._socket(fd)
        if socket.writer is not None:
            socket.writer.cancel()
        socket.writer = handle = SimHandle(callback, args, None)
        self._watched[socket] = None
        self._attention = True
        return handle

    def _remove_writer(self, fd: Any) -> bool:
        socket = self.sockets.get(fd if isinstance(fd, int) else fd.fileno())
        if socket is None or socket.writer is None:
            return False
        socket.writer.cancel()
        socket.writer = None
        return True

    def _poll(self) -> None:
        """What a selector would report: level-triggered readiness of watched sockets."""
        ready = self._ready
        for socket in list(self._watched):
            owner = socket.owner
            if owner.paused or owner.dead:
                continue
            reader, writer = socket.reader, socket.writer
            idle = True
            if reader is not None and socket.readable():
                ready.append(reader)
                idle = False
            if writer is not None and socket.writable():
                ready.append(writer)
                idle = False
            if idle:
                del self._watched[socket]
            else:
                self._attention = True
