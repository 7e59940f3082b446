"""The kernel's own promises: hangs are told apart, exits are fenced, nodes stand still, and a seed is a run."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import os
import random
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from sim.kernel import Deadlock, HorizonReached, Livelock, NotSimulated, Simulation


def play(main: Callable[[Simulation], Coroutine[Any, Any, Any]], *, seed: int = 1, horizon_s: float = 3600) -> Any:
    with Simulation(seed, horizon_s=horizon_s) as sim:
        return sim.run(main(sim))


def test_time_jumps_and_nobody_waits() -> None:
    async def main(sim: Simulation) -> float:
        before_s = asyncio.get_running_loop().time()
        await asyncio.sleep(3000)
        return asyncio.get_running_loop().time() - before_s

    assert play(main) == pytest.approx(3000)


def test_a_deadlock_names_what_waits_and_where() -> None:
    async def innermost() -> None:
        await asyncio.get_running_loop().create_future()

    async def outermost(sim: Simulation) -> None:
        await innermost()

    with pytest.raises(Deadlock, match=r"deadlock at virtual time 0\.000000 s(.|\n)*test_kernel.py:\d+ in innermost"):
        play(outermost)


def test_the_horizon_is_not_a_deadlock() -> None:
    async def tick(sim: Simulation) -> None:
        for _ in itertools.count():
            await asyncio.sleep(1)

    with pytest.raises(HorizonReached, match="horizon of 60 virtual seconds"):
        play(tick, horizon_s=60)


def test_polling_without_time_is_a_livelock() -> None:
    async def spin(sim: Simulation) -> None:
        for _ in itertools.count():
            await asyncio.sleep(0)

    with pytest.raises(Livelock, match="sleep"):
        play(spin)


def test_code_under_test_cannot_swallow_a_hang() -> None:
    async def stubborn(sim: Simulation) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except Exception:
                continue

    with pytest.raises(Deadlock):
        play(stubborn)


EXITS: dict[str, Callable[[], Any]] = {
    "a thread": lambda: threading.Thread(target=print).start(),
    "a subprocess": lambda: subprocess.Popen(["true"]),
    "time.sleep": lambda: time.sleep(1),
    "a real descriptor": lambda: asyncio.get_running_loop().add_reader(0, print),
    "UDP": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "a Unix socket": lambda: socket.socket(socket.AF_UNIX),
    "a socket pair": lambda: socket.socketpair(),
    "a blocking connect": lambda: socket.create_connection(("harness", 1)),
}


@pytest.mark.parametrize("name", EXITS)
def test_what_cannot_be_simulated_fails_at_the_users_line(name: str) -> None:
    async def main(sim: Simulation) -> None:
        with pytest.raises(NotSimulated, match=rf"{Path(__file__).name}:\d+"):
            EXITS[name]()

    play(main)


@pytest.mark.parametrize(
    "call",
    [
        lambda loop: loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0)),
        lambda loop: loop.create_unix_connection(asyncio.Protocol, "/nowhere"),
        lambda loop: loop.subprocess_shell(asyncio.SubprocessProtocol, "true"),
    ],
)
def test_loop_methods_without_a_simulation_say_so(call: Callable[[Any], Coroutine[Any, Any, Any]]) -> None:
    async def main(sim: Simulation) -> None:
        with pytest.raises(NotSimulated, match="cannot be simulated"):
            await call(sim.loop)

    play(main)


def test_the_process_gets_its_clocks_and_exits_back() -> None:
    async def main(sim: Simulation) -> None:
        assert time.time() == pytest.approx(1_767_225_600, abs=1)
        raise ValueError("out")

    real = (time.time, time.monotonic, os.urandom, socket.socket, threading.Thread.start, random.getstate())
    with pytest.raises(ValueError, match="out"):
        play(main)
    assert real == (time.time, time.monotonic, os.urandom, socket.socket, threading.Thread.start, random.getstate())


def test_a_clock_that_was_imported_by_name_is_virtual_too() -> None:
    from aiohttp import connector

    async def main(sim: Simulation) -> bool:
        return connector.monotonic() == sim.loop.time()

    assert play(main)


def test_entropy_follows_the_seed() -> None:
    async def main(sim: Simulation) -> tuple[Any, ...]:
        return uuid.uuid4(), random.random(), os.urandom(4), time.time()

    assert play(main, seed=1) == play(main, seed=1)
    assert play(main, seed=1) != play(main, seed=2)


def test_what_is_drawn_in_one_step_is_not_drawn_again_in_the_next() -> None:
    async def draw() -> Any:
        return uuid.uuid4(), random.random(), os.urandom(4)

    with Simulation(1) as stepped, Simulation(1) as again:
        first, second = stepped.run(draw()), stepped.run(draw())
        assert all(mine != its for mine, its in zip(first, second, strict=True))
        assert (first, second) == (again.run(draw()), again.run(draw()))


def test_a_paused_node_stands_still_and_then_catches_up_in_order() -> None:
    async def main(sim: Simulation) -> list[tuple[str, float]]:
        seen: list[tuple[str, float]] = []
        begin_s = sim.time_s

        async def beat(name: str) -> None:
            for _ in range(3):
                await asyncio.sleep(1)
                seen.append((name, round(sim.time_s - begin_s, 6)))

        sleeper = sim.node("sleeper")
        sleeper.spawn(beat("sleeper"))
        await asyncio.sleep(0.5)
        sleeper.pause(3.25)
        await beat("harness")
        await asyncio.sleep(10)
        return seen

    assert play(main) == [
        ("harness", 1.5),
        ("harness", 2.5),
        ("harness", 3.5),
        ("sleeper", 3.75),
        ("sleeper", 4.75),
        ("sleeper", 5.75),
    ]


def test_a_node_that_exits_is_gone_alone_and_says_so() -> None:
    async def main(sim: Simulation) -> list[str]:
        seen: list[str] = []
        node = sim.node("quitter")

        def exited(reason: SystemExit) -> None:
            node.kill()
            seen.append(f"exited: {reason}")

        async def bystander() -> None:
            await asyncio.sleep(2)
            seen.append("never said")

        async def quitter() -> None:
            await asyncio.sleep(1)
            sys.exit("no disk")

        node.on_exit = exited
        node.spawn(bystander())
        node.spawn(quitter())
        await asyncio.sleep(10)
        return seen

    assert play(main) == ["exited: no disk"]


def test_an_exit_that_nobody_expects_ends_the_simulation() -> None:
    async def main(sim: Simulation) -> None:
        async def quitter() -> None:
            sys.exit("no disk")

        sim.node("quitter").spawn(quitter())
        await asyncio.sleep(10)

    with pytest.raises(SystemExit, match="no disk"):
        play(main)


def test_timers_of_two_nodes_at_one_instant_come_in_either_order_but_keep_their_own() -> None:
    async def main(sim: Simulation) -> str:
        order: list[str] = []

        async def set_timers(name: str) -> None:
            loop = asyncio.get_running_loop()
            for number in range(3):
                loop.call_at(at_s, order.append, f"{name}{number}")

        at_s = sim.loop.time() + 5
        sim.node("a").spawn(set_timers("a"))
        sim.node("b").spawn(set_timers("b"))
        await asyncio.sleep(10)
        return "".join(order)

    outcomes = {play(main, seed=seed) for seed in range(40)}
    assert outcomes == {"a0a1a2b0b1b2", "b0b1b2a0a1a2"}


def test_an_unanswered_handshake_times_out_after_linuxs_127_seconds() -> None:
    async def main(sim: Simulation) -> float:
        before_s = sim.time_s
        with pytest.raises(TimeoutError):
            await asyncio.open_connection("192.0.2.1", 80)
        return sim.time_s - before_s

    assert play(main) == pytest.approx(127, abs=0.01)


_HASHES = """
import asyncio, sys
from aiohttp import ClientSession, web
from sim.kernel import Simulation

