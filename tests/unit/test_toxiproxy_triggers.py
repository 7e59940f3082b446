"""Triggers on real loopback connections, with real aiohttp at both ends, and with a Postgres client's bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import aiohttp
import pytest
from aiohttp import web

from fakes.toxiproxy.proxy import Proxy
from fakes.toxiproxy.toxics import Toxic
from fakes.toxiproxy.triggers import (
    CancelSeen,
    NthCommit,
    NthQuery,
    NthRequest,
    NthResponse,
    StatusSeen,
    TrafficProtocol,
    Trigger,
)

from .test_toxiproxy_frames import CANCEL, START_UP, execute, message, prepare
from .toxiproxy_world import connect, read_to_end, world

BODY = bytes(range(256)) * 4


@asynccontextmanager
async def http_world(
    protocol: TrafficProtocol | None = None,
) -> AsyncIterator[tuple[Proxy, aiohttp.ClientSession, list[str]]]:
    """A proxy before an aiohttp server; the list holds the requests that were handled to their end."""
    handled: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        handled.append(request.path)
        if request.path == "/chunked":
            response = web.StreamResponse()
            response.enable_chunked_encoding()
            await response.prepare(request)
            for start in range(0, len(BODY), 100):
                await response.write(BODY[start : start + 100])
            await response.write_eof()
            return response
        return web.Response(status=503 if request.path == "/busy" else 200, body=BODY)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    proxy = Proxy("http", "127.0.0.1", 0, "127.0.0.1", port, random=Random(1), protocol=protocol)
    await proxy.start()
    # POST is used throughout: aiohttp silently repeats a GET whose connection was lost.
    async with aiohttp.ClientSession(f"http://127.0.0.1:{proxy.port}") as session:
        yield proxy, session, handled
    await proxy.close()
    await runner.cleanup()


async def post(session: aiohttp.ClientSession, path: str = "/") -> tuple[int | None, bytes, str]:
    """(status, body as far as it arrived, "ok" or the name of the error)."""
    status, body = None, bytearray()
    try:
        async with asyncio.timeout(5), session.post(path, data=b"task", expect100=path == "/expect") as response:
            status = response.status
            async for piece in response.content.iter_any():
                body += piece
    except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
        return status, bytes(body), type(error).__name__
    return status, bytes(body), "ok"


def reset_peer(proxy: Proxy, stream: str) -> None:
    proxy.add_toxic(Toxic("reset_peer", stream))  # type: ignore[arg-type]


def test_nth_request_counts_over_connections_and_the_toxic_strikes_that_very_request() -> None:
    async def run() -> None:
        async with http_world() as (proxy, session, handled):
            proxy.watch(NthRequest(3), lambda: reset_peer(proxy, "upstream"))
            assert (await post(session, "/one"))[2] == "ok"
            async with aiohttp.ClientSession(f"http://127.0.0.1:{proxy.port}") as other:
                assert (await post(other, "/two"))[2] == "ok"
            assert (await post(session, "/three"))[2] == "ClientOSError"
            assert handled == ["/one", "/two"]

    asyncio.run(run())


@pytest.mark.parametrize(("protocol", "ending"), [("http", "ClientOSError"), (None, "ok")])
def test_a_connection_older_than_the_trigger_is_read_if_the_protocol_was_given(
    protocol: TrafficProtocol | None, ending: str
) -> None:
    async def run() -> None:
        async with http_world(protocol) as (proxy, session, _):
            assert (await post(session, "/one"))[2] == "ok"
            proxy.watch(NthRequest(1), lambda: reset_peer(proxy, "upstream"))
            assert (await post(session, "/two"))[2] == ending

    asyncio.run(run())


def test_a_downstream_toxic_at_a_request_catches_its_reply() -> None:
    async def run() -> None:
        async with http_world() as (proxy, session, handled):
            proxy.watch(NthRequest(2), lambda: reset_peer(proxy, "downstream"))
            assert (await post(session, "/one"))[2] == "ok"
            assert await post(session, "/two") == (None, b"", "ClientOSError")
            assert handled == ["/one", "/two"]

    asyncio.run(run())


def test_nth_response_does_not_count_interim_ones() -> None:
    async def run() -> None:
        async with http_world() as (proxy, session, _):
            proxy.watch(NthResponse(2), lambda: reset_peer(proxy, "downstream"))
            assert await post(session, "/expect") == (200, BODY, "ok")
            assert await post(session, "/expect") == (None, b"", "ClientOSError")

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/", "/chunked"])
@pytest.mark.parametrize("after_bytes", [0, 1, 99, 100, 101, 700, 1023])
def test_after_bytes_lets_exactly_so_many_body_bytes_arrive(path: str, after_bytes: int) -> None:
    async def run() -> None:
        async with http_world() as (proxy, session, _):
            proxy.watch(NthResponse(2, after_bytes), lambda: reset_peer(proxy, "downstream"))
            assert await post(session, path) == (200, BODY, "ok")
            status, body, error = await post(session, path)
            assert (status, body, error) == (200, BODY[:after_bytes], "ClientPayloadError")

    asyncio.run(run())


def test_after_the_whole_body_fires_although_nothing_follows() -> None:
    async def run() -> None:
        async with http_world() as (proxy, session, _):
            fired: list[str] = []
            proxy.watch(NthResponse(1, len(BODY)), lambda: fired.append("whole"))
            proxy.watch(NthResponse(1, len(BODY) + 1), lambda: fired.append("too far"))
            assert await post(session) == (200, BODY, "ok")
            assert await post(session) == (200, BODY, "ok")
            assert fired == ["whole"]

    asyncio.run(run())


def test_a_toxic_on_a_status_strikes_before_the_client_sees_it() -> None:
    async def run() -> None:
        async with http_world() as (proxy, session, _):
            proxy.watch(StatusSeen(503, 2), proxy.disable)
            assert (await post(session, "/busy"))[0] == 503
            assert (await post(session, "/"))[0] == 200
            assert await post(session, "/busy") == (None, b"", "ServerDisconnectedError")

    asyncio.run(run())


def test_a_trigger_fires_once() -> None:
    async def run() -> None:
        async with http_world() as (proxy, session, _):
            fired: list[int] = []
            proxy.watch(NthRequest(1), lambda: fired.append(1))
            proxy.watch(NthResponse(2), lambda: fired.append(2))
            for _ in range(4):
                assert (await post(session))[2] == "ok"
            assert fired == [1, 2]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("trigger", "passed"),
    [
        (NthQuery(1), 0),
        (NthQuery(3), 2),
        (NthQuery(1, "INSERT"), 1),
        (NthQuery(2, "INSERT"), 3),
        (NthCommit(1), 2),
        (NthCommit(2), 4),
    ],
)
def test_a_postgres_trigger_strikes_before_its_message_is_forwarded(trigger: Trigger, passed: int) -> None:
    insert = execute("s1")
    queries = [
        (message(b"Q", "BEGIN;"), b""),
        (insert, prepare("s1", "INSERT INTO a VALUES ($1)")),
        (message(b"Q", "COMMIT;"), b""),
        (insert, b""),
        (message(b"Q", "COMMIT;"), b""),
    ]

    async def run() -> None:
        async with world() as (proxy, upstream):
            proxy.watch(trigger, lambda: proxy.add_toxic(Toxic("timeout", "upstream")))
            reader, writer = await connect(proxy)
            writer.write(START_UP + b"".join(before + query for query, before in queries))
            await asyncio.sleep(0.1)
            expected = START_UP + b"".join(before + query for query, before in queries[:passed])
            query, before = queries[passed]
            bind = query[: query.index(b"E\0\0\0")] if query is insert else b""
            assert bytes(upstream.received) == expected + before + bind
            writer.close()
            await read_to_end(reader)

    asyncio.run(run())


def test_a_cancel_request_can_be_lost() -> None:
    async def run() -> None:
        async with world() as (proxy, upstream):
            proxy.watch(CancelSeen(1), lambda: reset_peer(proxy, "upstream"))
            _, ordinary = await connect(proxy)
            ordinary.write(START_UP)
            await asyncio.sleep(0.05)
            reader, writer = await connect(proxy)
            writer.write(CANCEL)
            assert (await read_to_end(reader))[1] == "ConnectionResetError"
            assert bytes(upstream.received) == START_UP

    asyncio.run(run())


def test_triggers_of_two_protocols_are_refused() -> None:
    async def run() -> None:
        async with world() as (proxy, _):
            proxy.watch(NthRequest(1), lambda: None)
            with pytest.raises(ValueError, match="needs postgres traffic"):
                proxy.watch(NthCommit(1), lambda: None)
            with pytest.raises(ValueError, match="count from 1"):
                proxy.watch(NthRequest(0), lambda: None)

    asyncio.run(run())


def test_what_was_on_its_way_when_a_trigger_fired_is_not_touched() -> None:
    async def run() -> None:
        async with http_world() as (proxy, session, _):
            proxy.add_toxic(Toxic("latency", attributes={"latency": 300}))
            proxy.watch(NthResponse(2), lambda: proxy.add_toxic(Toxic("limit_data", attributes={"bytes": 0})))
            # Both responses are held by the latency when the second one makes the trigger fire.
            outcomes = await asyncio.gather(post(session), post(session))
            assert sorted(outcomes, key=str, reverse=True) == [
                (None, b"", "ServerDisconnectedError"),
                (200, BODY, "ok"),
            ]

    asyncio.run(run())


def test_a_trigger_can_be_called_off() -> None:
    async def run() -> None:
        async with http_world() as (proxy, session, _):
            fired: list[str] = []
            first = proxy.watch(NthRequest(1), lambda: fired.append("first"))
            other = proxy.watch(NthRequest(1), lambda: fired.append("other"))
            proxy.unwatch(first)
            proxy.unwatch(first)
            await post(session)
            proxy.unwatch(other)  # it has fired
            assert fired == ["other"]

    asyncio.run(run())
