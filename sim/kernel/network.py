"""The network between simulated nodes: names, handshakes, latency, order, and what becomes of each segment.

Theory: a connection is two sockets and two directions. A direction is a queue: segments are delivered in the order in
which they were sent, each after a latency drawn from the seed; a write may be split at a seeded place. That is all
that a real network leaves open for one TCP connection, and it is what makes seeds differ. The rest is rules of TCP.
"""

from __future__ import annotations

import errno
import ipaddress
import socket as real_socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sim.kernel.appliance import ApplianceTransport, ProtocolFactory
from sim.kernel.nodes import RUNNING, Incarnation, Node
from sim.kernel.sockets import Address, SimSocket, os_error

if TYPE_CHECKING:
    from sim.kernel.loop import SimLoop

SYN_SENT_AT_S = (0, 1, 3, 7, 15, 31, 63)
SYN_TIMEOUT_S = 127
"""Linux's schedule for a handshake that nobody answers (tcp_syn_retries = 6)."""

FIRST_FD = 1_000_000
"""Simulated descriptors start here, so that a real one handed to the loop is recognised."""

LATENCY_NS = (50_000, 450_000)
LOCAL_LATENCY_NS = (5_000, 15_000)
"""Least latency of a segment, and how much more it can be: between nodes, and inside one."""

SPLIT_ONE_IN = 16
SEGMENT_BYTES = 1 << 16

_DATA, _SYN, _SYN_ACK, _FIN, _RST, _ACK = range(6)
_EPHEMERAL = (32768, 61000)

Observer = Callable[[bool, bytes], None]


class Direction:
    """One way of a connection: when its last segment arrives, and how the trace calls it."""

    __slots__ = ("last_ns", "least_ns", "number", "spread_ns")

    def __init__(self, number: int, latency: tuple[int, int]) -> None:
        self.number = number
        self.least_ns, self.spread_ns = latency
        self.last_ns = 0