async def answer(request):
    await asyncio.sleep(0.01)
    return web.json_response({"got": len(await request.read())})

async def serve():
    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 80).start()
    await asyncio.Event().wait()

async def main(sim):
    sim.node("server").spawn(serve())
    await asyncio.sleep(1)
    async with ClientSession() as session:
        async def one(number):
            async with session.post("http://server/", data=b"x" * number * 1000) as reply:
                await reply.json()
        await asyncio.gather(*(one(number) for number in range(30)))

for seed in range(5):
    with Simulation(seed) as sim:
        sim.run(main(sim))
        print(sim.trace_hash())
"""


def test_a_seed_gives_the_same_trace_in_another_process_with_another_hash_seed() -> None:
    def hashes(hash_seed: str) -> list[str]:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", _HASHES], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    first = hashes("1")
    assert len(set(first)) == 5
    assert first == hashes("54321")


def test_what_a_program_logs_when_its_world_is_thrown_away_is_not_heard(caplog: pytest.LogCaptureFixture) -> None:
    """It would be taken for a failure of the run; and afterwards logging is as it was."""

    async def waits_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            logging.getLogger("program").error("the world has ended")

    async def main() -> None:
        simulation.node("machine").spawn(waits_for_ever())
        await asyncio.sleep(1)

    with Simulation(1) as simulation:
        simulation.run(main())
    logging.getLogger("program").error("and goes on")
    assert [record.message for record in caplog.records] == ["and goes on"]


def test_what_awaits_in_its_finally_when_its_world_is_thrown_away_does_not_complain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is there again when it was closed, and goes on to the next callback when it is destroyed."""
    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)

    async def needs_a_loop() -> None:
        asyncio.get_running_loop()

    async def waits(never: asyncio.Future[None]) -> None:
        await never

    async def work() -> None:
        async with contextlib.AsyncExitStack() as opened:
            opened.push_async_callback(needs_a_loop)
            for _ in range(2):
                opened.push_async_callback(waits, asyncio.get_running_loop().create_future())

    async def main(sim: Simulation) -> None:
        sim.node("worker").spawn(work())
        await asyncio.sleep(1)

    play(main)
    gc.collect()
    assert complaints == []
