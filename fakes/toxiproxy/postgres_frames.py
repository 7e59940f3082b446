"""Which statements a Postgres client runs, read from its side of the wire (protocol 3.0).

A statement runs by a simple Query, or by an Execute of a portal, which a Bind made of a statement, which a Parse gave
its text. Messages that matter are held until they are complete: an incomplete one has no effect on a server, so
forwarding it whole changes nothing. What follows a TLS hello cannot be read and passes unframed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from fakes.toxiproxy.frames import Cancel, Framer, Item, Statement, Unframed

CANCEL_REQUEST = 80877102
SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
START_UP_BYTES_MAX = 10_000
"""Postgres itself refuses a longer one."""

_TLS_HELLO = 0x16
_HELD = b"QPBEC"
_NUL = b"\0"


def postgres_framers() -> tuple[Framer, Framer]:
    """Framers for a client's messages and for a server's, in which nothing is looked for."""
    return _Frontend(), Unframed()


class _Frontend:
    def __init__(self) -> None:
        self._data = b""
        self._started = False
        self._readable = True
        self._passing_bytes = 0
        self._batch = 0
        self._statements: dict[bytes, str] = {}
        self._portals: dict[bytes, str] = {}

    def feed(self, data: bytes) -> Iterator[Item]:
        """Bytes and statements, in order."""
        self._data += data
        while self._data:
            if not self._readable or (not self._started and self._data[0] == _TLS_HELLO):
                self._readable = False
                yield self.release()
            elif self._passing_bytes:
                piece = self._take(self._passing_bytes)
                self._passing_bytes -= len(piece)
                yield piece
            elif (size := self._size()) is None:
                return
            elif not self._readable:
                continue
            elif not self._started:
                if len(self._data) < size:
                    return
                yield from self._start_up(self._take(size))
            elif self._data[:1] not in _HELD:
                if self._data[:1] == b"S":
                    self._batch += 1
                self._passing_bytes = size
            elif len(self._data) < size:
                return
            else:
                message = self._take(size)
                text = self._read(message[:1], message[5:])
                if text is not None:
                    yield Statement(text, self._batch)
                    if message[:1] == b"Q":
                        self._batch += 1
                yield message

    def release(self) -> bytes:
        """The bytes held back."""
        held, self._data = self._data, b""
        return held

    def _take(self, size: int) -> bytes:
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def _size(self) -> int | None:
        """Bytes of the next message with its type and length, None while they are not known."""
        type_bytes = 1 if self._started else 0
        if len(self._data) < type_bytes + 4:
            return None
        length: int
        (length,) = struct.unpack_from("!I", self._data, type_bytes)
        if length < 4 or (not self._started and length > START_UP_BYTES_MAX):  # not this protocol
            self._readable = False
            return len(self._data)
        return type_bytes + length

    def _start_up(self, message: bytes) -> Iterator[Item]:
        code = struct.unpack_from("!I", message, 4)[0] if len(message) >= 8 else 0
        if code == CANCEL_REQUEST:
            yield Cancel()
        elif code not in (SSL_REQUEST, GSS_REQUEST):
            self._started = True
        yield message

    def _read(self, kind: bytes, payload: bytes) -> str | None:
        """Keep what Parse, Bind and Close say; the text of what Query or Execute runs."""
        first, _, rest = payload.partition(_NUL)
        second, _, _ = rest.partition(_NUL)
        match kind:
            case b"Q":
                return first.decode("utf-8", "replace")
            case b"P":
                self._statements[first] = second.decode("utf-8", "replace")
            case b"B":
                self._portals[first] = self._statements.get(second, "")
            case b"C":
                names = self._statements if payload[:1] == b"S" else self._portals
                names.pop(first[1:], None)
            case b"E":
                return self._portals.get(first, "")
        return None
