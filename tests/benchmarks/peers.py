"""The same small world on fumble's kernel and on two peers from PyPI: an aiohttp server, a client, a GET and a POST.

No database here, because the peers have none. All three get a frozen heap, which the peers do not do by themselves and
which spares them most of their garbage collection. They are no dependency: what is not installed is not measured.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Coroutine
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from time import process_time
from typing import Any

from aiohttp import ClientSession, web

from sim.kernel import Simulation
from tests.benchmarks.figures import Figure

TITLE = "A fresh world without a database, against peers"
PEERS = {"simloop": "0.2.2", "simloom": "0.5.0"}
PORT = 8080

Spawn = Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]
PlayWorld = Callable[[int], None]


def measure(quick: bool) -> list[Figure]:
    """CPU of one world on each, in turns."""
    players: dict[str, PlayWorld] = {"fumble": _fumble}
    figures = []
    for name, wanted in PEERS.items():
        if sys.version_info >= (3, 12) and _installed(name) == wanted:
            players[name] = {"simloop": _simloop, "simloom": _simloom}[name]
        else:
            advice = f"needs Python >= 3.12 and pip install {name}=={wanted}"
            figures.append(Figure(f"{name} takes as much CPU", None, note=advice))
    for play in players.values():
        for seed in range(3):
            play(seed)
    gc.collect()
    gc.freeze()
    gc.disable()
    cpu_s: dict[str, list[float]] = {name: [] for name in players}
    for seed in range(10 if quick else 200):
        for name, play in players.items():
            begun_s = process_time()
            play(seed)
            gc.collect()
            cpu_s[name].append(process_time() - begun_s)
    medians = {name: median(seconds) for name, seconds in cpu_s.items()}
    ours_s = medians.pop("fumble")
    compared = [
        Figure(f"{name} takes as much CPU", theirs_s / ours_s, "times", at_least=1, note=f"{1e3 * theirs_s:.2f} ms")
        for name, theirs_s in medians.items()
    ]
    return [Figure("fumble: CPU of a world, median", 1e3 * ours_s, "ms"), *compared, *figures]


async def serve(ready: asyncio.Event, over: asyncio.Event) -> None:
    """A server that gives JSON back until it is told to stop."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"got": await request.json() if request.can_read_body else None})

    application = web.Application()
    application.router.add_route("*", "/", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "server", PORT).start()
    ready.set()
    await over.wait()
    await runner.cleanup()


async def ask() -> None:
    """One GET and one POST on one connection."""
    async with ClientSession() as session:
        async with session.get(f"http://server:{PORT}/") as answer:
            assert (await answer.json()) == {"got": None}
        async with session.post(f"http://server:{PORT}/", json={"task": 1}) as answer:
            assert (await answer.json()) == {"got": {"task": 1}}


async def world(on_server: Spawn, on_client: Spawn) -> None:
    """The whole of it, on two machines."""
    ready, over = asyncio.Event(), asyncio.Event()
    server = on_server(serve(ready, over))
    await ready.wait()
    await on_client(ask())
    over.set()
    await server


def _fumble(seed: int) -> None:
    with Simulation(seed) as simulation:
        simulation.run(world(simulation.node("server").spawn, simulation.node("client").spawn))


def _simloop(seed: int) -> None:
    import simloop

    async def main() -> None:
        net = asyncio.get_running_loop().net  # type: ignore[attr-defined]
        await world(net.host("server").create_task, net.host("client").create_task)

    report = simloop.explore(main, [seed])
    if report is not None:
        raise AssertionError(f"simloop: {report}")


def _simloom(seed: int) -> None:
    import simloom

    async def main(universe: simloom.World) -> None:
        await world(universe.host("server").spawn, universe.host("client").spawn)

    simloom.run(main, seed=seed)


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
