"""A loopback world for the tests of the fault proxy: a server that records, a proxy before it, and a client."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fakes.toxiproxy.proxy import Proxy

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PATIENCE_S = 5.0


@dataclass
class Upstream:
    """What arrived at the server, and how each connection ended there ("fin" or the name of the error)."""

    received: bytearray = field(default_factory=bytearray)
    endings: list[str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send back everything; after a FIN send `bye` and close."""
        try:
            while data := await reader.read(65536):
                self.received += data
                writer.write(data)
                await writer.drain()
            self.endings.append("fin")
            writer.write(b"bye")
        except OSError as error:
            self.endings.append(type(error).__name__)
        finally:
            self.ended.set()
            writer.close()


@asynccontextmanager
async def world(handler: Handler | None = None, *, seed: int = 1) -> AsyncIterator[tuple[Proxy, Upstream]]:
    """A proxy before a server that runs `handler`, by default an echo."""
    upstream = Upstream()
    server = await asyncio.start_server(handler or upstream.echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    proxy = Proxy("link", "127.0.0.1", 0, "127.0.0.1", port, random=random.Random(seed))
    await proxy.start()
    try:
        yield proxy, upstream
    finally:
        await proxy.close()
        server.close()


async def connect(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client's connection through the proxy."""
    return await connect_to(proxy.port)


async def connect_to(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to a port on loopback."""
    return await asyncio.open_connection("127.0.0.1", port)


async def read_to_end(reader: asyncio.StreamReader) -> tuple[bytes, str]:
    """Everything that arrives, and how it ends: "fin" or the name of the error."""
    received = bytearray()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while data := await reader.read(65536):
                received += data
    except TimeoutError:
        return bytes(received), "silence"
    except OSError as error:
        return bytes(received), type(error).__name__
    return bytes(received), "fin"


async def elapsed_s(until: Awaitable[object]) -> float:
    """How long `until` takes."""
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    await until
    return loop.time() - start_s
