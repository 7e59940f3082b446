"""Connecting: refused, unknown, unanswered; the listener's queue; ports and their reuse; names of the two ends."""

from __future__ import annotations

import asyncio
import socket

import aiohttp
from aiohttp import ClientSession, ClientTimeout, web

from .servers import (
    application,
    browsing,
    clogged,
    connected,
    listening,
    nonblocking,
    scripted_server,
)
from .stage import LINGER_ZERO, UNKNOWN_HOST, Observations, Stage, attempt, enter, outcome, reset, situation


async def _free_port(stage: Stage) -> int:
    async with listening(stage) as listener:
        return int(listener.getsockname()[1])


@situation
async def connect_refused(stage: Stage) -> Observations:
    port = await _free_port(stage)
    with nonblocking() as raw:
        return [
            await outcome(asyncio.open_connection(stage.host, port)),
            await outcome(asyncio.get_running_loop().sock_connect(raw, (stage.host, port))),
        ]


@situation
async def http_connect_refused(stage: Stage) -> Observations:
    async with browsing(stage, await _free_port(stage)) as session:
        return [await outcome(session.get("/")), await outcome(session.post("/", data=b"x"))]


@situation
async def unknown_host(stage: Stage) -> Observations:
    loop = asyncio.get_running_loop()
    return [
        await outcome(asyncio.open_connection(UNKNOWN_HOST, 80)),
        await outcome(loop.getaddrinfo(UNKNOWN_HOST, 80, type=socket.SOCK_STREAM)),
    ]


@situation
async def http_unknown_host(stage: Stage) -> Observations:
    async with ClientSession() as session:
        return [await outcome(session.get(f"http://{UNKNOWN_HOST}:80/"))]


