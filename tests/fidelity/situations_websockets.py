"""Long-lived HTTP connections: WebSockets (echo, close, loss, heartbeat) and server-sent events."""

from __future__ import annotations

import asyncio
import functools

from aiohttp import WSMsgType, web

from .servers import application, browsing
from .stage import Observations, Stage, enter, outcome, reset, situation

_MEBIBYTE = bytes(range(256)) * (1 << 12)


async def _echo_messages(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.data == "bye":
            await socket.close(code=4000, message=b"bye")
        elif message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


@situation
async def websocket_echoes(stage: Stage) -> Observations:
    async with (
        application(stage, _echo_messages) as port,
        browsing(stage, port) as session,
        session.ws_connect("/") as socket,
    ):
        await socket.send_str("hello")
        seen: Observations = [repr((await socket.receive()).data)]
        await socket.send_bytes(_MEBIBYTE)
        seen.append(int((await socket.receive()).data == _MEBIBYTE))
        await socket.ping()
        await socket.send_str("still here")
        return [*seen, repr((await socket.receive()).data)]


@situation
async def websocket_closed_by_the_server(stage: Stage) -> Observations:
    async with (
        application(stage, _echo_messages) as port,
        browsing(stage, port) as session,
        session.ws_connect("/") as socket,
    ):
        await socket.send_str("bye")
        message = await socket.receive()
        return [message.type.name, repr(message.data), str(message.extra), str(socket.close_code)]


@situation
async def websocket_closed_by_the_client(stage: Stage) -> Observations:
    closed: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def handler(request: web.Request) -> web.WebSocketResponse:
        socket = await _echo_messages(request)
        closed.set_result(socket.close_code)
        return socket

    async with application(stage, handler) as port, browsing(stage, port) as session:
        async with session.ws_connect("/") as socket:
            await socket.close(code=4001)
        return [str(await closed), str(socket.close_code)]


async def _websocket_lost_by_server(stage: Stage, *, how: str) -> Observations:
    """The client's end of the connection ends without a closing handshake: what the handler sees."""
    seen: asyncio.Future[Observations] = asyncio.get_running_loop().create_future()

    async def handler(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        try:
            message = await socket.receive()
        except asyncio.CancelledError:
            seen.set_result(["cancelled"])
            raise
        seen.set_result([message.type.name, str(socket.close_code), await outcome(socket.send_str("late"))])
        return socket

    async with application(stage, handler) as port, browsing(stage, port) as session:
        socket = await session.ws_connect("/")
        await stage.settle()
        transport = socket._response.connection.transport  # type: ignore[union-attr]
        assert transport is not None
        if how == "RST":
            reset(transport)
        else:
            transport.close()
        return await seen


for _how in ("FIN", "RST"):
    enter(f"websocket_handler_loses_its_client_by_{_how}", functools.partial(_websocket_lost_by_server, how=_how))


async def _websocket_lost_by_client(stage: Stage, *, how: str) -> Observations:
    async def handler(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        assert request.transport is not None
        if how == "RST":
            reset(request.transport)
        else:
            request.transport.close()
        return socket

    async with application(stage, handler) as port, browsing(stage, port) as session:
        socket = await session.ws_connect("/")
        await socket.send_str("go")
        message = await socket.receive()
        return [message.type.name, await outcome(socket.send_str("late")), str(socket.close_code)]


for _how in ("FIN", "RST"):
    enter(f"websocket_client_loses_its_server_by_{_how}", functools.partial(_websocket_lost_by_client, how=_how))


@situation
async def websocket_heartbeat_finds_a_silent_server(stage: Stage) -> Observations:
    release = asyncio.Event()

    async def handler(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        await release.wait()
        return socket

    async with (
        application(stage, handler) as port,
        browsing(stage, port) as session,
        session.ws_connect("/", heartbeat=0.2) as socket,
    ):
        message = await socket.receive()
        release.set()
        return [message.type.name, type(message.data).__name__, str(socket.close_code)]


@situation
async def websocket_receive_timeout(stage: Stage) -> Observations:
    async with (
        application(stage, _echo_messages) as port,
        browsing(stage, port) as session,
        session.ws_connect("/") as socket,
    ):
        return [await outcome(socket.receive(timeout=0.1))]


@situation
async def event_stream_arrives_event_by_event(stage: Stage) -> Observations:
    turn = asyncio.Queue[int]()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while number := await turn.get():
            await response.write(b"data: %d\n\n" % number)
        return response

    async with (
        application(stage, handler) as port,
        browsing(stage, port) as session,
        session.get("/") as response,
    ):
        seen: Observations = []
        for number in (1, 2, 3):
            turn.put_nowait(number)
            seen.append(await outcome(response.content.readuntil(b"\n\n")))
        turn.put_nowait(0)
        return [*seen, await outcome(response.read())]
