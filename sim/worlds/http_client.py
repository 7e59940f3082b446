"""One HTTP request whose bytes the harness controls: it can stop, and hang up, at any point.

A client library hides exactly what a hand-off dies of (how much of the request was written, whether the answer had
begun), so operations are written to the socket by hand: HTTP/1.1, one request a connection. A mere look, which nobody
disturbs, keeps its connection. Nothing here knows on which loop or network it runs.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sim.history import Json
from sim.scenario.model import OperationPoint

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Unanswered(Exception):
    """No complete answer; `sent` tells whether any byte of the request was handed to the socket."""

    def __init__(self, reason: str, *, sent: bool, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer; `body` is the decoded JSON, or the text when it is not JSON."""

    status: int
    body: Json


class Exchange:
    """One request on its way; `hang_up` may be called at any moment."""

    def __init__(self, at: Callable[[OperationPoint], None] | None = None) -> None:
        self._at = at
        self._writer: asyncio.StreamWriter | None = None
        self._hung_up = False

    def hang_up(self, *, reset: bool) -> None:
        """The client goes away: by a RST, or as a closing client does."""
        self._hung_up = True
        if self._writer is not None:
            transport = self._writer.transport
            if reset:
                raw = transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            transport.abort()

    async def request(
        self, host: str, port: int, method: str, path: str, *, headers: Mapping[str, str], body: Json = None
    ) -> Answer:
        """Send it and read the whole answer. Raises `Unanswered`."""
        payload = b"" if body is None else json.dumps(body).encode()
        lines = {"Host": f"{host}:{port}", "Connection": "close"}
        if body is not None:
            lines |= {"Content-Type": "application/json", "Content-Length": str(len(payload))}
        head = _head_of(method, path, {**lines, **headers})
        try:
            reader, self._writer = await asyncio.open_connection(host, port)
        except OSError as error:
            raise Unanswered(f"no connection: {error}", sent=False) from error
        if self._hung_up:  # before there was anything to hang up
            self._writer.transport.abort()
            raise Unanswered("the client hung up", sent=False)
        try:
            return await self._converse(reader, self._writer, head, payload)
        finally:
            self._writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, payload: bytes
    ) -> Answer:
        status: int | None = None
        try:
            if self._at is None:
                writer.write(head + payload)
            else:
                half = len(payload) // 2
                writer.write(head + payload[:half])
                self._reach("mid_request")
                writer.write(payload[half:])
                self._reach("request_sent")
            answered = await _read_head(reader)
            status = answered.status
            self._reach("mid_response")
            answer = Answer(status, _decoded(await _read_body(reader, answered)))
            self._reach("response_read")
            return answer
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            if self._hung_up:
                raise Unanswered("the client hung up", sent=True, status=status) from None
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise Unanswered(reason, sent=True, status=status) from error

    def _reach(self, point: OperationPoint) -> None:
        if self._at is not None:
            self._at(point)
            if self._hung_up and point != "response_read":
                raise EOFError


class Looks:
    """GETs in turn, on one connection for as long as the other side keeps it; to be closed."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str, headers: Mapping[str, str]) -> tuple[int, Json]:
        """Status and decoded body. Raises `OSError` if no whole answer came; the next look connects anew."""
        head = _head_of("GET", path, {"Host": f"{self._host}:{self._port}", **headers})
        keeps = False
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._host, self._port)
            reader, writer = self._streams
            writer.write(head)
            answered = await _read_head(reader)
            body = _decoded(await _read_body(reader, answered))
            keeps = not answered.last
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            raise OSError(str(error)) from error
        finally:
            if not keeps:
                self.close()
        return answered.status, body

    def close(self) -> None:
        """Hang up, if a connection is open."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class _Head(NamedTuple):
    """What an answer begins with. `length`: None if the body ends with the connection, which `last` says too."""

    status: int
    length: int | None
    chunked: bool
    last: bool


def _head_of(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


async def _read_head(reader: asyncio.StreamReader) -> _Head:
    """The head of the answer; interim answers (100 Continue) are passed over."""
    while True:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ", 2)[1])
        if status >= 200:
            break
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    length = fields.get("content-length")
    chunked = fields.get("transfer-encoding", "").lower() == "chunked"
    last = fields.get("connection", "").lower() == "close" or lines[0].startswith("HTTP/1.0")
    if status in (204, 304):
        return _Head(status, 0, False, last)
    if length is None:
        return _Head(status, None, chunked, last or not chunked)
    return _Head(status, int(length), chunked, last)


async def _read_body(reader: asyncio.StreamReader, head: _Head) -> bytes:
    if head.chunked:
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
        return body
    return await (reader.read() if head.length is None else reader.readexactly(head.length))


def _decoded(body: bytes) -> Json:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body.decode("utf-8", "replace")
