"""asyncio streams and transports: half-close, resets, writes to nobody, flow control, and the calls a protocol gets."""

from __future__ import annotations

import asyncio
import functools
import re

from .servers import connected, protocol_server, scripted_server
from .stage import Observations, Stage, attempt, cut, enter, outcome, reset, situation

_MUCH = b"m" * (16 << 20)  # more than all buffers of a connection hold


class Recorder(asyncio.Protocol):
    """Writes down every call that it gets; data that arrives in pieces counts as one."""

    def __init__(self, *, keeps_open: bool = False) -> None:
        self.calls: Observations = []
        self.data = b""
        self.keeps_open = keeps_open
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.calls.append("made")

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes and data
        self.data += data
        if self.calls[-1] != "data":
            self.calls.append("data")

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return self.keeps_open

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.calls.append(f"lost by {type(error).__name__}[{getattr(error, 'errno', None)}]")
        self.lost.set_result(None)


async def _join(stage: Stage, port: int, protocol: Recorder) -> Recorder:
    await asyncio.get_running_loop().create_connection(lambda: protocol, stage.host, port)
    return protocol


async def _two_ends_calls(stage: Stage, *, end: str, keeps_open: bool) -> Observations:
    """What both ends' protocols are told when the server ends the connection in the way `end` names."""
    servers: list[Recorder] = []

    def serve() -> Recorder:
        servers.append(Recorder(keeps_open=keeps_open))
        return servers[-1]

    async with protocol_server(stage, serve) as port:
        client = await _join(stage, port, Recorder(keeps_open=keeps_open))
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
async def bytes_go_both_ways_in_order(stage: Stage) -> Observations:
    lines = [b"%d\n" % number for number in range(500)]

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            writer.write(line)
        writer.close()

    async with scripted_server(stage, echo) as port, connected(stage, port) as (reader, writer):
        for line in lines:
            writer.write(line)
        writer.writelines(lines)
        writer.write_eof()
        return [int(await reader.read() == b"".join(lines * 2))]


@situation
async def half_close_by_the_client(stage: Stage) -> Observations:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.read()
        await stage.settle()
        writer.write(b"you said " + question)
        writer.close()

    async with scripted_server(stage, answer) as port, connected(stage, port) as (reader, writer):
        writer.write(b"hello")
        writer.write_eof()
        return [int(writer.can_write_eof()), attempt(writer.write, b"more"), await outcome(reader.read())]


@situation
async def half_close_by_the_server(stage: Stage) -> Observations:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.write_eof()
        heard.set_result(await reader.read())
        writer.close()

    async with scripted_server(stage, answer) as port, connected(stage, port) as (reader, writer):
        seen = [await outcome(reader.read()), int(reader.at_eof())]
        writer.write(b"still ")
        await stage.settle()
        writer.write(b"here")
        writer.close()
        return [*seen, repr(await heard)]


async def _closed_with_unread_data(stage: Stage, *, end: str) -> Observations:
    """The peer closes or aborts while bytes for it wait unread in its receive buffer: that sends RST, not FIN."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"ready")
        await stage.settle()
        getattr(writer.transport, end)()

    async with scripted_server(stage, script) as port, connected(stage, port) as (reader, writer):
        seen = [await outcome(reader.readexactly(5))]
        writer.write(b"unread")
        seen.append(await outcome(reader.read()))
        return [*seen, await outcome(writer.drain()), await outcome(writer.wait_closed())]


for _end in ("close", "abort"):
    enter(f"{_end}_with_unread_data_is_a_reset", functools.partial(_closed_with_unread_data, end=_end))


async def _ended_after_data(stage: Stage, *, end: str, at_once: bool) -> Observations:
    """Data, then the end of the connection: the data is read before the end is noticed."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"last words")
        if not at_once:
            await stage.settle()
        if end == "abort":
            writer.transport.abort()
        else:
            cut(writer, end)

    async with scripted_server(stage, script) as port, connected(stage, port) as (reader, writer):
        return [
            await outcome(reader.readexactly(10)),
            await outcome(reader.read()),
            int(reader.at_eof()),
            int(writer.is_closing()),
        ]


for _end in ("FIN", "RST", "abort"):
    for _at_once in (False, True):
        enter(
            f"data_then_{_end}{'_at_once' if _at_once else ''}",
            functools.partial(_ended_after_data, end=_end, at_once=_at_once),
        )


