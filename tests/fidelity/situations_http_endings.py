"""HTTP exchanges that one side ends on purpose: timeouts, cancellation, shutdown of the server, closed sessions."""

from __future__ import annotations

import asyncio
import functools

from aiohttp import ClientTimeout, web

from .servers import HEAD_END, application, browsing, connected, port_of, scripted_server, start_application
from .stage import Observations, Stage, describe, enter, outcome, situation


async def _timed_out(stage: Stage, *, limits: ClientTimeout, in_body: bool) -> Observations:
    """The server sends nothing, or half a body, and then nothing any more."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(HEAD_END)
        if in_body:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
        handled.append(await outcome(reader.read()))

    handled: Observations = []
    async with scripted_server(stage, script) as port:
        async with browsing(stage, port, timeout=limits) as session:
            try:
                async with session.post("/") as response:
                    seen: Observations = [response.status, await outcome(response.read())]
            except Exception as error:
                seen = ["no response", describe(error)]
            await stage.settle()
        return seen + handled


for _name, _limits in {"total": ClientTimeout(total=0.1), "sock_read": ClientTimeout(None, sock_read=0.1)}.items():
    for _in_body in (False, True):
        enter(
            f"{_name}_timeout_{'inside_body' if _in_body else 'before_headers'}",
            functools.partial(_timed_out, limits=_limits, in_body=_in_body),
        )


@situation
async def sock_read_timeout_is_per_read(stage: Stage) -> Observations:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(HEAD_END)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        for _ in range(4):
            await asyncio.sleep(0.15)
            writer.write(b"x")

    async with (
        scripted_server(stage, script) as port,
        browsing(stage, port, timeout=ClientTimeout(None, sock_read=0.4)) as session,
        session.get("/") as response,
    ):
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

    async with (
        application(stage, handler, handler_cancellation=cancellation) as port,
        browsing(stage, port) as session,
    ):
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


async def _echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


@situation
async def shutdown_closes_idle_connections_and_refuses_new_ones(stage: Stage) -> Observations:
    runner = await start_application(stage, _echo)
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
    runner = await start_application(stage, _echo, shutdown_timeout=0.1)
    async with connected(stage, port_of(runner)) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234")
        await stage.settle()
        await stage.on_server(runner.cleanup())
        return [await outcome(reader.read())]


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
