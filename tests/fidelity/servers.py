"""Servers and clients that situations share: asyncio streams with a script, aiohttp applications, raw sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

from aiohttp import ClientSession, ClientTimeout, web

from .stage import Stage

Script: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Nothing in a situation takes this long; a client that waits for ever fails with it instead of hanging the suite.
PATIENCE = ClientTimeout(total=20)
HEAD_END = b"\r\n\r\n"


@contextlib.asynccontextmanager
async def scripted_server(stage: Stage, script: Script) -> AsyncIterator[int]:
    """A stream server that plays `script` for each connection; yields its port."""
    server = await stage.on_server(asyncio.start_server(script, stage.listen_host, 0))
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@contextlib.asynccontextmanager
async def protocol_server(stage: Stage, factory: Callable[[], asyncio.BaseProtocol]) -> AsyncIterator[int]:
    """A server of plain protocols; yields its port."""

    async def start() -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(factory, stage.listen_host, 0)

    server = await stage.on_server(start())
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@contextlib.asynccontextmanager
async def connected(stage: Stage, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A stream client; closed in the end."""
    reader, writer = await asyncio.open_connection(stage.host, port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def start_application(stage: Stage, handler: Handler, **options: Any) -> web.AppRunner:
    """Start an aiohttp application on the server's machine where `handler` answers everything."""

    async def start() -> web.AppRunner:
        application = web.Application()
        application.router.add_route("*", "/{rest:.*}", handler)
        runner = web.AppRunner(application, access_log=None, **options)
        await runner.setup()
        await web.TCPSite(runner, stage.listen_host, 0).start()
        return runner

    return await stage.on_server(start())


def port_of(runner: web.AppRunner) -> int:
    """The port an application listens on."""
    return int(runner.addresses[0][1])


@contextlib.asynccontextmanager
async def application(stage: Stage, handler: Handler, **options: Any) -> AsyncIterator[int]:
    """An aiohttp application; yields its port. Open requests are cut after a moment in the end."""
    runner = await start_application(stage, handler, shutdown_timeout=0.05, **options)
    try:
        yield port_of(runner)
    finally:
        await stage.on_server(runner.cleanup())


@contextlib.asynccontextmanager
async def browsing(stage: Stage, port: int, **options: Any) -> AsyncIterator[ClientSession]:
    """An aiohttp client session whose base address is the server's."""
    options.setdefault("timeout", PATIENCE)
    async with ClientSession(f"http://{stage.host}:{port}", **options) as session:
        yield session


def nonblocking() -> socket.socket:
    """A TCP socket that never blocks."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setblocking(False)
    return made


@contextlib.asynccontextmanager
async def listening(stage: Stage, *, backlog: int = 16) -> AsyncIterator[socket.socket]:
    """A raw listening socket on the server's machine."""

    async def listen() -> socket.socket:
        made = nonblocking()
        made.bind((stage.listen_host, 0))
        made.listen(backlog)
        return made

    listener = await stage.on_server(listen())
    try:
        yield listener
    finally:
        listener.close()


@contextlib.asynccontextmanager
async def socket_pair(stage: Stage) -> AsyncIterator[tuple[socket.socket, socket.socket]]:
    """Two connected raw sockets, the client's and the server's."""
    loop = asyncio.get_running_loop()
    async with listening(stage) as listener:
        with nonblocking() as client:
            await loop.sock_connect(client, (stage.host, listener.getsockname()[1]))
            server, _ = await stage.on_server(loop.sock_accept(listener))
            with server:
                yield client, server


@contextlib.asynccontextmanager
async def clogged(stage: Stage) -> AsyncIterator[int]:
    """The port of a listener that answers no more connections: its queue of one is full and nobody accepts."""
    async with listening(stage, backlog=0) as listener:
        address = (stage.host, listener.getsockname()[1])
        with contextlib.ExitStack() as fillers:
            for _ in range(2):
                filler = fillers.enter_context(nonblocking())
                connecting = asyncio.ensure_future(asyncio.get_running_loop().sock_connect(filler, address))
                fillers.callback(connecting.cancel)
            await stage.settle()
            yield address[1]
