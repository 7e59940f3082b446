"""HTTP as it should go: keep-alive and its expiry, bodies of every kind, 100-continue, errors that are answered."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from aiohttp import web

from .servers import HEAD_END, application, browsing, connected, scripted_server
from .stage import Observations, Stage, enter, outcome, situation

_BIG = bytes(range(256)) * (4 << 12)  # 4 MiB


def _digest(data: bytes) -> str:
    return f"{len(data)} {hashlib.sha256(data).hexdigest()[:16]}"


def _connection(request: web.Request) -> tuple[str, int]:
    assert request.transport is not None
    name: tuple[str, int] = request.transport.get_extra_info("peername")
    return name


@situation
async def keep_alive_reuses_the_connection(stage: Stage) -> Observations:
    seen: set[tuple[str, int]] = set()

    async def handler(request: web.Request) -> web.Response:
        seen.add(_connection(request))
        return web.Response(text="hello")

    async with application(stage, handler) as port, browsing(stage, port) as session:
        for _ in range(3):
            async with session.get("/") as response:
                await response.read()
        return [len(seen)]


@situation
async def connection_close_is_honoured(stage: Stage) -> Observations:
    seen: set[tuple[str, int]] = set()

    async def handler(request: web.Request) -> web.Response:
        seen.add(_connection(request))
        return web.Response(text="hello")

    async with application(stage, handler) as port, browsing(stage, port) as session:
        headers = []
        for _ in range(3):
            async with session.get("/", headers={"Connection": "close"}) as response:
                await response.read()
                headers.append(str(response.headers.get("Connection")))
        return [len(seen), *headers]


@situation
async def concurrent_requests_use_connections_of_their_own(stage: Stage) -> Observations:
    seen: set[tuple[str, int]] = set()
    all_here = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        seen.add(_connection(request))
        if len(seen) == 5:
            all_here.set()
        await all_here.wait()
        return web.Response(text=request.path)

    async def ask(session: aiohttp.ClientSession, path: str) -> str:
        async with session.get(path) as response:
            return await response.text()

    async with application(stage, handler) as port, browsing(stage, port) as session:
        return [*await asyncio.gather(*(ask(session, f"/{number}") for number in range(5))), len(seen)]


@situation
async def idle_connection_expires_on_the_server(stage: Stage) -> Observations:
    seen: set[tuple[str, int]] = set()

    async def handler(request: web.Request) -> web.Response:
        seen.add(_connection(request))
        return web.Response(text="hello")

    async with application(stage, handler, keepalive_timeout=0.1) as port, connected(stage, port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await reader.read()
        async with browsing(stage, port) as session:
            for _ in range(2):
                async with session.get("/") as response:
                    await response.read()
                await asyncio.sleep(0.3)
        return [answer.split(b"\r\n")[0].decode(), len(seen)]


@situation
async def idle_connection_expires_on_the_client(stage: Stage) -> Observations:
    seen: set[tuple[str, int]] = set()

    async def handler(request: web.Request) -> web.Response:
        seen.add(_connection(request))
        return web.Response(text="hello")

    async with application(stage, handler) as port:
        connector = aiohttp.TCPConnector(keepalive_timeout=0.1)
        async with browsing(stage, port, connector=connector) as session:
            for _ in range(2):
                async with session.get("/") as response:
                    await response.read()
                await asyncio.sleep(0.3)
        return [len(seen)]


@situation
async def pipelined_requests_are_answered_in_order(stage: Stage) -> Observations:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=request.path)

    async with application(stage, handler) as port, connected(stage, port) as (reader, writer):
        writer.writelines(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(3))
        seen: Observations = []
        for _ in range(3):
            await reader.readuntil(HEAD_END)
            seen.append(repr(await reader.readexactly(2)))
        return seen


async def _echo_body(request: web.Request) -> web.Response:
    return web.Response(body=await request.read(), headers={"X-Chunked": str(request.headers.get("Transfer-Encoding"))})


def _big_echo(chunked_up: bool, chunked_down: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(_BIG), 100_001):
            yield _BIG[start : start + 100_001]

    async def handler(request: web.Request) -> web.StreamResponse:
        received = hashlib.sha256()
        async for piece in request.content.iter_any():
            received.update(piece)
        response = web.StreamResponse(headers={"X-Received": received.hexdigest()[:16]})
        if chunked_down:
            response.enable_chunked_encoding()
        else:
            response.content_length = len(_BIG)
        await response.prepare(request)
        async for piece in chunks():
            await response.write(piece)
        return response

    async def play(stage: Stage) -> Observations:
        async with (
            application(stage, handler) as port,
            browsing(stage, port) as session,
            session.post("/", data=chunks() if chunked_up else _BIG) as response,
        ):
            return [
                response.status,
                response.headers["X-Received"],
                str(response.headers.get("Transfer-Encoding")),
                _digest(await response.read()),
            ]

    kinds = {True: "chunked", False: "with_length"}
    enter(f"4_mib_{kinds[chunked_up]}_up_{kinds[chunked_down]}_down", play)


for _up in (False, True):
    for _down in (False, True):
        _big_echo(_up, _down)


@situation
async def slow_reader_gets_a_big_body(stage: Stage) -> Observations:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=_BIG)

    async with (
        application(stage, handler) as port,
        browsing(stage, port) as session,
        session.get("/") as response,
    ):
        await stage.settle()
        body = b""
        async for piece in response.content.iter_chunked(1 << 20):
            body += piece
            await stage.settle()
        return [_digest(body)]


@situation
async def compressed_body_goes_both_ways(stage: Stage) -> Observations:
    async def handler(request: web.Request) -> web.Response:
        response = web.Response(body=await request.read())
        response.enable_compression()
        return response

    async with (
        application(stage, handler) as port,
        browsing(stage, port) as session,
        session.post("/", data=_BIG[:100_000], compress="deflate") as response,
    ):
        return [str(response.headers.get("Content-Encoding")), _digest(await response.read())]


@situation
async def file_response(stage: Stage) -> Observations:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big"
        path.write_bytes(_BIG)

        async def handler(request: web.Request) -> web.StreamResponse:
            return web.FileResponse(path)

        async with application(stage, handler) as port, browsing(stage, port) as session:
            async with session.get("/") as response:
                whole = _digest(await response.read())
            async with session.get("/", headers={"Range": "bytes=10-19"}) as response:
                return [whole, response.status, _digest(await response.read())]


@situation
async def expect_100_continue(stage: Stage) -> Observations:
    async with (
        application(stage, _echo_body) as port,
        browsing(stage, port) as session,
        session.post("/", data=b"hello", expect100=True) as response,
    ):
        return [response.status, repr(await response.read())]


@situation
async def expect_100_continue_waits_for_the_server(stage: Stage) -> Observations:
    seen: Observations = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(HEAD_END)
        body = asyncio.ensure_future(reader.readexactly(5))
        await stage.settle()
        seen.append(int(body.done()))
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        seen.append(await outcome(body))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with (
        scripted_server(stage, script) as port,
        browsing(stage, port) as session,
        session.post("/", data=b"hello", expect100=True) as response,
    ):
        return [response.status, *seen]


async def _garbage(stage: Stage, *, sent: bytes) -> Observations:
    async with application(stage, _echo_body) as port, connected(stage, port) as (reader, writer):
        writer.write(sent)
        answer = await reader.read()
        return [answer.split(b"\r\n")[0].decode()]


enter("server_answers_garbage", functools.partial(_garbage, sent=b"\x16\x03\x01 hello\r\n\r\n"))
enter(
    "server_answers_too_long_a_header",
    functools.partial(_garbage, sent=b"GET / HTTP/1.1\r\nHost: " + b"x" * 9000 + b"\r\n\r\n"),
)


@situation
async def client_gets_garbage(stage: Stage) -> Observations:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(HEAD_END)
        writer.write(b"SSH-2.0-hello\r\n\r\n")

    async with scripted_server(stage, script) as port, browsing(stage, port) as session:
        return [await outcome(session.post("/"))]


@situation
async def handler_that_raises_is_a_500_and_keeps_the_connection_usable(stage: Stage) -> Observations:
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/bad":
            raise RuntimeError("on purpose")
        return web.Response(text="good")

    async with application(stage, handler) as port, browsing(stage, port) as session:
        statuses: Observations = []
        for path in ("/good", "/bad", "/good"):
            async with session.get(path) as response:
                await response.read()
                statuses.append(response.status)
        return statuses


@situation
async def handler_knows_the_names_of_the_connection(stage: Stage) -> Observations:
    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername")
        return web.json_response([request.remote == peer[0], request.transport.get_extra_info("sockname")[1]])

    async with (
        application(stage, handler) as port,
        browsing(stage, port) as session,
        session.get("/") as response,
    ):
        remote_is_peer, local_port = await response.json()
        return [int(remote_is_peer), int(local_port == port)]
