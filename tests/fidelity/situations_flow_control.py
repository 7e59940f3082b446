"""Flow control: pause and resume on both sides, limits of the write buffer, `drain`, closing with a full buffer."""

from __future__ import annotations

import asyncio
import functools

from .recorder import Recorder, join
from .servers import connected, protocol_server, scripted_server
from .stage import Observations, Stage, attempt, cut, enter, outcome, situation

_MUCH = b"m" * (16 << 20)  # more than all buffers of a connection hold


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
        client = await join(stage, port, Recorder())
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
        transport = (await join(stage, port, Recorder())).transport
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
        client = await join(stage, port, Recorder())
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
