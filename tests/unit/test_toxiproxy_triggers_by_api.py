"""The additions to Toxiproxy's API: a toxic that waits for its trigger, a proxy that is told its protocol, `down`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from fakes.toxiproxy.api import Api
from fakes.toxiproxy.collection import Collection
from fakes.toxiproxy.metrics import Metrics, Traffic

from .test_toxiproxy_frames import CANCEL, START_UP, message
from .toxiproxy_world import Upstream, connect_to, read_to_end

BODY = b"x" * 1000
RESET = "ConnectionResetError"


class Client:
    """Speaks to the API; every answer is its status and its JSON."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        async with self._session.request(method, path, json=body) as response:
            return response.status, await response.json(content_type=None) if response.status != 204 else None

    async def proxy(self, upstream_port: int, **more: object) -> int:
        """A proxy called `p`; its port."""
        body = {"name": "p", "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{upstream_port}", **more}
        status, made = await self.ask("POST", "/proxies", body)
        assert status == 201, made
        return int(made["listen"].rpartition(":")[2])

    async def toxic(self, type_: str, **more: object) -> tuple[int, Any]:
        return await self.ask("POST", "/proxies/p/toxics", {"type": type_, **more})


@asynccontextmanager
async def api(*, seed: int = 1) -> AsyncIterator[Client]:
    traffic = Traffic()
    collection = Collection(seed=seed, counters=traffic.of)
    runner = web.AppRunner(Api(collection, Metrics(traffic, proxies=True, runtime=False)).application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    async with aiohttp.ClientSession(f"http://{host}:{port}") as session:
        yield Client(session)
    await collection.close()
    await runner.cleanup()


@asynccontextmanager
async def echo() -> AsyncIterator[tuple[int, Upstream]]:
    upstream = Upstream()
    server = await asyncio.start_server(upstream.echo, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], upstream
    server.close()


@asynccontextmanager
async def website(statuses: list[int]) -> AsyncIterator[int]:
    """A server that answers with these statuses in turn, then with 200."""

    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=statuses.pop(0) if statuses else 200, body=BODY)

    app = web.Application()
    app.router.add_post("/", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def post(session: aiohttp.ClientSession) -> tuple[int | None, int, str]:
    status, length = None, 0
    try:
        async with session.post("/") as response:
            status = response.status
            async for piece in response.content.iter_any():
                length += len(piece)
    except aiohttp.ClientError as error:
        return status, length, type(error).__name__
    return status, length, "ok"


def play(check: Callable[[Client], Awaitable[None]], *, seed: int = 1) -> None:
    async def run() -> None:
        async with asyncio.timeout(30), api(seed=seed) as client:
            await check(client)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("trigger", "third"),
    [
        ({"response": 3}, (None, 0, "ServerDisconnectedError")),
        ({"response": 3, "after_bytes": 700}, (503, 700, "ClientPayloadError")),
        ({"status": 503, "nth": 1}, (None, 0, "ServerDisconnectedError")),
    ],
)
def test_a_toxic_strikes_when_its_trigger_fires(trigger: dict[str, int], third: tuple[int | None, int, str]) -> None:
    async def check(client: Client) -> None:
        async with website([200, 200, 503]) as port:
            listen = await client.proxy(port, protocol="http")
            status, toxic = await client.toxic("limit_data", attributes={"bytes": 0}, trigger=trigger)
            assert (status, toxic["trigger"]) == (200, {**trigger, "fired": False})
            async with aiohttp.ClientSession(f"http://127.0.0.1:{listen}") as session:
                assert await post(session) == (200, 1000, "ok")
                assert await post(session) == (200, 1000, "ok")
                assert await post(session) == third
            assert (await client.ask("GET", f"/proxies/p/toxics/{toxic['name']}"))[1]["trigger"]["fired"]
            assert (await client.ask("DELETE", f"/proxies/p/toxics/{toxic['name']}"))[0] == 204
            async with aiohttp.ClientSession(f"http://127.0.0.1:{listen}") as session:
                assert await post(session) == (200, 1000, "ok")

    play(check)


def test_the_second_request_takes_the_link_down_and_deleting_the_toxic_brings_it_back() -> None:
    async def check(client: Client) -> None:
        async with website([]) as port:
            listen = await client.proxy(port)
            assert (await client.toxic("down", trigger={"request": 2}))[0] == 200
            async with aiohttp.ClientSession(f"http://127.0.0.1:{listen}") as session:
                assert await post(session) == (200, 1000, "ok")
                assert (await post(session))[2] != "ok"
                assert (await client.ask("GET", "/proxies/p"))[1]["enabled"] is False
                assert (await post(session))[2] == "ClientConnectorError"
                assert (await client.ask("DELETE", "/proxies/p/toxics/down_downstream"))[0] == 204
                assert (await client.ask("GET", "/proxies/p"))[1]["enabled"] is True
                assert await post(session) == (200, 1000, "ok")

    play(check)


INSERT = message(b"Q", "INSERT INTO a VALUES (1)")
COMMIT = message(b"Q", "COMMIT")


@pytest.mark.parametrize(
    ("trigger", "passed"),
    [({"query": 2}, 1), ({"query": 2, "containing": "INSERT"}, 2), ({"commit": 1}, 1), ({"commit": 2}, 3)],
)
def test_queries_and_commits_of_postgres(trigger: dict[str, object], passed: int) -> None:
    queries = [INSERT, COMMIT, INSERT, COMMIT]

    async def check(client: Client) -> None:
        async with echo() as (port, upstream):
            listen = await client.proxy(port)
            status, _ = await client.toxic("limit_data", stream="upstream", attributes={"bytes": 0}, trigger=trigger)
            assert status == 200
            reader, writer = await connect_to(listen)
            writer.write(START_UP + b"".join(queries))
            await read_to_end(reader)
            await upstream.ended.wait()
            assert bytes(upstream.received) == START_UP + b"".join(queries[:passed])

    play(check)


