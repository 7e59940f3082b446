"""Non-blocking sockets and the loop's `sock_*` calls: the errno that each call gives in each state of a socket."""

from __future__ import annotations

import asyncio
import socket

from .servers import clogged, listening, nonblocking, socket_pair
from .stage import LINGER_ZERO, Observations, Stage, attempt, outcome, situation

_PLENTY = 256 << 20  # far more than the buffers of a connection hold


@situation
async def nothing_to_do_yet(stage: Stage) -> Observations:
    async with listening(stage) as listener, socket_pair(stage) as (client, server):
        return [attempt(client.recv, 9), attempt(server.recv, 9), attempt(listener.accept)]


@situation
async def full_buffers(stage: Stage) -> Observations:
    async with socket_pair(stage) as (client, server):
        sent = 0
        taken: str | int = 0
        while sent < _PLENTY and isinstance(taken := attempt(client.send, b"x" * 100_000), int):
            sent += taken
            if taken < 100_000:
                await stage.settle()
        received = 0
        while received < sent:
            received += len(await asyncio.get_running_loop().sock_recv(server, 1 << 20))
        await stage.settle()
        return [taken, int(sent > 0), int(received == sent), attempt(client.send, b"room again")]


@situation
async def not_connected(stage: Stage) -> Observations:
    with nonblocking() as raw:
        return [
            attempt(raw.recv, 9),
            attempt(raw.send, b"x"),
            attempt(raw.getpeername),
            attempt(raw.shutdown, socket.SHUT_WR),
            repr(raw.getsockname()),
            raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
        ]


@situation
async def closed_socket(stage: Stage) -> Observations:
    async with socket_pair(stage) as (client, _):
        seen: Observations = [int(client.fileno() >= 0)]
        client.close()
        client.close()
        seen.append(client.fileno())
        return [*seen, attempt(client.recv, 9), attempt(client.send, b"x"), attempt(client.getsockname)]


@situation
async def wrong_state(stage: Stage) -> Observations:
    async with listening(stage) as listener, socket_pair(stage) as (client, _):
        with nonblocking() as fresh:
            return [
                attempt(listener.recv, 9),
                attempt(listener.send, b"x"),
                attempt(client.accept),
                attempt(fresh.accept),
                attempt(client.listen),
                attempt(listener.getpeername),
            ]


@situation
async def address_in_use(stage: Stage) -> Observations:
    async with listening(stage) as listener:
        port = listener.getsockname()[1]

        async def bind(reuse: bool) -> str | int:
            with nonblocking() as raw:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
                return attempt(raw.bind, (stage.listen_host, port))

        return [await stage.on_server(bind(reuse=False)), await stage.on_server(bind(reuse=True))]


@situation
async def bind_twice(stage: Stage) -> Observations:
    with nonblocking() as raw:
        return [attempt(raw.bind, ("127.0.0.1", 0)), attempt(raw.bind, ("127.0.0.1", 0))]


@situation
async def foreign_address(stage: Stage) -> Observations:
    with nonblocking() as raw:
        return [attempt(raw.bind, ("203.0.113.7", 0))]


@situation
async def connecting_by_hand(stage: Stage) -> Observations:
    async with listening(stage) as listener:
        with nonblocking() as raw:
            seen = [attempt(raw.connect_ex, (stage.host, listener.getsockname()[1]))]
            await stage.settle()
            return [*seen, raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), attempt(raw.send, b"x")]


@situation
async def refused_by_hand(stage: Stage) -> Observations:
    async with listening(stage) as listener:
        port = listener.getsockname()[1]
    with nonblocking() as raw:
        seen = [attempt(raw.connect_ex, (stage.host, port))]
        await stage.settle()
        seen += [raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for _ in range(2)]
        return [*seen, attempt(raw.getpeername)]


@situation
async def connecting_without_an_answer(stage: Stage) -> Observations:
    async with clogged(stage) as port:
        with nonblocking() as raw:
            seen = [attempt(raw.connect, (stage.host, port))]
            await stage.settle()
            return [
                *seen,
                raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
                attempt(raw.connect_ex, (stage.host, port)),
                attempt(raw.recv, 9),
                attempt(raw.send, b"x"),
            ]


