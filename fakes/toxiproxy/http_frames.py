"""Where HTTP/1.1 messages and their bodies begin and end, found incrementally in both directions of a connection.

The rules are those of RFC 9112 §6.3: a response to HEAD and statuses 1xx, 204 and 304 have no body; then chunked; then
Content-Length; else a request has none and a response lasts until the connection ends. After 101 or a CONNECT the
connection is no longer HTTP.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

from fakes.toxiproxy.frames import Body, BodyBegins, Framer, Item, Request, Response

HEAD_BYTES_MAX = 1 << 16
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_STATUS_BYTES = len(b"HTTP/1.1 200")
LINE_BYTES_MAX = 8192


def http_framers() -> tuple[Framer, Framer]:
    """Framers for the requests and the responses of one connection."""
    exchange = _Exchange()
    return _Requests(exchange), _Responses(exchange)


@dataclass(slots=True)
class _Exchange:
    """What one direction has to know of the other."""

    methods: deque[bytes] = field(default_factory=deque)
    upgraded: bool = False


class _Messages(ABC):
    """The part that requests and responses share: heads, then bodies."""

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange
        self._status = 0
        self._state: Callable[[], Iterator[Item]] = self._start
        self._data = b""
        self._head = bytearray()
        self._left_bytes = 0
        self._line = bytearray()

    def feed(self, data: bytes) -> Iterator[Item]:
        """Bytes, body bytes and events, in order."""
        self._data += data
        while self._data:
            before = len(self._data), self._state
            yield from self._state()
            if (len(self._data), self._state) == before:
                return  # held back until more is there

    def release(self) -> bytes:
        """The bytes held back."""
        held, self._data = self._data, b""
        return held

    def _take(self, size: int) -> bytes:
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    @abstractmethod
    def _start(self) -> Iterator[Item]:
        """Between messages."""

    def _interim(self) -> bool:
        return False

    @abstractmethod
    def _begin_body(self, first_line: bytes, headers: dict[bytes, bytes]) -> None:
        """Set the state that the body of this message asks for."""

    def _read_head(self) -> Iterator[Item]:
        seen = len(self._head)
        self._head += self._data
        end = self._head.find(b"\r\n\r\n", max(0, seen - 3))
        if end < 0:
            if len(self._head) > HEAD_BYTES_MAX:
                self._state = self._unframed
            yield self._take(len(self._data))
            return
        head = bytes(self._head[:end])
        yield self._take(end + 4 - seen)
        self._head.clear()
        first_line, _, rest = head.partition(b"\r\n")
        headers: dict[bytes, bytes] = {}
        for line in rest.split(b"\r\n"):
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip()
        interim = self._interim()
        self._begin_body(first_line, headers)
        if not interim:
            yield BodyBegins()

    def _framed_body(self, headers: dict[bytes, bytes], without: Callable[[], Iterator[Item]]) -> None:
        if headers.get(b"transfer-encoding", b"").lower().endswith(b"chunked"):
            self._state = self._chunk_size
        elif (length := headers.get(b"content-length", b"")).isdigit():
            self._left_bytes = int(length)
            self._state = self._sized_body if self._left_bytes else self._start
        else:
            self._state = without

    def _sized_body(self) -> Iterator[Item]:
        piece = self._take(self._left_bytes)
        self._left_bytes -= len(piece)
        if self._left_bytes == 0:
            self._state = self._start
        yield Body(piece)

    def _until_end(self) -> Iterator[Item]:
        yield Body(self._take(len(self._data)))

    def _unframed(self) -> Iterator[Item]:
        yield self._take(len(self._data))

    def _chunk_size(self) -> Iterator[Item]:
        line = yield from self._whole_line()
        if line is None:
            return
        try:
            self._left_bytes = int(line.split(b";")[0], 16)
        except ValueError:
            self._state = self._unframed
            return
        self._state = self._chunk if self._left_bytes else self._trailer

    def _chunk(self) -> Iterator[Item]:
        piece = self._take(self._left_bytes)
        self._left_bytes -= len(piece)
        if self._left_bytes == 0:
            self._state = self._chunk_end
        yield Body(piece)

    def _chunk_end(self) -> Iterator[Item]:
        if (yield from self._whole_line()) is not None:
            self._state = self._chunk_size

    def _trailer(self) -> Iterator[Item]:
        if (yield from self._whole_line()) == b"":
            self._state = self._start

    def _whole_line(self) -> Generator[Item, None, bytes | None]:
        """Forward up to the end of the line; returns the line once it is complete."""
        end = self._data.find(b"\n")
        taken = self._take(end + 1 if end >= 0 else len(self._data))
        self._line += taken
        if end >= 0:
            line = bytes(self._line).strip()
            self._line.clear()
        else:
            line = None
            if len(self._line) > LINE_BYTES_MAX:
                self._state = self._unframed
        yield taken
        return line


class _Requests(_Messages):
    def _start(self) -> Iterator[Item]:
        if self._exchange.upgraded:
            self._state = self._unframed
        elif self._data[:1] in (b"\r", b"\n"):  # an empty line between requests is allowed
            yield self._take(1)
        else:
            self._state = self._read_head
            yield Request()

    def _begin_body(self, first_line: bytes, headers: dict[bytes, bytes]) -> None:
        method = first_line.split(b" ")[0]
        self._exchange.methods.append(method)
        self._framed_body(headers, self._unframed if method == b"CONNECT" else self._start)


class _Responses(_Messages):
    def _start(self) -> Iterator[Item]:
        if len(self._data) < _STATUS_BYTES and b"HTTP/".startswith(self._data[:5]):
            return
        match = _STATUS.match(self._data)
        if match is None:
            self._state = self._unframed
            return
        self._state = self._read_head
        self._status = int(match[1])
        if not self._interim():
            yield Response(self._status)

    def _interim(self) -> bool:
        return 100 <= self._status < 200 and self._status != 101

    def _begin_body(self, first_line: bytes, headers: dict[bytes, bytes]) -> None:
        if self._interim():
            self._state = self._start
            return
        methods = self._exchange.methods
        method = methods.popleft() if methods else b""
        if self._status == 101 or (method == b"CONNECT" and self._status < 300):
            self._exchange.upgraded = True
            self._state = self._unframed
        elif method == b"HEAD" or self._status in (204, 304):
            self._state = self._start
        else:
            self._framed_body(headers, self._until_end)