def test_a_cancel_request_of_postgres() -> None:
    async def check(client: Client) -> None:
        async with echo() as (port, upstream):
            listen = await client.proxy(port)
            assert (await client.toxic("reset_peer", stream="upstream", trigger={"cancel": 1}))[0] == 200
            reader, writer = await connect_to(listen)
            writer.write(CANCEL)
            assert (await read_to_end(reader))[1] == RESET
            assert upstream.received == b""

    play(check)


@pytest.mark.parametrize("revive", [("PATCH", "/proxies/p", {"enabled": True}), ("POST", "/reset", None)])
def test_enabling_takes_off_what_holds_the_proxy_down(revive: tuple[str, str, object]) -> None:
    async def check(client: Client) -> None:
        async with echo() as (port, _):
            listen = await client.proxy(port)
            await client.toxic("down")
            with pytest.raises(ConnectionRefusedError):
                await connect_to(listen)
            assert (await client.ask(*revive))[0] in (200, 204)
            _, proxy = await client.ask("GET", "/proxies/p")
            assert (proxy["enabled"], proxy["toxics"]) == (True, [])
            _, writer = await connect_to(listen)
            writer.close()

    play(check)


def test_a_toxic_that_waits_can_be_changed_and_taken_off() -> None:
    async def check(client: Client) -> None:
        async with website([]) as port:
            listen = await client.proxy(port)
            await client.toxic("limit_data", name="a", attributes={"bytes": 5}, trigger={"response": 1})
            await client.toxic("reset_peer", name="b", trigger={"response": 1})
            assert (await client.toxic("latency", name="b"))[0] == 409
            status, changed = await client.ask("PATCH", "/proxies/p/toxics/a", {"attributes": {"bytes": 0}})
            assert (status, changed["attributes"], changed["trigger"]["fired"]) == (200, {"bytes": 0}, False)
            assert (await client.ask("DELETE", "/proxies/p/toxics/b"))[0] == 204
            async with aiohttp.ClientSession(f"http://127.0.0.1:{listen}") as session:
                # A reset would be ClientOSError.
                assert await post(session) == (None, 0, "ServerDisconnectedError")

    play(check)


@pytest.mark.parametrize(
    ("trigger", "named"),
    [
        ({}, "give an object with one of request, response, status, query, commit, cancel"),
        (5, "give an object with one of"),
        ({"request": 1, "commit": 1}, "give an object with one of"),
        ({"request": 0}, "'request' has to be a whole number, at least 1"),
        ({"request": "1"}, "'request' has to be a whole number"),
        ({"response": 1, "after_bytes": -1}, "'after_bytes' has to be a whole number, at least 0"),
        ({"request": 1, "after_bytes": 5}, "trigger request: unknown member 'after_bytes'; use request"),
        ({"query": 1, "containing": 5}, "'containing' has to be a string"),
        ({"commit": 1}, "needs postgres traffic, but it reads http"),
    ],
)
def test_a_wrong_trigger_is_named(trigger: object, named: str) -> None:
    async def check(client: Client) -> None:
        await client.proxy(1, protocol="http")
        status, answer = await client.toxic("latency", trigger=trigger)
        assert status == 400
        assert named in answer["error"]
        assert (await client.ask("GET", "/proxies/p/toxics"))[1] == []

    play(check)


def test_an_unknown_protocol_is_named() -> None:
    async def check(client: Client) -> None:
        status, answer = await client.ask("POST", "/proxies", {"name": "p", "upstream": "a:1", "protocol": "smtp"})
        assert (status, answer["error"]) == (400, "protocol: 'smtp' is not known; use http or postgres")

    play(check)


def test_a_seed_repeats_which_of_many_racing_connections_are_struck() -> None:
    async def struck(client: Client) -> list[str]:
        async with echo() as (port, _):
            listen = await client.proxy(port)
            await client.toxic("reset_peer", toxicity=0.5)
            ends = []
            for _ in range(16):
                connections = [await connect_to(listen) for _ in range(4)]
                for _, writer in reversed(connections):  # the order of the traffic is not that of the connections
                    writer.write(b"x")
                    writer.write_eof()
                ends += [(await read_to_end(reader))[1] for reader, _ in connections]
            return ends

    outcomes = []
    for seed in (7, 7, 8):

        async def check(client: Client) -> None:
            outcomes.append(await struck(client))

        play(check, seed=seed)
    assert outcomes[0] == outcomes[1] != outcomes[2]
    assert set(outcomes[0]) == {"fin", RESET}


def test_toxics_come_and_go_on_a_live_connection_and_leave_it_whole() -> None:
    async def check(client: Client) -> None:
        async with echo() as (port, _):
            listen = await client.proxy(port)
            reader, writer = await connect_to(listen)
            for number in range(200):
                trigger = {"trigger": {"request": 1}} if number % 2 else {}
                assert (await client.toxic("latency", attributes={"latency": 1}, **trigger))[0] == 200
                assert (await client.ask("DELETE", "/proxies/p/toxics/latency_downstream"))[0] == 204
            writer.write(b"still here")
            assert await reader.readexactly(10) == b"still here"

    play(check)
