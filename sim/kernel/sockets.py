"""SimSocket: what Linux shows a program of a non-blocking TCP socket, and nothing else.

This is the only part of asyncio's world that the kernel replaces: loops, transports, servers and streams above it are
the standard library's own code, so they need no model. The rules below are Linux's (tcp_recvmsg, tcp_sendmsg,
tcp_reset, tcp_close) and are checked against real sockets by the differential suite:

* received data stays readable after a RST; then the error is reported once; then reads give EOF and writes EPIPE;
* after a FIN, reads give EOF whatever follows, and a RST is seen by the next write, as EPIPE;
* closing with unread data, or with SO_LINGER(1, 0), sends a RST; otherwise a FIN;
* data for a closed socket is answered by a RST.
"""

from __future__ import annotations

import errno
import os
import socket as real_socket
import struct
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sim.kernel.errors import NotSimulated

if TYPE_CHECKING:
    import asyncio

    from sim.kernel.appliance import ApplianceTransport
    from sim.kernel.network import Network
    from sim.kernel.nodes import Incarnation

CAPACITY_BYTES = 1 << 20
"""What one direction of a connection holds (send buffer, wire and receive buffer together) before writes block."""

_FAMILIES = {
    -1: real_socket.AF_INET,
    real_socket.AF_INET: real_socket.AF_INET,
    real_socket.AF_INET6: real_socket.AF_INET6,
}
_STREAM = int(real_socket.SOCK_STREAM)
_PEEK = int(real_socket.MSG_PEEK)
_WRITABLE_AT = CAPACITY_BYTES * 2 // 3
Address = tuple[str, int]


class _Where:
    """Not an attribute of the class, as each change to a class throws away what the interpreter learned about it."""

    network: Network


where = _Where()
"""The network of the simulation that runs now: sockets that it makes live there."""


def os_error(code: int) -> OSError:
    """The exception that a system call raises for `code` (the subclass follows from the errno)."""
    return OSError(code, os.strerror(code))


