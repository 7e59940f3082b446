"""A client, a proxy of either server, and an upstream that does as it is told: what the tests of behaviour play with.

Durations have lower bounds that hold everywhere, and one generous upper bound: within `PATIENCE_S` or not at all.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from .toxiproxy_servers import Answer, Server

PATIENCE_S = 15.0
CLOCK_S = 0.005
"""How much too early a duration may seem: clocks of two processes and their rounding."""
RESET = "reset"
FIN = "fin"
OPEN = "open"

_names = itertools.count(1)


class Connection:
    """One end of a TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        """Write."""
        self._writer.write(data)

    async def receive(self, size: int) -> bytes:
        """Exactly so many bytes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.readexactly(size)

    async def rest(self, within_s: float = PATIENCE_S) -> tuple[bytes, str]:
        """Everything that arrives within this time, and how it ended: FIN, RESET, or OPEN if it did not."""
        received = bytearray()
        try:
            async with asyncio.timeout(within_s):
                while data := await self._reader.read(1 << 16):
                    received += data
        except TimeoutError:
            return bytes(received), OPEN
        except ConnectionError:
            return bytes(received), RESET
        return bytes(received), FIN

    async def pieces(self, size: int) -> list[int]:
        """The sizes in which so many bytes arrive."""
        sizes: list[int] = []
        async with asyncio.timeout(PATIENCE_S):
            while sum(sizes) < size:
                sizes.append(len(await self._reader.read(1 << 16)))
        return sizes

    def half_close(self) -> None:
        """Send a FIN, and go on reading."""
        self._writer.write_eof()

    def close(self) -> None:
        """Close."""
        self._writer.close()

    def reset(self) -> None:
        """Close by a RST."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


@dataclass
class Link:
    """A proxy between clients and an upstream."""

    server: Server
    name: str
    port: int
    upstream_port: int
    accepted: asyncio.Queue[Connection]
    clients: list[Connection] = field(default_factory=list)

    async def ask(self, method: str, path: str, body: object = b"") -> Answer:
        """A request to the API below this proxy."""
        return await asyncio.to_thread(self.server.ask, method, f"/proxies/{self.name}{path}", body)

    async def add(self, type_: str, stream: str = "downstream", *, toxicity: float = 1, **attributes: int) -> None:
        """A toxic; named after its type, unless that is taken."""
        body = {"type": type_, "stream": stream, "toxicity": toxicity, "attributes": attributes}
        answer = await self.ask("POST", "/toxics", body)
        assert answer.status == 200, answer

    async def update(self, name: str, **change: Any) -> None:
        """Change a toxic."""
        answer = await self.ask("PATCH", f"/toxics/{name}", change)
        assert answer.status == 200, answer

    async def remove(self, name: str) -> None:
        """Take a toxic off."""
        answer = await self.ask("DELETE", f"/toxics/{name}")
        assert answer.status == 204, answer

    async def enable(self, enabled: bool) -> None:
        """Switch the proxy."""
        answer = await self.ask("PATCH", "", {"enabled": enabled})
        assert answer.status == 200, answer

    async def connect(self) -> tuple[Connection, Connection]:
        """A connection through the proxy: the client's end, and the upstream's."""
        client = await self.client()
        async with asyncio.timeout(PATIENCE_S):
            return client, await self.accepted.get()

    async def client(self) -> Connection:
        """A client's end only."""
        client = Connection(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        return client


@asynccontextmanager
async def link(server: Server, name: str = "") -> AsyncIterator[Link]:
    """A proxy before an upstream of its own; without a name it gets one that no other has."""
    accepted: asyncio.Queue[Connection] = asyncio.Queue()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.put_nowait(Connection(reader, writer))

    upstream = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = upstream.sockets[0].getsockname()[1]
    name = name or f"link{next(_names)}"
    body = {"name": name, "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{port}"}
    answer = await asyncio.to_thread(server.ask, "POST", "/proxies", body)
    assert answer.status == 201, answer
    made = Link(server, name, int(answer.json()["listen"].rpartition(":")[2]), port, accepted)
    try:
        yield made
    finally:
        for client in made.clients:
            client.close()
        upstream.close()
        await made.ask("DELETE", "")


class Stopwatch:
    """Time since it was made."""

    def __init__(self) -> None:
        self._begun_s = asyncio.get_running_loop().time()

    def at_least(self, seconds: float) -> bool:
        """Whether so much has passed."""
        return asyncio.get_running_loop().time() - self._begun_s >= seconds - CLOCK_S