@situation
async def names_of_both_ends(stage: Stage) -> Observations:
    async with socket_pair(stage) as (client, server):
        return [
            int(client.getsockname() == server.getpeername()),
            int(client.getpeername() == server.getsockname()),
            *(f"{type(host).__name__}, {type(port).__name__}" for host, port in (client.getsockname(),)),
            int(client.family),
            int(client.type),
            client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
        ]


@situation
async def options_are_remembered(stage: Stage) -> Observations:
    async with socket_pair(stage) as (client, _):
        seen: Observations = []
        for level, option in (
            (socket.IPPROTO_TCP, socket.TCP_NODELAY),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            (socket.SOL_SOCKET, socket.SO_REUSEADDR),
        ):
            seen.append(client.getsockopt(level, option))
            client.setsockopt(level, option, 1)
            seen.append(client.getsockopt(level, option))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        return [*seen, repr(client.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))]


@situation
async def data_and_end(stage: Stage) -> Observations:
    async with socket_pair(stage) as (client, server):
        seen = [attempt(client.send, b"hello")]
        client.close()
        await stage.settle()
        return [*seen, *(attempt(server.recv, 3) for _ in range(4))]


@situation
async def data_and_reset(stage: Stage) -> Observations:
    async with socket_pair(stage) as (client, server):
        client.send(b"hello")
        await stage.settle()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        client.close()
        await stage.settle()
        return [*(attempt(server.recv, 3) for _ in range(4)), attempt(server.send, b"x"), attempt(server.getpeername)]


@situation
async def error_of_a_reset_is_told_once(stage: Stage) -> Observations:
    async with socket_pair(stage) as (client, server):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        client.close()
        await stage.settle()
        return [
            *(server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for _ in range(2)),
            attempt(server.recv, 9),
            attempt(server.send, b"x"),
        ]


@situation
async def first_send_after_a_reset(stage: Stage) -> Observations:
    async with socket_pair(stage) as (client, server):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        client.close()
        await stage.settle()
        return [attempt(server.send, b"x"), attempt(server.send, b"x"), attempt(server.recv, 9)]


@situation
async def sends_to_a_closed_peer(stage: Stage) -> Observations:
    async with socket_pair(stage) as (client, server):
        client.close()
        await stage.settle()
        seen = [attempt(server.recv, 9), attempt(server.send, b"first")]
        await stage.settle()
        seen += [attempt(server.send, b"second"), attempt(server.send, b"third"), attempt(server.recv, 9)]
        return seen


@situation
async def close_with_unread_data_resets(stage: Stage) -> Observations:
    async with socket_pair(stage) as (client, server):
        server.send(b"unread")
        await stage.settle()
        client.close()
        await stage.settle()
        return [attempt(server.recv, 9), attempt(server.recv, 9)]


@situation
async def data_for_a_closed_socket_is_reset(stage: Stage) -> Observations:
    async with socket_pair(stage) as (client, server):
        client.shutdown(socket.SHUT_WR)
        await stage.settle()
        seen = [attempt(server.recv, 9)]
        client.close()
        await stage.settle()
        seen.append(attempt(server.send, b"late"))
        await stage.settle()
        return [*seen, attempt(server.recv, 9), attempt(server.send, b"later")]


@situation
async def half_close_by_hand(stage: Stage) -> Observations:
    async with socket_pair(stage) as (client, server):
        client.send(b"question")
        client.shutdown(socket.SHUT_WR)
        await stage.settle()
        seen = [attempt(server.recv, 99), attempt(server.recv, 99), attempt(client.send, b"x")]
        server.send(b"answer")
        await stage.settle()
        return [*seen, attempt(client.recv, 99), attempt(client.recv, 99)]


@situation
async def own_reading_side_shut(stage: Stage) -> Observations:
    async with socket_pair(stage) as (client, server):
        client.shutdown(socket.SHUT_RD)
        await stage.settle()
        seen = [attempt(client.recv, 9), attempt(server.recv, 9), attempt(client.send, b"x")]
        await stage.settle()
        return [*seen, attempt(server.recv, 9)]


@situation
async def peeking_takes_nothing(stage: Stage) -> Observations:
    async with socket_pair(stage) as (client, server):
        client.send(b"hello")
        await stage.settle()
        return [attempt(server.recv, 99, socket.MSG_PEEK), attempt(server.recv, 99), attempt(server.recv, 99)]