class SimSocket:
    """A TCP socket on the simulated network; made through `socket.socket` while a simulation runs."""

    __slots__ = (
        "__weakref__",
        "accepting",
        "appliance",
        "backlog",
        "closed",
        "connecting",
        "error",
        "family",
        "fd",
        "handshakes",
        "linger",
        "link",
        "listening",
        "local",
        "network",
        "options",
        "owner",
        "peer",
        "proto",
        "reader",
        "received",
        "received_bytes",
        "remote",
        "reset",
        "saw_fin",
        "sent_fin",
        "shut_read",
        "tap",
        "timeout",
        "type",
        "unread_by_peer",
        "writer",
    )

    def __init__(
        self,
        family: int = -1,
        type: int = -1,
        proto: int = -1,
        fileno: int | None = None,
        *,
        owner: Incarnation | None = None,
    ) -> None:
        if fileno is not None:
            raise NotSimulated("a socket made from a real file descriptor")
        if family not in _FAMILIES or not (type == -1 or int(type) & _STREAM):
            raise NotSimulated(f"a socket of family {family!r} and type {type!r}", "only TCP over IP is")
        self.family = _FAMILIES[family]
        self.type = real_socket.SOCK_STREAM
        self.proto = real_socket.IPPROTO_TCP if proto == -1 else proto
        self.network = where.network
        self.owner = owner if owner is not None else self.network.running()
        self.owner.sockets[self] = None
        self.fd = self.network.register(self)
        self.timeout: float | None = None
        self.options: dict[tuple[int, int], int] = {}
        self.linger: tuple[int, int] = (0, 0)
        self.local: Address = ("0.0.0.0", 0)
        self.remote: Address | None = None
        self.peer: SimSocket | None = None
        self.link: Any = None
        self.tap: Any = None
        self.appliance: ApplianceTransport | None = None
        self.listening = False
        self.backlog = 0
        self.handshakes = 0
        self.accepting: deque[SimSocket] = deque()
        self.connecting = False
        self.closed = False
        self.error = 0
        self.reset = False
        self.received: deque[bytes] = deque()
        self.received_bytes = 0
        self.unread_by_peer = 0
        self.saw_fin = False
        self.sent_fin = False
        self.shut_read = False
        self.reader: asyncio.Handle | None = None
        self.writer: asyncio.Handle | None = None

    # --- readiness, as epoll would report it ---------------------------------------------------------------------

    def readable(self) -> bool:
        """Whether a read or an accept would not block."""
        return bool(self.received or self.saw_fin or self.reset or self.error or self.accepting or self.shut_read)

    def writable(self) -> bool:
        """Whether a write would make worthwhile progress, or fail at once."""
        if self.error or self.reset:
            return True
        return self.peer is not None and not self.connecting and self.unread_by_peer < _WRITABLE_AT

    # --- set-up --------------------------------------------------------------------------------------------------

    def bind(self, address: Address) -> None:
        """Take a local address; port 0 picks a free one."""
        self._check_open()
        if self.local[1]:
            raise os_error(errno.EINVAL)
        self.network.bind(self, address)

    def listen(self, backlog: int = 128) -> None:
        """Accept connections from now on."""
        self._check_open()
        if self.peer is not None or self.connecting:
            raise os_error(errno.EINVAL)
        self.backlog = backlog
        self.listening = True
        self.network.listen(self)

    def accept(self) -> tuple[SimSocket, Address]:
        """The oldest connection that waits, and its peer's address."""
        self._check_open()
        if not self.listening:
            raise os_error(errno.EINVAL)
        if not self.accepting:
            self._would_block("accept")
        connection = self.accepting.popleft()
        assert connection.remote is not None
        return connection, connection.remote

    def connect(self, address: Address) -> None:
        """Begin a handshake; always ends in BlockingIOError (EINPROGRESS), as on Linux."""
        self._check_open()
        if self.connecting:
            raise os_error(errno.EALREADY)
        if self.peer is not None:
            raise os_error(errno.EISCONN)
        if self.timeout != 0:
            raise NotSimulated("a blocking connect", "use asyncio")
        self.network.connect(self, address)
        raise os_error(errno.EINPROGRESS)

    def connect_ex(self, address: Address) -> int:
        """Like `connect`, but returns the errno."""
        try:
            self.connect(address)
        except OSError as error:
            return error.errno or 0
        return 0

    # --- data ----------------------------------------------------------------------------------------------------

    def send(self, data: Any, flags: int = 0) -> int:
        """Hand bytes to the network; returns how many fitted."""
        if self.closed or self.error or self.connecting or self.reset or self.sent_fin or self.peer is None:
            self._cannot_send()
        free = CAPACITY_BYTES - self.unread_by_peer
        size = len(data)
        if free <= 0:
            self._would_block("send")
        if size > free:
            data = memoryview(data)[:free]
            size = free
        if size:
            self.unread_by_peer += size
            self.network.carry(self, bytes(data))
        return size

    def _cannot_send(self) -> None:
        self._check_open()
        if self.error:
            self._raise_error()
        if self.connecting:
            self._would_block("send")
        raise os_error(errno.EPIPE)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Not available: it would block."""
        raise NotSimulated("socket.sendall", "use loop.sock_sendall or a transport")

    def sendmsg(self, buffers: Iterable[Any], *unused: Any) -> int:
        """Gather-write, as asyncio's transports do from Python 3.12 on."""
        return self.send(b"".join(buffers))

    def recv(self, size: int, flags: int = 0) -> bytes:
        """At most `size` bytes; `b""` at end of file; of the flags, MSG_PEEK."""
        if self.closed:
            self._check_open()
        received = self.received
        if received:
            if flags and flags & _PEEK:
                return b"".join(received)[:size]
            chunk = received.popleft()
            if len(received) == 0 and len(chunk) <= size:
                data = chunk
            else:
                parts = [chunk]
                total = len(chunk)
                while total < size and received:
                    chunk = received.popleft()
                    parts.append(chunk)
                    total += len(chunk)
                data = b"".join(parts)
                if total > size:
                    received.appendleft(data[size:])
                    data = data[:size]
            self.received_bytes -= len(data)
            self.network.was_read(self, len(data))
            if not (received or self.saw_fin or self.reset or self.error):
                self.network.drained(self)
            return data
        if self.saw_fin or self.shut_read:
            return b""
        if self.error:
            self._raise_error()
        if self.reset:
            return b""
        if self.peer is None and not self.connecting:
            raise os_error(errno.ENOTCONN)
        self._would_block("recv")
        raise AssertionError("unreachable")

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """Read into a writable buffer; returns the number of bytes."""
        view = memoryview(buffer).cast("B")
        data = self.recv(size or len(view))
        view[: len(data)] = data
        return len(data)

    def shutdown(self, how: int) -> None:
        """Close one direction, or both."""
        self._check_open()
        if self.peer is None or self.reset:
            raise os_error(errno.ENOTCONN)
        if how in (real_socket.SHUT_RD, real_socket.SHUT_RDWR):
            self.shut_read = True
            self.network.changed(self)
        if how in (real_socket.SHUT_WR, real_socket.SHUT_RDWR) and not self.sent_fin:
            self.sent_fin = True
            self.network.finish(self)

    def close(self) -> None:
        """Give the socket up; the peer learns it by a FIN or a RST."""
        if self.closed:
            return
        self.closed = True
        # As epoll forgets a descriptor that is closed: nobody is called for it any more.
        self.reader = self.writer = None
        self.network.forget(self)

    def detach(self) -> int:
        """Not available: a simulated socket has no file descriptor to hand over."""
        raise NotSimulated("socket.detach")

    # --- options and names ---------------------------------------------------------------------------------------

    def setblocking(self, flag: bool) -> None:
        """Only non-blocking use goes further than set-up."""
        self.timeout = None if flag else 0.0

    def settimeout(self, value: float | None) -> None:
        """Kept for `gettimeout`."""
        self.timeout = value

    def gettimeout(self) -> float | None:
        """The time-out set, None for blocking."""
        return self.timeout

    def getblocking(self) -> bool:
        """Whether calls would block."""
        return self.timeout != 0

    def setsockopt(self, level: int, option: int, value: Any, optlen: int | None = None) -> None:
        """SO_LINGER acts on close; every other option is only remembered."""
        self._check_open()
        if level == real_socket.SOL_SOCKET and option == real_socket.SO_LINGER:
            on, seconds = struct.unpack("ii", value)
            self.linger = (int(on), int(seconds))
        elif isinstance(value, int):
            self.options[level, option] = value

    def getsockopt(self, level: int, option: int, buflen: int = 0) -> Any:
        """SO_ERROR is read and cleared; SO_LINGER and remembered options are given back; the rest is 0."""
        self._check_open()
        if level == real_socket.SOL_SOCKET:
            if option == real_socket.SO_ERROR:
                code, self.error = self.error, 0
                return code
            if option == real_socket.SO_LINGER:
                return struct.pack("ii", *self.linger)
            if option == real_socket.SO_TYPE:
                return int(self.type)
        return self.options.get((level, option), 0)

    def getsockname(self) -> Address:
        """Own address and port."""
        self._check_open()
        return self.local

    def getpeername(self) -> Address:
        """The peer's address and port; ENOTCONN without one."""
        self._check_open()
        if self.peer is None or self.connecting or self.remote is None or self.reset:
            raise os_error(errno.ENOTCONN)
        return self.remote

    def fileno(self) -> int:
        """A number that stands for the socket at the loop, -1 once closed."""
        return -1 if self.closed else self.fd

    def __enter__(self) -> SimSocket:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SimSocket fd={self.fileno()} local={self.local} remote={self.remote}>"

    def _check_open(self) -> None:
        if self.closed:
            raise os_error(errno.EBADF)

    def _raise_error(self) -> None:
        code, self.error = self.error, 0
        raise os_error(code)

    def _would_block(self, call: str) -> None:
        if self.timeout != 0:
            raise NotSimulated(f"a blocking {call}", "use asyncio")
        raise os_error(errno.EAGAIN)
