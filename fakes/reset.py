"""Send a RST on purpose, and only after every byte written before it has arrived.

Theory: `transport.abort()` closes with a FIN; the kernel sends a RST only for SO_LINGER(1, 0). A lingering close also
throws away what the kernel has not sent yet, so on a real socket we first wait until the peer has acknowledged
everything. A simulated socket keeps the RST behind the data by itself and reports no TCP_INFO.
"""

from __future__ import annotations

import asyncio
import socket
import struct

POLL_S = 0.001
PATIENCE_S = 5.0
"""A peer that reads nothing for this long loses what it did not read."""

_TCP_INFO_BYTES = 148
_UNACKED_AT, _NOT_SENT_AT = 24, 144


def reset(transport: asyncio.Transport) -> asyncio.Future[None]:
    """Close `transport` with a RST behind the bytes already written.

    Acts without being awaited; the future is done once the transport is closing, so that nothing more can be written.
    """
    loop = asyncio.get_running_loop()
    closing: asyncio.Future[None] = loop.create_future()
    if not transport.is_closing():
        transport.pause_reading()
    _reset_when_delivered(transport, closing, loop.time() + PATIENCE_S)
    return closing


def _reset_when_delivered(transport: asyncio.Transport, closing: asyncio.Future[None], deadline_s: float) -> None:
    if not transport.is_closing():
        loop = closing.get_loop()
        connection = transport.get_extra_info("socket")
        in_flight = _in_flight(connection)
        if in_flight is not None and (in_flight or transport.get_write_buffer_size()) and loop.time() < deadline_s:
            loop.call_later(POLL_S, _reset_when_delivered, transport, closing, deadline_s)
            return
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.close()  # flushes asyncio's own buffer first, which abort() would not
    if not closing.done():
        closing.set_result(None)


def _in_flight(connection: socket.socket) -> int | None:
    """Segments not acknowledged plus bytes not sent; None where the system does not tell."""
    if not hasattr(socket, "TCP_INFO"):
        return None
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    if not isinstance(info, bytes) or len(info) < _TCP_INFO_BYTES:
        return None
    unacked: int
    not_sent: int
    (unacked,) = struct.unpack_from("=I", info, _UNACKED_AT)
    (not_sent,) = struct.unpack_from("=I", info, _NOT_SENT_AT)
    return unacked + not_sent
