"""What the peers of a killed node see, and how it comes back: a new life on the same port, with state of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import aiohttp
import pytest
from aiohttp import web

from sim.kernel import Node, Simulation

from .parked_work import HOST, PORT
from .stage import attempt, outcome
from .story import play

# A machine without power closes nothing.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
SEEDS = range(5)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Peers of a machine that dies log errors; the assertions say all that matters."""
    caplog.set_level(logging.CRITICAL + 1)


# --- what peers see -------------------------------------------------------------------------------------------------


async def _serving(node: Node, *, reads: bool = True) -> None:
    """Start an echo server on the machine; one that reads nothing if so asked."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)

    class Deaf(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            # Not at once: in early releases of 3.11 a transport that was paused here began to read all the same.
            asyncio.get_running_loop().call_later(0.1, transport.pause_reading)  # type: ignore[attr-defined]

    async def start() -> None:
        if reads:
            await asyncio.start_server(echo, "0.0.0.0", PORT)
        else:
            await asyncio.get_running_loop().create_server(Deaf, "0.0.0.0", PORT)

    await node.spawn(start())


@pytest.mark.parametrize("seed", SEEDS)
def test_peer_of_a_dead_machine_sees_an_end_then_refusal(seed: int) -> None:
    async def story(sim: Simulation) -> None:
        node = sim.node(HOST)
        await _serving(node)
        reader, writer = await asyncio.open_connection(HOST, PORT)
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        node.kill()
        assert await reader.read() == b""
        writer.write(b"anyone?")
        await asyncio.sleep(1)
        writer.write(b"anyone?")
        assert await outcome(writer.wait_closed()) == "builtins.BrokenPipeError[32]"
        assert await outcome(asyncio.open_connection(HOST, PORT)) == "builtins.ConnectionRefusedError[111]"

    play(seed, story)


@pytest.mark.parametrize("seed", SEEDS)
def test_peer_sees_a_reset_where_the_dead_machine_left_data_unread(seed: int) -> None:
    async def story(sim: Simulation) -> None:
        node = sim.node(HOST)
        await _serving(node, reads=False)
        reader, writer = await asyncio.open_connection(HOST, PORT)
        await asyncio.sleep(0.5)
        writer.write(b"unread")
        await asyncio.sleep(1)
        node.kill()
        assert await outcome(reader.read()) == "builtins.ConnectionResetError[104]"

    play(seed, story)


@pytest.mark.parametrize("seed", SEEDS)
def test_connecting_to_a_machine_that_dies_meanwhile_fails(seed: int) -> None:
    async def story(sim: Simulation) -> None:
        node = sim.node(HOST)
        await _serving(node)
        connecting = asyncio.ensure_future(asyncio.open_connection(HOST, PORT))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        node.kill()
        assert await outcome(connecting) == "builtins.ConnectionRefusedError[111]"

    play(seed, story)


@pytest.mark.parametrize("seed", SEEDS)
def test_bytes_on_the_wire_still_arrive(seed: int) -> None:
    async def story(sim: Simulation) -> None:
        node = sim.node(HOST)

        async def last_words(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"last words")
            node.kill()

        await node.spawn(asyncio.start_server(last_words, "0.0.0.0", PORT))
        reader, _ = await asyncio.open_connection(HOST, PORT)
        assert await reader.read() == b"last words"

    play(seed, story)


@pytest.mark.parametrize("seed", SEEDS)
def test_http_client_of_a_dead_machine_fails_at_once(seed: int) -> None:
    async def story(sim: Simulation) -> None:
        node = sim.node(HOST)

        async def handler(request: web.Request) -> web.Response:
            await asyncio.sleep(3600)
            return web.Response()

        async def start() -> None:
            application = web.Application()
            application.router.add_post("/", handler)
            runner = web.AppRunner(application, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "0.0.0.0", PORT).start()

        await node.spawn(start())
        async with aiohttp.ClientSession() as session:
            asking = asyncio.ensure_future(session.post(f"http://{HOST}:{PORT}/"))
            await asyncio.sleep(1)
            node.kill()
            killed_at_s = sim.time_s
            seen = await outcome(asking)
            assert seen == "aiohttp.client_exceptions.ServerDisconnectedError[None]"
            assert sim.time_s - killed_at_s < 0.1

    play(seed, story)


# --- coming back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_restarted_machine_serves_on_the_same_port_with_state_of_its_own(seed: int) -> None:
    async def story(sim: Simulation) -> None:
        node = sim.node(HOST)
        alive: list[str] = []

        async def program(life: str) -> None:
            served = 0

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                nonlocal served
                while await reader.readline():
                    served += 1
                    writer.write(f"{life} {served}\n".encode())

            async def beat() -> None:
                while True:
                    await asyncio.sleep(0.1)
                    alive.append(life)

            beating = asyncio.create_task(beat())
            server = await asyncio.start_server(serve, "0.0.0.0", PORT)
            async with server:
                await asyncio.gather(beating, server.serve_forever())

        async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
            writer.write(b"?\n")
            return await reader.readline()

        old_connections: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        for life in ("first", "second", "third"):
            if life != "first":
                node.restart()
            alive.clear()
            node.spawn(program(life))
            await asyncio.sleep(1)
            assert set(alive) == {life}
            connection = await asyncio.open_connection(HOST, PORT)
            assert await ask(*connection) == f"{life} 1\n".encode()
            assert await ask(*connection) == f"{life} 2\n".encode()
            for reader, _ in old_connections:
                assert await reader.read() == b""
            old_connections.append(connection)
            node.kill()
            await asyncio.sleep(0.5)
            alive.clear()
            await asyncio.sleep(0.5)
            assert alive == []
            assert await outcome(asyncio.open_connection(HOST, PORT)) == "builtins.ConnectionRefusedError[111]"

    play(seed, story)


def test_restarting_a_living_machine_kills_it_first() -> None:
    async def story(sim: Simulation) -> None:
        acts: list[str] = []

        async def work(life: str) -> None:
            try:
                await asyncio.sleep(1)
            finally:
                acts.append(life)

        node = sim.node(HOST)
        node.spawn(work("first"))
        await asyncio.sleep(0.5)
        node.restart()
        node.spawn(work("second"))
        await asyncio.sleep(5)
        assert acts == ["second"]

    play(1, story)


def test_spawning_on_a_dead_machine_is_an_error_that_tells_what_to_do() -> None:
    async def story(sim: Simulation) -> None:
        node = sim.node(HOST)
        node.kill()
        node.kill()
        with pytest.raises(RuntimeError, match="restart"):
            node.spawn(asyncio.sleep(0))
        node.restart()
        assert await node.spawn(asyncio.sleep(0, "alive")) == "alive"

    play(1, story)


def test_unused_port_of_a_dead_machine_can_be_bound_by_its_next_life_at_once() -> None:
    async def story(sim: Simulation) -> None:
        node = sim.node(HOST)
        for _ in range(3):
            await _serving(node)
            _, writer = await asyncio.open_connection(HOST, PORT)
            writer.write(b"hello\n")
            node.restart()

    play(1, story)


def test_kills_are_deterministic() -> None:
    async def story(sim: Simulation) -> None:
        node = sim.node(HOST)
        for _ in range(3):
            await _serving(node)
            for number in range(3):
                with contextlib.suppress(OSError):
                    reader, writer = await asyncio.open_connection(HOST, PORT)
                    writer.write(b"%d\n" % number)
                    await reader.readline()
            node.restart()

    def trace(seed: int) -> str:
        with Simulation(seed) as sim:
            sim.run(story(sim))
            return sim.trace_hash()

    assert [trace(seed) for seed in range(5)] == [trace(seed) for seed in range(5)]


def test_world_can_be_thrown_away_with_dead_machines_in_it() -> None:
    acts: list[str] = []
    with Simulation(1) as sim:

        async def story() -> None:
            async def work() -> None:
                try:
                    await asyncio.sleep(3600)
                finally:
                    acts.append("finally")
                    await asyncio.sleep(0)

            node = sim.node(HOST)
            node.spawn(work())
            await asyncio.sleep(1)
            node.kill()

        sim.run(story())
        assert acts == []
    assert attempt(sim.close) == "None"