@situation
async def receiving_into_a_buffer(stage: Stage) -> Observations:
    async with socket_pair(stage) as (client, server):
        client.send(b"hello")
        await stage.settle()
        buffer = bytearray(3)
        return [
            attempt(server.recv_into, buffer),
            repr(bytes(buffer)),
            await outcome(asyncio.get_running_loop().sock_recv_into(server, buffer)),
            repr(bytes(buffer)),
        ]


@situation
async def loop_receives_when_data_comes(stage: Stage) -> Observations:
    loop = asyncio.get_running_loop()
    async with socket_pair(stage) as (client, server):
        receiving = stage.spawn(loop.sock_recv(server, 99))
        await stage.settle()
        seen: Observations = [int(receiving.done())]
        await loop.sock_sendall(client, b"!")
        seen.append(await outcome(receiving))
        client.close()
        return [*seen, await outcome(loop.sock_recv(server, 99)), await outcome(loop.sock_recv(server, 99))]


@situation
async def loop_receives_a_reset(stage: Stage) -> Observations:
    loop = asyncio.get_running_loop()
    async with socket_pair(stage) as (client, server):
        receiving = stage.spawn(loop.sock_recv(server, 99))
        await stage.settle()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        client.close()
        return [await outcome(receiving), await outcome(loop.sock_recv(server, 99))]


@situation
async def loop_sends_all_of_much(stage: Stage) -> Observations:
    loop = asyncio.get_running_loop()
    much = bytes(range(256)) * (32 << 10)  # 8 MiB
    async with socket_pair(stage) as (client, server):
        sending = asyncio.ensure_future(loop.sock_sendall(client, much))
        await stage.settle()
        seen: Observations = [int(sending.done())]
        received = bytearray()
        while len(received) < len(much):
            received += await loop.sock_recv(server, 1 << 20)
        await sending
        return [*seen, int(received == much)]


@situation
async def loop_send_is_interrupted_by_a_reset(stage: Stage) -> Observations:
    loop = asyncio.get_running_loop()
    async with socket_pair(stage) as (client, server):
        sending = asyncio.ensure_future(loop.sock_sendall(client, b"x" * (16 << 20)))
        await stage.settle()
        server.close()
        return [await outcome(sending), await outcome(loop.sock_sendall(client, b"x"))]


@situation
async def cancelled_loop_receive_loses_nothing(stage: Stage) -> Observations:
    loop = asyncio.get_running_loop()
    async with socket_pair(stage) as (client, server):
        receiving = asyncio.ensure_future(loop.sock_recv(client, 99))
        await stage.settle()
        receiving.cancel()
        seen = [await outcome(receiving)]
        await loop.sock_sendall(server, b"hello")
        await stage.settle()
        return [*seen, attempt(client.recv, 99)]


@situation
async def accepted_socket_has_the_listeners_port(stage: Stage) -> Observations:
    async with listening(stage) as listener:
        with nonblocking() as client:
            loop = asyncio.get_running_loop()
            port = listener.getsockname()[1]
            await loop.sock_connect(client, (stage.host, port))
            server, _ = await stage.on_server(loop.sock_accept(listener))
            with server:
                return [int(server.getsockname()[1] == port), int(client.getpeername()[1] == port)]


@situation
async def queue_of_a_listener_is_bounded(stage: Stage) -> Observations:
    loop = asyncio.get_running_loop()
    async with listening(stage, backlog=2) as listener:
        clients = [nonblocking() for _ in range(5)]
        connecting = []
        for client in clients:
            address = (stage.host, listener.getsockname()[1])
            connecting.append(asyncio.ensure_future(loop.sock_connect(client, address)))
            await stage.settle()
        seen: Observations = [int(task.done()) for task in connecting]
        for task in connecting:
            task.cancel()
        for client in clients:
            client.close()
        return seen


@situation
async def closing_a_socket_does_not_wake_who_waits_on_it(stage: Stage) -> Observations:
    loop = asyncio.get_running_loop()
    async with socket_pair(stage) as (client, _):
        receiving = asyncio.ensure_future(loop.sock_recv(client, 99))
        await stage.settle()
        client.close()
        await stage.settle()
        seen: Observations = [int(receiving.done())]
        receiving.cancel()
        return [*seen, await outcome(receiving)]
