"""HTTP cut short: every point of an exchange where a connection can end, by FIN and by RST, from either side.

One end is an unmodified aiohttp client or server, the other a script of raw bytes that stops at the chosen point.
"""

from __future__ import annotations

import asyncio
import functools

from aiohttp import ClientSession, web

from .servers import HEAD_END, application, browsing, connected, scripted_server
from .stage import Observations, Stage, cut, describe, enter, outcome

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"

# What the scripted server sends before it cuts.
_RESPONSES = {
    "before_headers": b"",
    "inside_status_line": b"HTTP/1.1 2",
    "inside_headers": _HEAD[:-9],
    "after_headers": _HEAD,
    "inside_body": _HEAD + b"01234",
    "after_body": _HEAD + b"0123456789",
    "chunked_after_headers": _CHUNKED,
    "chunked_inside_chunk": _CHUNKED + b"5\r\nhel",
    "chunked_between_chunks": _CHUNKED + b"5\r\nhello\r\n",
    "chunked_after_end": _CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    "inside_body_without_length": _UNTIL_CLOSE + b"hello",
}


async def _exchange(session: ClientSession, method: str) -> Observations:
    """Status and body of one request, or where it failed and how."""
    try:
        response = await session.request(method, "/")
    except Exception as error:
        return ["no response", describe(error)]
    async with response:
        return [response.status, await outcome(response.read())]


async def _response_is_cut(stage: Stage, *, sent: bytes, how: str, method: str, at_once: bool) -> Observations:
    requests: Observations = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append((await reader.readuntil(HEAD_END)).split()[0].decode())
        writer.write(sent)
        if not at_once:
            await stage.settle()
        cut(writer, how)

    async with scripted_server(stage, script) as port, browsing(stage, port) as session:
        seen = await _exchange(session, method)
        for _ in range(2):  # the server settles as well before it cuts
            await stage.settle()
        return [*seen, *await _exchange(session, method), *requests]


for _point, _sent in _RESPONSES.items():
    for _how in ("FIN", "RST"):
        enter(
            f"response_cut_{_point}_by_{_how}",
            functools.partial(_response_is_cut, sent=_sent, how=_how, method="POST", at_once=False),
        )
for _point in ("before_headers", "inside_headers", "inside_body", "after_body"):
    for _how in ("FIN", "RST"):
        enter(
            f"response_cut_{_point}_at_once_by_{_how}",
            functools.partial(_response_is_cut, sent=_RESPONSES[_point], how=_how, method="POST", at_once=True),
        )
for _how in ("FIN", "RST"):
    enter(
        f"response_to_idempotent_request_cut_before_headers_by_{_how}",
        functools.partial(_response_is_cut, sent=b"", how=_how, method="GET", at_once=False),
    )


async def _second_response_is_cut(stage: Stage, *, how: str, method: str) -> Observations:
    """A kept-alive connection ends where the second request is under way: aiohttp asks again if it may."""
    connections: Observations = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(len(connections))
        await reader.readuntil(HEAD_END)
        writer.write(_HEAD + b"0123456789")
        await reader.readuntil(HEAD_END)
        await stage.settle()
        cut(writer, how)

    async with scripted_server(stage, script) as port, browsing(stage, port) as session:
        return [*await _exchange(session, method), *await _exchange(session, method), *connections]


for _method in ("GET", "POST"):
    for _how in ("FIN", "RST"):
        enter(
            f"second_response_to_{_method}_cut_by_{_how}",
            functools.partial(_second_response_is_cut, how=_how, method=_method),
        )


async def _idle_connection_is_cut(stage: Stage, *, how: str) -> Observations:
    connections: Observations = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(len(connections))
        await reader.readuntil(HEAD_END)
        writer.write(_HEAD + b"0123456789")
        await stage.settle()
        cut(writer, how)

    async with scripted_server(stage, script) as port, browsing(stage, port) as session:
        seen: Observations = []
        for _ in range(2):
            seen += await _exchange(session, "POST")
            await stage.settle()
            await stage.settle()
        return seen + connections


for _how in ("FIN", "RST"):
    enter(f"idle_connection_cut_by_{_how}", functools.partial(_idle_connection_is_cut, how=_how))


