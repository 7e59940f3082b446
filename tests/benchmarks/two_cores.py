"""Fresh worlds a second when two worker processes have a core and a database each, on one server.

Told twice: as measured, and as it would be on a host of the reference's speed. That of this one is measured between the
worlds with both cores busy, because two cores of a machine may be one for some of their work.
"""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from statistics import median
from time import perf_counter

from sim.worlds.components.postgres import EmbeddedPostgres, embedded_postgres
from sim.worlds.workshop import Workshop
from tests.benchmarks import host_speed
from tests.benchmarks.figures import Figure
from tests.benchmarks.worlds import PUSH, WARM_UP_WORLDS

TITLE = "Fresh worlds on two cores"
ROUNDS = 5
START_WITHIN_S = 60


def measure(quick: bool) -> list[Figure]:
    """The sum of both rates, while both are at work."""
    cores = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else [0]
    name = "worlds a wall second"
    if len(cores) < 2:
        return [Figure(name, None, note="needs two cores")]
    rounds, duration_s, requests = (1, 0.5, 20) if quick else (ROUNDS, 2.0, 300)
    speeds, rates = [], []
    for _ in range(rounds):
        speeds.append(host_speed.of(cores, requests=requests))
        rates.append(sum(_rates(cores, duration_s=duration_s)))
    there = median(rate / speed for rate, speed in zip(rates, speeds, strict=True))
    return [host_speed.figure(speeds), *host_speed.twice(name, median(rates), there, "/s", at_least=220)]


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
