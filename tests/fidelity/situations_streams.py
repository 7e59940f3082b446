"""asyncio streams: order, half-close, resets, writes to nobody, incomplete reads, lines that are too long."""

from __future__ import annotations

import asyncio
import functools

from .servers import connected, scripted_server
from .stage import Observations, Stage, attempt, cut, enter, outcome, situation


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
        for name, argument in (("readexactly", 99), ("readuntil", b"!")):
            async with connected(stage, port) as (reader, _):
                try:
                    await getattr(reader, name)(argument)
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
