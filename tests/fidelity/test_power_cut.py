"""Killing a node is a power cut: nothing of it acts any more, its peers notice as they would, and it can come back."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator

import aiohttp
import pytest
from aiohttp import web

from sim.kernel import Node, Simulation

from .parked_work import DUE_S, HOST, PORT, WAYS, Life, Way
from .stage import attempt, outcome

SEEDS = range(5)
WITNESS_PORT = 9000
KILLED_AT_S = DUE_S / 2


@pytest.fixture(autouse=True, scope="module")
def _frozen_heap() -> Iterator[None]:
    """Take what lives already out of the collector's sight: a collection then looks at the world only, and is quick."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Peers of a machine that dies log errors; the assertions say all that matters."""
    caplog.set_level(logging.CRITICAL + 1)


def play(seed: int, story: Callable[[Simulation], Awaitable[None]]) -> None:
    """Run a story in a fresh world."""
    with Simulation(seed) as sim:
        sim.run(_awaited(story(sim)))


async def _awaited(story: Awaitable[None]) -> None:
    await story


async def _life_of(sim: Simulation, way: Way, *, killed: bool, restarted: bool = False) -> tuple[list[str], bytes]:
    """What others noticed of a machine whose program parked work and that was killed before the work was due, or not."""
    acts: list[str] = []
    received = bytearray()

    async def witness(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(99):
            received.extend(data)
        writer.close()

    await asyncio.start_server(witness, "0.0.0.0", WITNESS_PORT)
    outside = asyncio.get_running_loop().create_future()
    node = sim.node(HOST)

    async def boot() -> None:
        _, writer = await asyncio.open_connection("harness", WITNESS_PORT)
        life = Life(writer, acts, outside)
        node_memory.append(life)
        await way.park(life)

    node_memory: list[Life] = []
    spawned = node.spawn(boot())
    await asyncio.sleep(KILLED_AT_S / 2)
    visitor = asyncio.ensure_future(way.visit()) if way.visit else None
    await asyncio.sleep(KILLED_AT_S / 2)
    assert acts == [], "nothing may be due yet"
    if killed:
        node.kill()
        # The machine's memory is gone: nobody outside holds on to what was in it.
        node_memory.clear()
        del spawned
    if restarted:
        node.restart()
    gc.collect()
    await asyncio.sleep(DUE_S)
    outside.set_result(None)
    await asyncio.sleep(10 * DUE_S)
    gc.collect()
    await asyncio.sleep(DUE_S)
    if visitor is not None and visitor.done():
        visitor.result()
    return list(acts), bytes(received)


@pytest.mark.parametrize("name", WAYS)
def test_parked_work_acts_when_nobody_cuts_the_power(name: str) -> None:
    with Simulation(1) as sim:
        acts, received = sim.run(_life_of(sim, WAYS[name], killed=False))
    assert acts and received, "a way that never acts proves nothing about kills"


@pytest.mark.parametrize("restarted", [False, True], ids=["stays_down", "restarted"])
@pytest.mark.parametrize("name", WAYS)
def test_parked_work_does_not_survive_a_power_cut(name: str, restarted: bool) -> None:
    for seed in SEEDS:
        with Simulation(seed) as sim:
            assert sim.run(_life_of(sim, WAYS[name], killed=True, restarted=restarted)) == ([], b""), f"with seed {seed}"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_ways_are_tested() -> None:
    assert {"eager_task", "eager_task_factory"} <= WAYS.keys()


def test_what_a_machine_queued_before_it_killed_itself_does_not_run() -> None:
    async def story(sim: Simulation) -> None:
        node, acts = sim.node(HOST), []

        async def suicide() -> None:
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            future.add_done_callback(acts.append)
            task = asyncio.ensure_future(asyncio.sleep(0))
            task.add_done_callback(acts.append)
            loop.call_soon(acts.append, "soon")
            loop.call_later(0, acts.append, "later")
            future.set_result("done")
            node.kill()
            try:
                await asyncio.sleep(0)
            finally:
                acts.append("went on")

        node.spawn(suicide())
        await asyncio.sleep(1)
        gc.collect()
        await asyncio.sleep(1)
        assert acts == []

    play(1, story)


def test_cancelling_a_task_of_a_dead_machine_wakes_nobody() -> None:
    async def story(sim: Simulation) -> None:
        acts: list[str] = []

        async def work() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                acts.append("cancelled")

        node = sim.node(HOST)
        task = node.spawn(work())
        await asyncio.sleep(1)
        node.kill()
        task.cancel()
        done, pending = await asyncio.wait([task], timeout=10)
        assert not done and pending == {task} and acts == []

    play(1, story)


def test_machine_killed_while_it_stands_still_never_catches_up() -> None:
    async def story(sim: Simulation) -> None:
        acts: list[str] = []
        node = sim.node(HOST)

        async def work() -> None:
            asyncio.get_running_loop().call_later(1, acts.append, "timer")
            await asyncio.sleep(1)
            acts.append("task")

        node.spawn(work())
        await asyncio.sleep(0.5)
        node.pause(5)
        await asyncio.sleep(2)
        node.kill()
        await asyncio.sleep(10)
        assert acts == []

    play(1, story)


def test_paused_machine_catches_up() -> None:
    async def story(sim: Simulation) -> None:
        loop = asyncio.get_running_loop()
        acts: list[tuple[str, int]] = []
        node = sim.node(HOST)
        begun = loop.time()

        async def work() -> None:
            for number in range(3):
                loop.call_later(number / 10, lambda number=number: acts.append((f"timer {number}", _age())))

        def _age() -> int:
            return round(loop.time() - begun)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            acts.append((repr(await reader.readline()), _age()))
            writer.write(b"here\n")

        await node.spawn(asyncio.start_server(serve, "0.0.0.0", PORT))
        reader, writer = await asyncio.open_connection(HOST, PORT)
        await asyncio.sleep(0.1)
        await node.spawn(work())
        node.pause(5)
        writer.write(b"hello\n")
        assert await reader.readline() == b"here\n"
        assert sorted(acts) == [("b'hello\\n'", 5), ("timer 0", 5), ("timer 1", 5), ("timer 2", 5)]
        timers = [what for what, _ in acts if what.startswith("timer")]
        assert timers == ["timer 0", "timer 1", "timer 2"]

    play(1, story)


def test_other_machines_do_not_notice() -> None:
    async def story(sim: Simulation) -> None:
        acts: list[str] = []

        async def tick(name: str) -> None:
            while True:
                await asyncio.sleep(1)
                acts.append(name)

        for name in ("victim", "survivor"):
            sim.node(name).spawn(tick(name))
        await asyncio.sleep(2.5)
        sim.node("victim").kill()
        await asyncio.sleep(3)
        assert acts.count("victim") == 2 and acts.count("survivor") == 5

    play(1, story)


# --- what peers see -------------------------------------------------------------------------------------------------


async def _serving(node: Node, *, reads: bool = True) -> None:
    """Start an echo server on the machine; one that reads nothing if so asked."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)

    class Deaf(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.pause_reading()  # type: ignore[attr-defined]

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

        old_connections = []
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