class Network:
    """All sockets of one simulation."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop
        self._draw = loop.streams["network"].random
        self._sockets: dict[int, SimSocket] = loop.sockets
        self._next_fd = FIRST_FD
        self._directions = 0
        self._listeners: dict[Address, SimSocket] = {}
        self._bound: dict[Address, SimSocket] = {}
        self._ephemeral: dict[str, int] = {}
        self._addresses: dict[str, str] = {"localhost": "127.0.0.1", "127.0.0.1": "127.0.0.1", "0.0.0.0": "0.0.0.0"}
        self._hosts: set[str] = set()
        self._observers: dict[Address, Callable[[], Observer]] = {}
        self._appliances: dict[SimSocket, ProtocolFactory] = {}

    # --- names ---------------------------------------------------------------------------------------------------

    def add_host(self, name: str) -> str:
        """Give `name` an address."""
        number = len(self._hosts) + 1
        address = f"10.0.{number >> 8}.{number & 255}"
        self._addresses[name.lower()] = self._addresses[address] = address
        self._hosts.add(address)
        return address

    def resolve(self, host: str | bytes | None, node_address: str) -> str:
        """The address of `host` as seen from a node. Raises socket.gaierror for an unknown name, as glibc does."""
        if isinstance(host, bytes):
            host = host.decode("ascii", "replace")
        if not host:
            return "0.0.0.0" if host is None else node_address
        known = self._addresses.get(host)
        if known is not None:
            return known
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            known = self._addresses.get(host.rstrip(".").lower())
        if known is None:
            raise real_socket.gaierror(real_socket.EAI_NONAME, "Name or service not known")
        return known

    def known(self, host: Any) -> str | None:
        """The address of a host of this network, which may be given by its name or its address; None for others."""
        return self._addresses.get(host)

    def observe(self, host: str, port: int, observer: Callable[[], Observer]) -> None:
        """Let `observer()` see each connection to `host:port` as its client does: (is_reply, bytes), in order."""
        self._observers[self.resolve(host, "127.0.0.1"), port] = observer

    def install(self, node: Node, port: int, protocol_factory: ProtocolFactory) -> None:
        """Let an appliance listen on all addresses of `node`: `protocol_factory()` makes one protocol a connection."""
        listener = SimSocket(owner=node.incarnation)
        listener.bind(("0.0.0.0", port))
        listener.listen()
        self._appliances[listener] = protocol_factory

    # --- sockets -------------------------------------------------------------------------------------------------

    def running(self) -> Incarnation:
        """Whose code is running."""
        return RUNNING.get()

    def register(self, socket: SimSocket) -> int:
        """A descriptor number for a new socket."""
        fd = self._next_fd
        self._next_fd = fd + 1
        self._sockets[fd] = socket
        return fd

    def bind(self, socket: SimSocket, address: Address) -> None:
        """Reserve a local address. EADDRINUSE when it is taken, EADDRNOTAVAIL when it is another node's."""
        node_address = socket.owner.node.address
        host = self.resolve(address[0] or None, node_address)
        if host not in ("0.0.0.0", "127.0.0.1", node_address):
            raise os_error(errno.EADDRNOTAVAIL)
        port = address[1] or self._free_port(node_address)
        taken = self._bound.get((node_address, port))
        if taken is not None and taken is not socket:
            raise os_error(errno.EADDRINUSE)
        self._bound[node_address, port] = socket
        socket.local = (host, port)

    def listen(self, socket: SimSocket) -> None:
        """Make a bound socket reachable."""
        if not socket.local[1]:
            self.bind(socket, socket.local)
        self._listeners[socket.owner.node.address, socket.local[1]] = socket

    def connect(self, socket: SimSocket, address: Address) -> None:
        """Send a SYN."""
        node_address = socket.owner.node.address
        host = self.resolve(address[0], node_address)
        if not socket.local[1]:
            self.bind(socket, ("0.0.0.0", 0))
        local = host.startswith("127.") or host == "0.0.0.0"
        socket.local = ("127.0.0.1" if local else node_address, socket.local[1])
        socket.remote = (host, address[1])
        socket.connecting = True
        socket.link = self._direction(LOCAL_LATENCY_NS if local or host == node_address else LATENCY_NS)
        reached = (node_address if local else host, address[1])
        if (make := self._observers.get(reached)) is not None:
            socket.tap = make()
        self._send(socket.link, _SYN, b"", self._syn, socket, reached, 0)

    def carry(self, socket: SimSocket, data: bytes) -> None:
        """Send data to the peer, perhaps in pieces."""
        peer = socket.peer
        if socket.tap is not None:
            socket.tap(False, data)
        size = len(data)
        if size > SEGMENT_BYTES:
            for start in range(0, size, SEGMENT_BYTES):
                piece = data[start : start + SEGMENT_BYTES]
                self._send(socket.link, _DATA, piece, self._arrive, peer, piece)
        elif size > 1 and self._draw() * SPLIT_ONE_IN < 1:
            cut = 1 + int(self._draw() * (size - 1))
            self._send(socket.link, _DATA, data[:cut], self._arrive, peer, data[:cut])
            self._send(socket.link, _DATA, data[cut:], self._arrive, peer, data[cut:])
        else:
            self._send(socket.link, _DATA, data, self._arrive, peer, data)

    def finish(self, socket: SimSocket) -> None:
        """Send a FIN."""
        self._send(socket.link, _FIN, b"", self._arrive_fin, socket.peer)

    def was_read(self, socket: SimSocket, size: int) -> None:
        """The program read `size` bytes: the peer's window opens after the acknowledgement's way back."""
        peer = socket.peer
        if peer is None:
            return
        if peer.unread_by_peer < SEGMENT_BYTES and peer.writer is None:
            # Far from full and nobody waits: the acknowledgement needs no event of its own.
            peer.unread_by_peer -= size
        else:
            self._loop.after_ns(socket.link.least_ns, self._acknowledge, peer, size)

    def drained(self, socket: SimSocket) -> None:
        """The program read all that had arrived."""
        self._loop.drained(socket)

    def changed(self, socket: SimSocket) -> None:
        """The socket's readiness may have changed."""
        self._loop.watch(socket)

    def forget(self, socket: SimSocket) -> None:
        """A socket was closed: free its names and tell its peer."""
        self._sockets.pop(socket.fd, None)
        socket.owner.sockets.pop(socket, None)
        key = (socket.owner.node.address, socket.local[1])
        if self._bound.get(key) is socket:
            del self._bound[key]
        if self._listeners.get(key) is socket:
            del self._listeners[key]
        for waiting in socket.accepting:
            waiting.linger = (1, 0)
            waiting.close()
        socket.accepting.clear()
        if socket.peer is None or socket.reset or socket.connecting:
            return
        if socket.linger == (1, 0) or socket.received:
            self._send(socket.link, _RST, b"", self._arrive_rst, socket.peer)
            socket.reset = True
        elif not socket.sent_fin:
            socket.sent_fin = True
            self.finish(socket)

    # --- events on the wire --------------------------------------------------------------------------------------

    def _send(self, way: Direction, kind: int, payload: bytes, event: Callable[..., None], *args: Any) -> None:
        at_ns = self._loop.now_ns + way.least_ns + int(self._draw() * way.spread_ns)
        if at_ns < way.last_ns:
            at_ns = way.last_ns
        way.last_ns = at_ns
        self._loop.deliver(at_ns, way.number, kind, payload, event, args)

    def _syn(self, client: SimSocket, reached: Address, attempt: int) -> None:
        if not client.connecting or client.closed:
            return
        if reached[0] not in self._hosts:
            self._unanswered(client, reached, attempt)
            return
        listener = self._listeners.get(reached)
        if listener is None or (listener.local[0] == "127.0.0.1" and reached[0] != client.owner.node.address):
            self._send(client.link, _RST, b"", self._refuse, client, errno.ECONNREFUSED)
            return
        if len(listener.accepting) + listener.handshakes > listener.backlog:
            self._unanswered(client, reached, attempt)
            return
        server = SimSocket(listener.family, listener.type, listener.proto, owner=listener.owner)
        server.local = (client.remote or reached)[0], reached[1]
        server.remote = client.local
        server.link = self._direction((client.link.least_ns, client.link.spread_ns))
        server.peer, client.peer = client, server
        listener.handshakes += 1
        self._send(server.link, _SYN_ACK, b"", self._established, client, listener)

    def _unanswered(self, client: SimSocket, reached: Address, attempt: int) -> None:
        waited_s = SYN_SENT_AT_S[attempt]
        if attempt + 1 < len(SYN_SENT_AT_S):
            self._loop.after(SYN_SENT_AT_S[attempt + 1] - waited_s, self._syn, client, reached, attempt + 1)
        else:
            self._loop.after(SYN_TIMEOUT_S - waited_s, self._refuse, client, errno.ETIMEDOUT)

    def _established(self, client: SimSocket, listener: SimSocket) -> None:
        server = client.peer
        if client.closed:
            self._send(client.link, _RST, b"", self._abandoned, server, listener)
            return
        client.connecting = False
        self._loop.watch(client)
        # Only this makes the connection acceptable: a server cannot speak to a client that does not know yet.
        self._send(client.link, _ACK, b"", self._acceptable, server, listener)

    def _acceptable(self, server: SimSocket, listener: SimSocket) -> None:
        listener.handshakes -= 1
        if listener.closed:
            server.linger = (1, 0)
            server.close()
        elif listener in self._appliances:
            server.appliance = ApplianceTransport(server, self._appliances[listener](), self._loop.call_soon)
        elif not server.closed:
            listener.accepting.append(server)
            self._loop.watch(listener)

    def _abandoned(self, server: SimSocket, listener: SimSocket) -> None:
        listener.handshakes -= 1
        server.reset = True
        server.close()

    def _refuse(self, client: SimSocket, code: int) -> None:
        if client.connecting and client.peer is None and not client.closed:
            client.connecting = False
            client.error = code
            self._loop.watch(client)

    def _arrive(self, socket: SimSocket, data: bytes) -> None:
        if socket.reset:
            return
        if socket.closed:
            # Nobody can read this any more: a RST tells the sender, and the connection is over.
            socket.reset = True
            self._send(socket.link, _RST, b"", self._arrive_rst, socket.peer)
            return
        if socket.appliance is not None:
            self.was_read(socket, len(data))
            socket.appliance.arrived(data)
            return
        socket.received.append(data)
        socket.received_bytes += len(data)
        if socket.tap is not None:
            socket.tap(True, data)
        self._loop.watch(socket)

    def _arrive_fin(self, socket: SimSocket) -> None:
        if socket.reset or socket.closed:
            return
        socket.saw_fin = True
        if socket.appliance is not None:
            socket.appliance.close()
        self._loop.watch(socket)

    def _arrive_rst(self, socket: SimSocket) -> None:
        if socket.reset:
            return
        socket.reset = True
        socket.unread_by_peer = 0
        if socket.closed:
            return
        if socket.appliance is not None:
            socket.appliance.close()
        socket.error = errno.EPIPE if socket.saw_fin else errno.ECONNRESET
        self._loop.watch(socket)

    def _acknowledge(self, socket: SimSocket, size: int) -> None:
        socket.unread_by_peer = max(0, socket.unread_by_peer - size)
        if socket.writer is not None:
            self._loop.watch(socket)

    # --- numbers -------------------------------------------------------------------------------------------------

    def _direction(self, latency: tuple[int, int]) -> Direction:
        self._directions += 1
        return Direction(self._directions, latency)

    def _free_port(self, node_address: str) -> int:
        port = self._ephemeral.get(node_address, _EPHEMERAL[0])
        while (node_address, port) in self._bound:
            port = port + 1 if port < _EPHEMERAL[1] else _EPHEMERAL[0]
        self._ephemeral[node_address] = port + 1 if port < _EPHEMERAL[1] else _EPHEMERAL[0]
        return port
