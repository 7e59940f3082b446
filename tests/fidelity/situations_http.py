"""HTTP as it should go: keep-alive, bodies of every kind, 100-continue, timeouts, shutdown, WebSockets, event streams."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from aiohttp import ClientTimeout, WSMsgType, web

from .servers import HEAD_END, application, browsing, connected, port_of, scripted_server, start_application
from .stage import Observations, Stage, enter, outcome, reset, situation

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


async def _timed_out(stage: Stage, *, timeout: ClientTimeout, in_body: bool) -> Observations:
    """The server sends nothing, or half a body, and then nothing any more."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(HEAD_END)
        if in_body:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
        handled.append(await outcome(reader.read()))

    handled: Observations = []
    async with scripted_server(stage, script) as port:
        async with browsing(stage, port, timeout=timeout) as session:
            try:
                async with session.post("/") as response:
                    seen: Observations = [response.status, await outcome(response.read())]
            except Exception as error:
                seen = ["no response", await outcome(_raised(error))]
            await stage.settle()
        return seen + handled


async def _raised(error: Exception) -> None:
    raise error


for _name, _timeout in {"total": ClientTimeout(total=0.1), "sock_read": ClientTimeout(None, sock_read=0.1)}.items():
    for _in_body in (False, True):
        enter(
            f"{_name}_timeout_{'inside_body' if _in_body else 'before_headers'}",
            functools.partial(_timed_out, timeout=_timeout, in_body=_in_body),
        )


@situation
async def sock_read_timeout_is_per_read(stage: Stage) -> Observations:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(HEAD_END)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        for _ in range(4):
            await asyncio.sleep(0.15)
            writer.write(b"x")

    async with scripted_server(stage, script) as port:
        async with browsing(stage, port, timeout=ClientTimeout(None, sock_read=0.4)) as session:
            async with session.get("/") as response:
                return [response.status, await outcome(response.read())]


async def _abandoned(stage: Stage, *, cancellation: bool) -> Observations:
    """The client cancels its request while the handler works."""
    handled: Observations = []
    started, release = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        started.set()
        try:
            await release.wait()
        except asyncio.CancelledError:
            handled.append("cancelled")
            raise
        handled.append("finished")
        return web.Response()

    async with application(stage, handler, handler_cancellation=cancellation) as port:
        async with browsing(stage, port) as session:
            asking = asyncio.ensure_future(session.get("/"))
            await started.wait()
            asking.cancel()
            handled.append(await outcome(asking))
            await stage.settle()
            release.set()
            await stage.settle()
    return handled


enter("client_cancels_and_so_the_handler", functools.partial(_abandoned, cancellation=True))
enter("client_cancels_and_the_handler_goes_on", functools.partial(_abandoned, cancellation=False))


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
        async with application(stage, handler) as port, browsing(stage, port) as session:
            async with session.post("/", data=chunks() if chunked_up else _BIG) as response:
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

    async with application(stage, handler) as port, browsing(stage, port) as session:
        async with session.get("/") as response:
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

    async with application(stage, handler) as port, browsing(stage, port) as session:
        async with session.post("/", data=_BIG[:100_000], compress="deflate") as response:
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
    async with application(stage, _echo_body) as port, browsing(stage, port) as session:
        async with session.post("/", data=b"hello", expect100=True) as response:
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

    async with scripted_server(stage, script) as port, browsing(stage, port) as session:
        async with session.post("/", data=b"hello", expect100=True) as response:
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
async def shutdown_closes_idle_connections_and_refuses_new_ones(stage: Stage) -> Observations:
    runner = await start_application(stage, _echo_body)
    async with browsing(stage, port_of(runner)) as session, connected(stage, port_of(runner)) as (reader, writer):
        async with session.post("/", data=b"x") as response:
            await response.read()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(HEAD_END)
        await stage.settle()
        await stage.on_server(runner.cleanup())
        await stage.settle()
        return [await outcome(reader.read()), await outcome(session.post("/", data=b"x"))]


