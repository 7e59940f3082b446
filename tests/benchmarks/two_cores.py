"""Fresh worlds a second when two worker processes have a core and a database each, on one server."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from time import perf_counter

from sim.worlds.components.postgres import EmbeddedPostgres, embedded_postgres
from sim.worlds.workshop import Workshop
from tests.benchmarks.figures import Figure
from tests.benchmarks.worlds import PUSH, WARM_UP_WORLDS

TITLE = "Fresh worlds on two cores"
START_WITHIN_S = 60


def measure(quick: bool) -> list[Figure]:
    """The sum of both rates, while both are at work."""
    cores = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else [0]
    name = "worlds a wall second"
    if len(cores) < 2:
        return [Figure(name, None, note="needs two cores")]
    return [Figure(name, sum(_rates(cores, duration_s=0.5 if quick else 5.0)), "/s", at_least=220)]


def _rates(cores: list[int], *, duration_s: float) -> list[float]:
    # Forked, because a worker needs the server object; at this point the process has no thread and no loop.
    context = multiprocessing.get_context("fork")
    with embedded_postgres() as server:
        together = context.Barrier(len(cores))
        workers = []
        for core in cores:
            ours, theirs = context.Pipe(duplex=False)
            worker = context.Process(target=_work, args=(server, core, together, duration_s, theirs))
            worker.start()
            theirs.close()
            workers.append((worker, ours))
        rates = [ours.recv() for _, ours in workers]
        for worker, _ in workers:
            worker.join()
    return rates


def _work(server: EmbeddedPostgres, core: int, together: Barrier, duration_s: float, rate: Connection) -> None:
    shop = Workshop(server, f"benchmark_{core}", core=core)
    for seed in range(WARM_UP_WORLDS):
        shop.play(PUSH, seed)
    together.wait(START_WITHIN_S)
    begun_s = perf_counter()
    worlds = 0
    while perf_counter() < begun_s + duration_s:
        shop.play(PUSH, worlds)
        worlds += 1
    rate.send(worlds / (perf_counter() - begun_s))
