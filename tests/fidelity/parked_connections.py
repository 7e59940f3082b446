"""More ways in which a program can have work parked: behind connections, servers, handlers and clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import ClientError, ClientSession, web

from .parked_work import DUE_S, HOST, PORT, Life, way


async def _ask() -> None:
    """Connect, and say something now and then; being cut off is no surprise."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection(HOST, PORT)
        try:
            await asyncio.sleep(DUE_S)
            for _ in range(5):
                writer.write(b"now\n")
                await writer.drain()
                await asyncio.sleep(0.1)
            await reader.read()
        finally:
            writer.close()


@way(_ask)
async def protocol(life: Life) -> None:
    class Server(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            life.act("data")

        def connection_lost(self, error: Exception | None) -> None:
            life.act("lost")

    await asyncio.get_running_loop().create_server(Server, "0.0.0.0", PORT)


@way(_ask)
async def stream_handler(life: Life) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await life.work(reader.readline())
        writer.write(b"served")

    await asyncio.start_server(serve, "0.0.0.0", PORT)


@way(_ask)
async def raw_socket(life: Life) -> None:
    loop = asyncio.get_running_loop()
    listener = socket.socket()
    listener.setblocking(False)
    listener.bind(("0.0.0.0", PORT))
    listener.listen()
    connection, _ = await loop.sock_accept(listener)
    await life.work(loop.sock_recv(connection, 99))


async def _knock() -> None:
    """Connect only when the machine is long dead."""
    await asyncio.sleep(DUE_S)
    with contextlib.suppress(OSError):
        (await asyncio.open_connection(HOST, PORT))[1].close()


@way(_knock)
async def listener(life: Life) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        life.act()

    await asyncio.start_server(serve, "0.0.0.0", PORT)


async def _request() -> None:
    async with ClientSession() as session:
        with contextlib.suppress(OSError, ClientError):
            async with session.post(f"http://{HOST}:{PORT}/", data=b"x") as response:
                await response.read()


async def _serve(application: web.Application, **options: Any) -> None:
    runner = web.AppRunner(application, access_log=None, **options)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", PORT).start()


def _application(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.Application:
    application = web.Application()
    application.router.add_post("/", handler)
    return application


@way(_request)
async def http_handler(life: Life) -> None:
    async def handler(request: web.Request) -> web.Response:
        await life.work()
        return web.Response(text="late")

    await _serve(_application(handler))


@way(_request)
async def http_handler_that_wants_to_be_cancelled(life: Life) -> None:
    async def handler(request: web.Request) -> web.Response:
        await life.work()
        return web.Response(text="late")

    await _serve(_application(handler), handler_cancellation=True)


@way(_request)
async def http_stream(life: Life) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(15):
            await response.write(b"tick\n")
            await asyncio.sleep(0.1)
        life.act()
        return response

    await _serve(_application(handler))


@way()
async def http_background_task(life: Life) -> None:
    async def in_the_background(application: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(life.work())
        try:
            yield
            task.cancel()
        finally:
            life.act("clean-up")

    application = web.Application()
    application.cleanup_ctx.append(in_the_background)
    await _serve(application)


@way()
async def http_cleanup(life: Life) -> None:
    async def clean_up(application: web.Application) -> None:
        life.act("clean-up")

    application = web.Application()
    application.on_cleanup.append(clean_up)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", PORT).start()
    try:
        await asyncio.sleep(DUE_S)
    finally:
        await runner.cleanup()


async def _answer_late() -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(DUE_S)
        return web.Response(text="late")

    application = _application(handler)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", PORT + 1).start()


@way(_answer_late)
async def http_client(life: Life) -> None:
    await asyncio.sleep(0.3)  # until the visitor serves
    async with ClientSession() as session, session.post(f"http://harness:{PORT + 1}/") as response:
        await life.work(response.read())


@way()
async def connection_that_is_being_made(life: Life) -> None:
    # Nobody has this address, so no answer ever comes; the power is lost while the first SYN waits for its repetition.
    try:
        await asyncio.wait_for(asyncio.open_connection("10.9.9.9", 1), DUE_S)
    except OSError:
        life.act()


@way()
async def blocked_writer(life: Life) -> None:
    async def swallow_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(DUE_S)
        await reader.read()
        writer.close()

    # The reader is part of the same machine, so nothing but the machine's own callbacks moves this connection on.
    await asyncio.start_server(swallow_late, "127.0.0.1", PORT)
    _, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(b"x" * (16 << 20))
    await life.work(writer.drain())