async def _written_to_nobody(stage: Stage, *, how: str) -> Observations:
    """Writes after the peer is gone: the first one is answered by RST, the second one fails."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stage.settle()
        cut(writer, how)

    async with scripted_server(stage, script) as port, connected(stage, port) as (reader, writer):
        seen: Observations = [await outcome(reader.read())]
        for _ in range(3):
            seen.append(attempt(writer.write, b"hello?"))
            seen.append(await outcome(writer.drain()))
            await stage.settle()
            seen.append(int(writer.is_closing()))
        writer.close()
        return [*seen, await outcome(writer.wait_closed())]


for _how in ("FIN", "RST"):
    enter(f"writes_after_{_how}", functools.partial(_written_to_nobody, how=_how))


@situation
async def protocol_learns_of_a_failed_write(stage: Stage) -> Observations:
    def leave() -> Recorder:
        return Leaver()

    class Leaver(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.close()

    async with protocol_server(stage, leave) as port:
        client = await _join(stage, port, Recorder(keeps_open=True))
        for _ in range(3):
            await stage.settle()
            client.transport.write(b"hello?")
        await stage.settle()
        return client.calls


@situation
async def close_sends_what_is_buffered_and_abort_does_not(stage: Stage) -> Observations:
    received: dict[str, int] = {}
    ended = asyncio.Queue[None]()
    reading = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        end = (await reader.readline()).decode().strip()
        await reading.wait()
        received[end] = len(await reader.read())
        ended.put_nowait(None)

    async with scripted_server(stage, script) as port:
        for end in ("close", "abort"):
            _, writer = await asyncio.open_connection(stage.host, port)
            writer.write(f"{end}\n".encode() + _MUCH)
            await stage.settle()
            getattr(writer.transport, end)()
        reading.set()
        for _ in range(2):
            await ended.get()
        return [received["close"], int(0 < received["abort"] < len(_MUCH))]


@situation
async def paused_reading_holds_data_and_end_back(stage: Stage) -> Observations:
    def serve() -> Recorder:
        servers.append(Recorder())
        return servers[-1]

    servers: list[Recorder] = []
    async with protocol_server(stage, serve) as port:
        client = await _join(stage, port, Recorder())
        await stage.settle()
        (server,) = servers
        server.transport.pause_reading()
        seen: Observations = [int(server.transport.is_reading())]
        client.transport.write(b"hello")
        client.transport.close()
        await stage.settle()
        seen += server.calls
        server.transport.resume_reading()
        await stage.settle()
        return [*seen, "then", *server.calls, repr(server.data), int(server.transport.is_reading())]


@situation
async def pausing_twice_is_allowed_and_pausing_a_closed_transport_too(stage: Stage) -> Observations:
    async with protocol_server(stage, Recorder) as port:
        transport = (await _join(stage, port, Recorder())).transport
        seen = [attempt(transport.pause_reading), attempt(transport.pause_reading)]
        seen += [attempt(transport.resume_reading), attempt(transport.resume_reading)]
        transport.close()
        seen += [attempt(transport.pause_reading), attempt(transport.resume_reading), int(transport.is_reading())]
        return [*seen, attempt(transport.write, b"x"), attempt(transport.close), attempt(transport.abort)]


@situation
async def write_buffer_limits(stage: Stage) -> Observations:
    servers: list[Recorder] = []

    def serve() -> Recorder:
        servers.append(Recorder())
        return servers[-1]

    async with protocol_server(stage, serve) as port:
        client = await _join(stage, port, Recorder())
        transport = client.transport
        await stage.settle()
        servers[0].transport.pause_reading()
        seen: Observations = [repr(transport.get_write_buffer_limits())]
        transport.set_write_buffer_limits(high=100_000)
        seen.append(repr(transport.get_write_buffer_limits()))
        transport.set_write_buffer_limits(high=100_000, low=1000)
        seen.append(repr(transport.get_write_buffer_limits()))
        seen.append(attempt(transport.set_write_buffer_limits, 1, 2))
        transport.write(_MUCH)
        seen += client.calls
        seen.append(int(transport.get_write_buffer_size() > 100_000))
        transport.write(_MUCH)
        await stage.settle()
        seen += ["still", *client.calls]
        servers[0].transport.resume_reading()
        while len(servers[0].data) < 2 * len(_MUCH):
            await stage.settle()
        return [*seen, "then", *client.calls, transport.get_write_buffer_size(), len(servers[0].data)]


@situation
async def drain_waits_for_the_reader(stage: Stage) -> Observations:
    read = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read.wait()
        writer.write(b"%d" % len(await reader.read()))
        writer.close()

    async with scripted_server(stage, script) as port, connected(stage, port) as (reader, writer):
        writer.write(b"little")
        await writer.drain()
        writer.write(_MUCH)
        draining = asyncio.ensure_future(writer.drain())
        await stage.settle()
        seen: Observations = [int(draining.done())]
        read.set()
        await draining
        writer.write_eof()
        return [*seen, await outcome(reader.read())]


async def _drain_is_interrupted(stage: Stage, *, how: str) -> Observations:
    """A writer waits in `drain` when the connection ends."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await stage.settle()
        await stage.settle()
        cut(writer, how)

    async with scripted_server(stage, script) as port, connected(stage, port) as (reader, writer):
        writer.write(_MUCH)
        return [await outcome(writer.drain()), await outcome(reader.read())]


