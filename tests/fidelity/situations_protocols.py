"""The calls that a protocol gets, on both ends, however a connection ends."""

from __future__ import annotations

import asyncio
import functools
import re

from .recorder import Recorder, join
from .servers import connected, protocol_server, scripted_server
from .stage import Observations, Stage, enter, reset, situation


async def _two_ends_calls(stage: Stage, *, end: str, keeps_open: bool) -> Observations:
    """What both ends' protocols are told when the server ends the connection in the way `end` names."""
    servers: list[Recorder] = []

    def serve() -> Recorder:
        servers.append(Recorder(keeps_open=keeps_open))
        return servers[-1]

    async with protocol_server(stage, serve) as port:
        client = await join(stage, port, Recorder(keeps_open=keeps_open))
        client.transport.write(b"hello")
        await stage.settle()
        (server,) = servers
        server.transport.write(b"hi")

        async def finish() -> None:
            if end == "RST":
                reset(server.transport)
            else:
                getattr(server.transport, end)()

        await stage.on_server(finish())
        await stage.settle()
        seen: Observations = ["server", *server.calls, "client", *client.calls, repr(client.data)]
        seen += [int(client.transport.is_closing()), int(server.transport.is_closing())]
        client.transport.abort()
        await stage.settle()
        return [*seen, "server", *server.calls, "client", *client.calls]


for _end in ("close", "abort", "RST", "write_eof"):
    for _keeps_open in (False, True):
        enter(
            f"calls_on_{_end}{'_kept_open' if _keeps_open else ''}",
            functools.partial(_two_ends_calls, end=_end, keeps_open=_keeps_open),
        )


@situation
async def protocol_learns_of_a_failed_write(stage: Stage) -> Observations:
    def leave() -> Recorder:
        return Leaver()

    class Leaver(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.close()

    async with protocol_server(stage, leave) as port:
        client = await join(stage, port, Recorder(keeps_open=True))
        for _ in range(3):
            await stage.settle()
            client.transport.write(b"hello?")
        await stage.settle()
        return client.calls


@situation
async def buffered_protocol(stage: Stage) -> Observations:
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer = bytearray(7)
            self.data = b""
            self.calls: Observations = []
            self.lost = asyncio.get_running_loop().create_future()

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.data += self.buffer[:nbytes]

        def eof_received(self) -> None:
            self.calls.append("eof")

        def connection_lost(self, error: Exception | None) -> None:
            self.calls.append(str(error))
            self.lost.set_result(None)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"more than seven bytes")
        writer.close()

    async with scripted_server(stage, script) as port:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(Buffered, stage.host, port)
        await protocol.lost
        return [repr(protocol.data), *protocol.calls]


@situation
async def protocol_can_be_exchanged(stage: Stage) -> Observations:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"first")
        await reader.read(1)
        writer.write(b"second")
        writer.close()

    async with scripted_server(stage, script) as port:
        client = await join(stage, port, Recorder())
        await stage.settle()
        second = Recorder()
        second.connection_made(client.transport)
        client.transport.set_protocol(second)
        client.transport.write(b"x")
        await second.lost
        return [*client.calls, repr(client.data), *second.calls, repr(second.data)]


@situation
async def failing_protocol_closes_its_connection(stage: Stage) -> Observations:
    class Faulty(Recorder):
        def data_received(self, data: bytes) -> None:
            raise RuntimeError("on purpose")

    servers: list[Recorder] = []

    def serve() -> Recorder:
        servers.append(Faulty())
        return servers[-1]

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, _context: None)
    async with protocol_server(stage, serve) as port:
        client = await join(stage, port, Recorder())
        client.transport.write(b"hello")
        await stage.settle()
        return ["server", *servers[0].calls, "client", *client.calls]


@situation
async def connections_can_be_printed(stage: Stage) -> Observations:
    async with protocol_server(stage, Recorder) as port, connected(stage, port) as (_, writer):
        await stage.settle()
        open_name = re.sub(r"\d+", "N", repr(writer.transport))
        writer.close()
        await stage.settle()
        return [open_name, re.sub(r"\d+", "N", repr(writer.transport))]
