"""Agents that a test scripts byte by byte: each takes a request in full, then behaves as told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

Writer = asyncio.StreamWriter
Behaviour = Callable[["Writer"], Awaitable[None]]


def http_reply(body: bytes, *, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + body


def a2a_text(text: str) -> bytes:
    result = {"kind": "message", "role": "agent", "parts": [{"kind": "text", "text": text}]}
    return json.dumps({"jsonrpc": "2.0", "id": "1", "result": result}).encode()


def answers(body: bytes, *, status: str = "200 OK", length: int | None = None) -> Behaviour:
    async def behave(writer: Writer) -> None:
        writer.write(http_reply(body, status=status, length=length))
        await writer.drain()

    return behave


def says(text: str) -> Behaviour:
    return answers(a2a_text(text))


def after(delay_s: float, behaviour: Behaviour) -> Behaviour:
    async def behave(writer: Writer) -> None:
        await asyncio.sleep(delay_s)
        await behaviour(writer)

    return behave


async def resets(writer: Writer) -> None:
    reset(writer)


async def closes(writer: Writer) -> None:
    """The connection ends without an answer."""


def reset(writer: Writer) -> None:
    if writer.transport.is_closing():
        return
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@dataclass
class Agent:
    """Takes requests in full, then behaves as told: the nth behaviour for the nth request, then the last."""

    behaviours: list[Behaviour]
    requests: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """When each request was there, on the loop's clock."""
    contacted: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def _serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(
                int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length")
            )
            self.requests.append(json.loads(await reader.readexactly(length)))
            self.times.append(asyncio.get_running_loop().time())
            self.contacted.set()
            number = min(len(self.requests), len(self.behaviours)) - 1
            await self.behaviours[number](writer)
        writer.close()