for _how in ("FIN", "RST"):
    enter(f"drain_interrupted_by_{_how}", functools.partial(_drain_is_interrupted, how=_how))


@situation
async def own_close_ends_own_reading(stage: Stage) -> Observations:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with scripted_server(stage, script) as port, connected(stage, port) as (reader, writer):
        reading = asyncio.ensure_future(reader.read())
        await stage.settle()
        writer.close()
        await writer.wait_closed()
        return [await outcome(reading), attempt(writer.write, b"x"), await outcome(writer.drain())]


@situation
async def own_abort_ends_own_reading(stage: Stage) -> Observations:
    ended: asyncio.Future[str | int] = asyncio.get_running_loop().create_future()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.set_result(await outcome(reader.read()))
        writer.close()

    async with scripted_server(stage, script) as port, connected(stage, port) as (reader, writer):
        await stage.settle()
        writer.transport.abort()
        return [await outcome(reader.read()), await outcome(writer.wait_closed()), await ended]


@situation
async def incomplete_reads(stage: Stage) -> Observations:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"line\nrest")
        writer.close()

    async with scripted_server(stage, script) as port:
        seen: Observations = []
        for read in (
            lambda reader: reader.readexactly(99),
            lambda reader: reader.readuntil(b"!"),
        ):
            async with connected(stage, port) as (reader, _):
                try:
                    await read(reader)
                except asyncio.IncompleteReadError as error:
                    seen += [type(error).__name__, repr(error.partial), str(error.expected)]
        async with connected(stage, port) as (reader, _):
            for _ in range(3):
                seen.append(await outcome(reader.readline()))
        return seen


@situation
async def too_long_lines(stage: Stage) -> Observations:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * 200 + b"\nshort\n")
        writer.close()

    async with scripted_server(stage, script) as port:
        reader, writer = await asyncio.open_connection(stage.host, port, limit=64)
        await stage.settle()
        seen = [await outcome(reader.readuntil(b"\n"))]
        writer.close()
        reader, writer = await asyncio.open_connection(stage.host, port, limit=64)
        await stage.settle()
        seen += [await outcome(reader.readline()), await outcome(reader.readline()), await outcome(reader.readline())]
        writer.close()
        return seen


@situation
async def stream_reader_stops_a_fast_sender(stage: Stage) -> Observations:
    sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_MUCH)
        await writer.drain()
        sent.set_result(None)
        writer.close()

    async with scripted_server(stage, script) as port, connected(stage, port) as (reader, _):
        await stage.settle()
        seen: Observations = [int(sent.done())]
        return [*seen, len(await reader.read()), int(sent.done())]


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
        client = await _join(stage, port, Recorder())
        await stage.settle()
        second = Recorder()
        second.connection_made(client.transport)
        client.transport.set_protocol(second)
        client.transport.write(b"x")
        await second.lost
        return [*client.calls, repr(client.data), *second.calls, repr(second.data)]


@situation
async def cancelled_read_loses_nothing(stage: Stage) -> Observations:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"answer")
        writer.close()

    async with scripted_server(stage, script) as port, connected(stage, port) as (reader, writer):
        reading = asyncio.ensure_future(reader.read())
        await stage.settle()
        reading.cancel()
        seen = [await outcome(reading)]
        writer.write(b"\n")
        return [*seen, await outcome(reader.read())]


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
        client = await _join(stage, port, Recorder())
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
