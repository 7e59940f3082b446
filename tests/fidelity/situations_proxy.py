"""A fault proxy of asyncio streams between an aiohttp client and an aiohttp server: forwarding, and cutting."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator

from aiohttp import web

from .servers import application, browsing
from .stage import Observations, Stage, cut, enter, outcome

_BODY = bytes(range(256)) * 1000
# More than a stream reader takes before it pauses, so that data waits unread wherever an upload is cut.
_UPLOAD = _BODY * 16


@contextlib.asynccontextmanager
async def _proxy(stage: Stage, target: int, *, limits: dict[str, int], how: str) -> AsyncIterator[int]:
    """Forward to the port `target`; cut both ends once a direction has carried its limit of bytes."""

    async def forward(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int, ends: list[asyncio.StreamWriter]
    ) -> None:
        while limit > 0 and (data := await reader.read(min(limit, 1 << 16))):
            limit -= len(data)
            writer.write(data)
            await writer.drain()
        if limit > 0:
            writer.close()
            return
        await stage.settle()
        for end in ends:
            cut(end, how)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", target)
        ends = [writer, onward_writer]
        await asyncio.gather(
            forward(reader, onward_writer, limits.get("up", 1 << 30), ends),
            forward(onward_reader, writer, limits.get("down", 1 << 30), ends),
            return_exceptions=True,
        )

    server = await stage.on_server(asyncio.start_server(serve, stage.listen_host, 0))
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _length_of(request: web.Request) -> int:
    length = 0
    async for piece in request.content.iter_any():
        length += len(piece)
    return length


async def _through_a_proxy(stage: Stage, *, limits: dict[str, int], how: str) -> Observations:
    handled: Observations = []

    async def handler(request: web.Request) -> web.Response:
        handled.append(await outcome(_length_of(request)))
        return web.Response(body=_BODY)

    async def ask() -> int:
        async with session.post("/", data=_UPLOAD) as response:
            handled.append(response.status)
            body = await response.read()
            assert body == _BODY
            return len(body)

    async with (
        application(stage, handler) as target,
        _proxy(stage, target, limits=limits, how=how) as port,
        browsing(stage, port) as session,
    ):
        result = await outcome(ask())
        await stage.settle()
        return [result, *handled]


enter("proxy_forwards", functools.partial(_through_a_proxy, limits={}, how="FIN"))
for _how in ("FIN", "RST"):
    for _direction, _place, _limit in (
        ("up", "head", 20),
        ("up", "body", 100_000),
        ("down", "head", 20),
        ("down", "body", 100_000),
    ):
        enter(
            f"proxy_cuts_{_direction}_in_{_place}_by_{_how}",
            functools.partial(_through_a_proxy, limits={_direction: _limit}, how=_how),
        )