async def _upload_is_cut(stage: Stage, *, read_bytes: int, how: str) -> Observations:
    """The server ends while most of a big request body still waits in buffers of both ends."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(HEAD_END)
        await reader.readexactly(read_bytes)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await stage.settle()
        cut(writer, how)

    async with scripted_server(stage, script) as port, browsing(stage, port) as session:
        return [await outcome(session.post("/", data=b"x" * (16 << 20)))]


for _how in ("FIN", "RST"):
    enter(f"upload_cut_before_body_by_{_how}", functools.partial(_upload_is_cut, read_bytes=0, how=_how))
    enter(f"upload_cut_inside_body_by_{_how}", functools.partial(_upload_is_cut, read_bytes=1 << 20, how=_how))


# What the scripted client sends before it cuts, and how the handler takes it.
_REQUEST = b"POST /it HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
_CHUNKED_REQUEST = b"POST /it HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
_REQUESTS = {
    "before_anything": b"",
    "inside_request_line": b"POST /it HT",
    "inside_headers": _REQUEST[:-9],
    "after_headers": _REQUEST,
    "inside_body": _REQUEST + b"01234",
    "chunked_inside_chunk": _CHUNKED_REQUEST + b"5\r\nhel",
    "chunked_between_chunks": _CHUNKED_REQUEST + b"5\r\nhello\r\n",
}


async def _request_is_cut(stage: Stage, *, sent: bytes, how: str) -> Observations:
    handled: Observations = []

    async def handler(request: web.Request) -> web.Response:
        handled.append(request.path)
        handled.append(await outcome(request.read()))
        return web.Response(text="read")

    async with application(stage, handler) as port:
        async with connected(stage, port) as (_, writer):
            writer.write(sent)
            await stage.settle()
            cut(writer, how)
            await stage.settle()
        return handled


for _point, _sent in _REQUESTS.items():
    for _how in ("FIN", "RST"):
        enter(f"request_cut_{_point}_by_{_how}", functools.partial(_request_is_cut, sent=_sent, how=_how))


async def _client_half_closes(stage: Stage, *, sent: bytes) -> Observations:
    """The client says that it is done writing, and waits for an answer: asyncio's servers hang up on that."""
    handled: Observations = []

    async def handler(request: web.Request) -> web.Response:
        handled.append(await outcome(request.read()))
        return web.Response(text="read")

    async with application(stage, handler) as port, connected(stage, port) as (reader, writer):
        writer.write(sent)
        await stage.settle()
        writer.write_eof()
        await stage.settle()
        answer = await reader.read()
        return [*handled, answer.split(b"\r\n")[0].decode(), int(answer.endswith(b"read"))]


for _point, _sent in {**_REQUESTS, "after_request": _REQUEST + b"0123456789"}.items():
    enter(f"client_half_closes_{_point}", functools.partial(_client_half_closes, sent=_sent))


async def _client_leaves_a_working_handler(
    stage: Stage, *, how: str, cancellation: bool, then_streams: bool
) -> Observations:
    handled: Observations = []
    release = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        try:
            await release.wait()
        except asyncio.CancelledError:
            handled.append("cancelled")
            raise
        handled.append("went on")
        if not then_streams:
            return web.Response(text="late")
        response = web.StreamResponse()
        handled.append(await outcome(_nothing(response.prepare(request))))
        handled.append(await outcome(response.write(b"late")))
        return response

    async with application(stage, handler, handler_cancellation=cancellation) as port:
        async with connected(stage, port) as (_, writer):
            writer.write(_REQUEST + b"0123456789")
            await stage.settle()
            cut(writer, how)
            await stage.settle()
            handled.append("gone")
            release.set()
            await stage.settle()
        return handled


async def _nothing(coroutine: object) -> None:
    await coroutine  # type: ignore[misc]


for _how in ("FIN", "RST"):
    enter(
        f"client_leaves_by_{_how}_and_cancels_the_handler",
        functools.partial(_client_leaves_a_working_handler, how=_how, cancellation=True, then_streams=False),
    )
    enter(
        f"client_leaves_by_{_how}_and_the_handler_goes_on",
        functools.partial(_client_leaves_a_working_handler, how=_how, cancellation=False, then_streams=False),
    )
    enter(
        f"client_left_by_{_how}_before_the_handler_streams",
        functools.partial(_client_leaves_a_working_handler, how=_how, cancellation=False, then_streams=True),
    )


async def _client_leaves_a_stream(stage: Stage, *, how: str, cancellation: bool) -> Observations:
    """Server-sent events: the client has read one event and goes; the handler sends more, one at a time."""
    handled: Observations = []
    more = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        try:
            await more.wait()
            for number in (2, 3, 4):
                handled.append(await outcome(response.write(b"data: %d\n\n" % number)))
                await stage.settle()
        except asyncio.CancelledError:
            handled.append("cancelled")
            raise
        return response

    async with application(stage, handler, handler_cancellation=cancellation) as port:
        async with connected(stage, port) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            handled.append((await reader.readuntil(b"data: 1\n\n")).split(b"\r\n")[0].decode())
            cut(writer, how)
            await stage.settle()
            more.set()
            for _ in range(4):
                await stage.settle()
        return handled


for _how in ("FIN", "RST"):
    for _cancellation in (False, True):
        enter(
            f"event_stream_cut_by_{_how}_{'cancelling' if _cancellation else 'not_cancelling'}_the_handler",
            functools.partial(_client_leaves_a_stream, how=_how, cancellation=_cancellation),
        )
