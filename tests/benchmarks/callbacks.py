"""Bare callbacks a second: our loop against asyncio's own, in turns, in CPU time."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from statistics import median
from time import process_time
from typing import Any

from sim.kernel import Simulation
from tests.benchmarks.figures import Figure

TITLE = "Bare callbacks, against asyncio's own loop"

Shape = Callable[[int], Coroutine[Any, Any, None]]


async def one_chain(steps: int) -> None:
    """Each callback schedules the next with `call_soon`."""
    await _chains(1, steps)


async def hundred_chains(steps: int) -> None:
    """A hundred such chains at once."""
    await _chains(100, steps // 100)


async def sleeping_task(steps: int) -> None:
    """One task that gives way with `sleep(0)`."""
    for _ in range(steps):
        await asyncio.sleep(0)


async def hundred_sleeping_tasks(steps: int) -> None:
    """A hundred such tasks at once."""
    await asyncio.gather(*(sleeping_task(steps // 100) for _ in range(100)))


async def timers(steps: int) -> None:
    """One task that sleeps for a tiny time that is not zero."""
    for _ in range(steps):
        await asyncio.sleep(1e-9)


async def _chains(number: int, steps: int) -> None:
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    living = number

    def link(left: int) -> None:
        nonlocal living
        if left:
            loop.call_soon(link, left - 1)
        else:
            living -= 1
            if not living:
                over.set_result(None)

    for _ in range(number):
        loop.call_soon(link, steps)
    await over


SHAPES: tuple[tuple[str, Shape, float | None], ...] = (
    ("call_soon, one chain", one_chain, 2.5),
    ("call_soon, 100 chains", hundred_chains, 2.5),
    ("task steps, one task", sleeping_task, None),
    ("task steps, 100 tasks", hundred_sleeping_tasks, None),
    ("timers of 1 ns", timers, None),
)


def measure(quick: bool) -> list[Figure]:
    """The ratio of rates for each shape."""
    steps, repetitions = (5_000, 1) if quick else (100_000, 7)
    gc.collect()
    gc.freeze()
    gc.disable()
    figures = []
    for name, shape, at_least in SHAPES:
        theirs_s, ours_s = [], []
        for _ in range(repetitions):
            theirs_s.append(_timed(_on_asyncio, shape, steps))
            ours_s.append(_timed(_simulated, shape, steps))
        theirs, ours = (steps / median(seconds) / 1e6 for seconds in (theirs_s, ours_s))
        note = f"{ours:.2f} against {theirs:.2f} million/s"
        figures.append(Figure(name, ours / theirs, "times", at_least=at_least, note=note))
    return figures


def _timed(play: Callable[[Shape, int], None], shape: Shape, steps: int) -> float:
    begun_s = process_time()
    play(shape, steps)
    return process_time() - begun_s


def _on_asyncio(shape: Shape, steps: int) -> None:
    asyncio.run(shape(steps))


def _simulated(shape: Shape, steps: int) -> None:
    with Simulation(1) as simulation:
        simulation.run(shape(steps))
