"""Killing a node is a power cut: nothing of it acts any more, its peers notice as they would, and it can come back."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Iterator

import pytest

from sim.kernel import Simulation

from . import parked_connections
from .parked_work import DUE_S, HOST, PORT, WAYS, Life, Way
from .story import play

MODULES = (parked_connections,)  # importing it enters its ways
# A machine without power closes nothing.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
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


async def _life_of(sim: Simulation, way: Way, *, killed: bool, restarted: bool = False) -> tuple[list[str], bytes]:
    """What others noticed of a machine with parked work that was killed before the work was due, or was not."""
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
            noticed = sim.run(_life_of(sim, WAYS[name], killed=True, restarted=restarted))
        assert noticed == ([], b""), f"with seed {seed}"


def test_eager_ways_are_tested_where_python_has_them() -> None:
    assert ({"eager_task", "eager_task_factory"} <= WAYS.keys()) == (sys.version_info >= (3, 12))


def test_what_a_machine_queued_before_it_killed_itself_does_not_run() -> None:
    async def story(sim: Simulation) -> None:
        node = sim.node(HOST)
        acts: list[str] = []

        async def suicide() -> None:
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            future.add_done_callback(lambda _: acts.append("future"))
            task = asyncio.ensure_future(asyncio.sleep(0))
            task.add_done_callback(lambda _: acts.append("task"))
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
                loop.call_later(number / 10, note, f"timer {number}")

        def note(what: str) -> None:
            acts.append((what, round(loop.time() - begun)))

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            note(repr(await reader.readline()))
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