@situation
async def names_resolve_to_stream_addresses(stage: Stage) -> Observations:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(stage.host, 80, family=socket.AF_INET, type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = found[0]
    return [len(found), int(family), int(kind), protocol, len(address), int(address[1]), type(address[0]).__name__]


def _unanswered(timeout: ClientTimeout) -> None:
    """Enter a situation where the listener's queue is full and an aiohttp client has `timeout`."""
    limit = next(name for name in ("total", "connect", "sock_connect") if getattr(timeout, name) is not None)

    async def play(stage: Stage) -> Observations:
        async with clogged(stage) as port, browsing(stage, port, timeout=timeout) as session:
            return [await outcome(session.get("/"))]

    enter(f"http_unanswered_connect_hits_{limit}_timeout", play)


_unanswered(ClientTimeout(total=0.1))
_unanswered(ClientTimeout(total=None, connect=0.1))
_unanswered(ClientTimeout(total=None, sock_connect=0.1))


@situation
async def unanswered_connect_times_out(stage: Stage) -> Observations:
    async with clogged(stage) as port:
        return [await outcome(asyncio.wait_for(asyncio.open_connection(stage.host, port), 0.1))]


@situation
async def unanswered_connect_can_be_cancelled(stage: Stage) -> Observations:
    async with clogged(stage) as port:
        connecting = asyncio.ensure_future(asyncio.open_connection(stage.host, port))
        await stage.settle()
        connecting.cancel()
        return [await outcome(connecting)]


@situation
async def listener_that_closes_refuses_an_unanswered_connect(stage: Stage) -> Observations:
    # The refusal comes when the client asks again (a second later on Linux), not when the listener closes.
    async with clogged(stage) as port:
        connecting = asyncio.ensure_future(asyncio.open_connection(stage.host, port))
        await stage.settle()
    return [await outcome(connecting)]


@situation
async def pool_exhaustion_hits_connect_timeout(stage: Stage) -> Observations:
    release = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response(text="late")

    async with (
        application(stage, handler) as port,
        browsing(stage, port, timeout=ClientTimeout(connect=0.1), connector=aiohttp.TCPConnector(limit=1)) as session,
    ):
        first = asyncio.ensure_future(session.get("/"))
        await stage.settle()
        second = await outcome(session.get("/"))
        release.set()
        return [second, (await first).status]


@situation
async def queued_connection_that_closed_is_still_accepted(stage: Stage) -> Observations:
    loop = asyncio.get_running_loop()
    async with listening(stage) as listener:
        with nonblocking() as client:
            await loop.sock_connect(client, (stage.host, listener.getsockname()[1]))
            await loop.sock_sendall(client, b"hello")
        await stage.settle()
        server, _ = await stage.on_server(loop.sock_accept(listener))
        with server:
            return [await outcome(loop.sock_recv(server, 99)), await outcome(loop.sock_recv(server, 99))]


@situation
async def queued_connection_that_was_reset_is_still_accepted(stage: Stage) -> Observations:
    loop = asyncio.get_running_loop()
    async with listening(stage) as listener:
        with nonblocking() as client:
            await loop.sock_connect(client, (stage.host, listener.getsockname()[1]))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        await stage.settle()
        server, _ = await stage.on_server(loop.sock_accept(listener))
        with server:
            return [attempt(server.getpeername), attempt(server.recv, 9), attempt(server.recv, 9)]


@situation
async def listener_that_closes_resets_its_queue(stage: Stage) -> Observations:
    loop = asyncio.get_running_loop()
    with nonblocking() as client:
        async with listening(stage) as listener:
            address = (stage.host, listener.getsockname()[1])
            await loop.sock_connect(client, address)
            await loop.sock_sendall(client, b"hello")
            await stage.settle()
        await stage.settle()
        with nonblocking() as late:
            return [await outcome(loop.sock_recv(client, 99)), await outcome(loop.sock_connect(late, address))]


@situation
async def connection_is_usable_before_it_is_accepted(stage: Stage) -> Observations:
    loop = asyncio.get_running_loop()
    async with listening(stage) as listener:
        with nonblocking() as client:
            await loop.sock_connect(client, (stage.host, listener.getsockname()[1]))
            await loop.sock_sendall(client, b"early")
            await stage.settle()
            server, peer = await stage.on_server(loop.sock_accept(listener))
            with server:
                return [await outcome(loop.sock_recv(server, 99)), int(peer == client.getsockname())]


@situation
async def queue_is_accepted_in_the_order_of_connecting(stage: Stage) -> Observations:
    loop = asyncio.get_running_loop()
    async with listening(stage) as listener:
        with nonblocking() as first, nonblocking() as second:
            for client in (first, second):
                await loop.sock_connect(client, (stage.host, listener.getsockname()[1]))
                await stage.settle()
            ports = [client.getsockname()[1] for client in (first, second)]
            accepted = [await stage.on_server(loop.sock_accept(listener)) for _ in ports]
            for server, _ in accepted:
                server.close()
            return [int([peer[1] for _, peer in accepted] == ports)]


@situation
async def accept_waits_for_a_connection(stage: Stage) -> Observations:
    loop = asyncio.get_running_loop()
    async with listening(stage) as listener:
        accepting = stage.spawn(loop.sock_accept(listener))
        await stage.settle()
        seen: Observations = [int(accepting.done())]
        with nonblocking() as client:
            await loop.sock_connect(client, (stage.host, listener.getsockname()[1]))
            server, _ = await accepting
            with server:
                return [*seen, int(server.getblocking()), attempt(server.recv, 9)]


@situation
async def port_in_use(stage: Stage) -> Observations:
    async def idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with scripted_server(stage, idle) as port:

        async def bind() -> str | int:
            with nonblocking() as raw:
                return attempt(raw.bind, (stage.listen_host, port))

        return [
            await outcome(stage.on_server(asyncio.start_server(idle, stage.listen_host, port))),
            await stage.on_server(bind()),
        ]


@situation
async def port_is_free_again_after_close(stage: Stage) -> Observations:
    greetings: Observations = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    port = 0
    for _ in range(3):
        server = await stage.on_server(asyncio.start_server(greet, stage.listen_host, port))
        port = server.sockets[0].getsockname()[1]
        async with connected(stage, port) as (reader, _):
            greetings.append(await outcome(reader.read()))
        server.close()
    return greetings


@situation
async def port_is_free_again_while_old_connections_live(stage: Stage) -> Observations:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    async with scripted_server(stage, echo) as port, connected(stage, port) as (reader, writer):
        writer.write(b"one\n")
        seen = [await outcome(reader.readline())]
    server = await stage.on_server(asyncio.start_server(echo, stage.listen_host, port))
    async with connected(stage, port) as (late_reader, late_writer):
        late_writer.write(b"three\n")
        seen.append(await outcome(late_reader.readline()))
    server.close()
    return seen


@situation
async def server_close_keeps_open_connections(stage: Stage) -> Observations:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    server = await stage.on_server(asyncio.start_server(echo, stage.listen_host, 0))
    port = server.sockets[0].getsockname()[1]
    seen: Observations = [int(server.is_serving())]
    async with connected(stage, port) as (reader, writer):
        writer.write(b"one\n")
        seen.append(await outcome(reader.readline()))
        server.close()
        seen += [int(server.is_serving()), len(server.sockets)]
        seen.append(await outcome(asyncio.open_connection(stage.host, port)))
        writer.write(b"two\n")
        seen.append(await outcome(reader.readline()))
    return seen


@situation
async def both_ends_know_both_names(stage: Stage) -> Observations:
    names: asyncio.Future[tuple[object, object]] = asyncio.get_running_loop().create_future()

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        names.set_result((writer.get_extra_info("sockname"), writer.get_extra_info("peername")))
        writer.close()

    async with scripted_server(stage, tell) as port, connected(stage, port) as (_, writer):
        here, there = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
        seen_there = await names
        return [
            int(seen_there == (there, here)),
            int(there[1] == port),
            *(f"{type(host).__name__}, {type(number).__name__}" for host, number in (here, there)),
            int(writer.get_extra_info("socket").family),
            str(writer.get_extra_info("sslcontext")),
        ]


@situation
async def connected_socket_can_be_given_to_streams(stage: Stage) -> Observations:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    async with listening(stage) as listener:
        server = await stage.on_server(asyncio.start_server(echo, sock=listener))
        raw = nonblocking()
        await asyncio.get_running_loop().sock_connect(raw, (stage.host, listener.getsockname()[1]))
        reader, writer = await asyncio.open_connection(sock=raw)
        writer.write(b"hello\n")
        seen = [await outcome(reader.read())]
        writer.close()
        server.close()
        return seen


@situation
async def server_on_every_address(stage: Stage) -> Observations:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    server = await stage.on_server(asyncio.start_server(greet, None, 0))
    listener = next(each for each in server.sockets if each.family is socket.AF_INET)
    async with connected(stage, listener.getsockname()[1]) as (reader, _):
        seen = [await outcome(reader.read()), listener.getsockname()[0]]
    server.close()
    return seen


@situation
async def localhost_is_the_own_machine(stage: Stage) -> Observations:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("localhost", server.sockets[0].getsockname()[1])
    seen = [await outcome(reader.read()), str(writer.get_extra_info("peername")[0])]
    writer.close()
    server.close()
    return seen


@situation
async def connecting_succeeds_before_the_server_can_reset(stage: Stage) -> Observations:
    # The server cannot accept before the client's end is established, so a reset never reaches a connect.
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reset(writer.transport)

    seen: Observations = []
    async with scripted_server(stage, script) as port:
        for _ in range(10):
            async with connected(stage, port) as (reader, _):
                seen.append(await outcome(reader.read()))
    return seen