async def _shut_down_while_working(stage: Stage, *, patience_s: float, finishes: bool) -> Observations:
    """`runner.cleanup` while a handler works: it may finish within the shutdown timeout, and is cut after it."""
    handled: Observations = []
    seen: Observations = []
    started, release = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        started.set()
        try:
            await release.wait()
        except asyncio.CancelledError:
            handled.append("cancelled")
            raise
        handled.append("finished")
        return web.Response(text="done")

    runner = await start_application(stage, handler, shutdown_timeout=patience_s)
    port = port_of(runner)
    async with browsing(stage, port) as session:
        asking = asyncio.ensure_future(session.post("/"))
        await started.wait()
        stopping = stage.spawn(runner.cleanup())
        await stage.settle()
        seen.append(await outcome(asyncio.open_connection(stage.host, port)))
        if finishes:
            release.set()
            async with await asking as response:
                seen += [response.status, await response.text()]
        else:
            seen.append(await outcome(asking))
        await stopping
        return seen + handled


enter("shutdown_lets_a_request_finish", functools.partial(_shut_down_while_working, patience_s=10, finishes=True))
enter("shutdown_cuts_a_request", functools.partial(_shut_down_while_working, patience_s=0.1, finishes=False))


@situation
async def shutdown_closes_a_half_sent_request(stage: Stage) -> Observations:
    runner = await start_application(stage, _echo_body, shutdown_timeout=0.1)
    async with connected(stage, port_of(runner)) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234")
        await stage.settle()
        await stage.on_server(runner.cleanup())
        return [await outcome(reader.read())]


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
    async with application(stage, _echo_messages) as port, browsing(stage, port) as session:
        async with session.ws_connect("/") as socket:
            await socket.send_str("hello")
            seen: Observations = [repr((await socket.receive()).data)]
            await socket.send_bytes(_BIG[: 1 << 20])
            seen.append(_digest((await socket.receive()).data))
            await socket.ping()
            await socket.send_str("still here")
            return [*seen, repr((await socket.receive()).data)]


@situation
async def websocket_closed_by_the_server(stage: Stage) -> Observations:
    async with application(stage, _echo_messages) as port, browsing(stage, port) as session:
        async with session.ws_connect("/") as socket:
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

    async with application(stage, handler) as port, browsing(stage, port) as session:
        async with session.ws_connect("/", heartbeat=0.2) as socket:
            message = await socket.receive()
            release.set()
            return [message.type.name, type(message.data).__name__, str(socket.close_code)]


@situation
async def websocket_receive_timeout(stage: Stage) -> Observations:
    async with application(stage, _echo_messages) as port, browsing(stage, port) as session:
        async with session.ws_connect("/") as socket:
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

    async with application(stage, handler) as port, browsing(stage, port) as session:
        async with session.get("/") as response:
            seen: Observations = []
            for number in (1, 2, 3):
                turn.put_nowait(number)
                seen.append(await outcome(response.content.readuntil(b"\n\n")))
            turn.put_nowait(0)
            return [*seen, await outcome(response.read())]


@situation
async def handler_knows_the_names_of_the_connection(stage: Stage) -> Observations:
    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername")
        return web.json_response([request.remote == peer[0], request.transport.get_extra_info("sockname")[1]])

    async with application(stage, handler) as port, browsing(stage, port) as session:
        async with session.get("/") as response:
            remote_is_peer, local_port = await response.json()
            return [int(remote_is_peer), int(local_port == port)]


@situation
async def closed_session_closes_its_connections(stage: Stage) -> Observations:
    ended: asyncio.Future[str | int] = asyncio.get_running_loop().create_future()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(HEAD_END)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        ended.set_result(await outcome(reader.read()))

    async with scripted_server(stage, script) as port:
        async with browsing(stage, port) as session:
            async with session.post("/") as response:
                await response.read()
            await stage.settle()
            seen: Observations = [int(ended.done())]
        return [*seen, await ended, await outcome(session.post("/"))]


@situation
async def response_left_unread_closes_the_connection(stage: Stage) -> Observations:
    sent: asyncio.Future[str | int] = asyncio.get_running_loop().create_future()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)

        async def endless() -> None:
            while True:
                await response.write(b"x" * 100_000)

        sent.set_result(await outcome(endless()))
        return response

    async with application(stage, handler) as port, browsing(stage, port) as session:
        response = await session.get("/")
        await stage.settle()
        response.close()
        return [await sent]
