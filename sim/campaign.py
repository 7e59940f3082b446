"""Many runs: which (scenario, seed) pairs to play, spread over worker processes, one a core.

Work goes out in batches through `concurrent.futures`; each worker keeps a `Workshop` (its own database on the one
embedded Postgres, warm backends, imported code) and plays its runs one after another. Results come back in any order;
a run does not depend on which worker plays it, nor after what.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass

from reports.model import RunReport
from sim.scenario.model import Scenario
from sim.worlds.components.postgres import EmbeddedPostgres
from sim.worlds.simulated import Workshop

BATCH = 4
"""Runs sent out at once: few, so that the workers end together and Ctrl-C loses little."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run to make."""

    scenario: Scenario
    seed: int


_workshop: Workshop | None = None


def _start_worker(
    server: EmbeddedPostgres, numbers: multiprocessing.Queue[int], pids: multiprocessing.Queue[int]
) -> None:
    global _workshop
    # Ctrl-C is for the parent: it ends its workers after it has said what it knows.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    number = numbers.get()
    pids.put(os.getpid())
    available = cores()
    _workshop = Workshop(server, f"fumble_{number}", core=available[number % len(available)])


def cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _play(batch: Sequence[Job]) -> list[RunReport]:
    assert _workshop is not None
    return [_workshop.play(job.scenario, job.seed).report() for job in batch]


@contextmanager
def workers(server: EmbeddedPostgres, count: int) -> Iterator[Workers]:
    """`count` worker processes for the length of a block; none outlives it."""
    context = multiprocessing.get_context("fork")
    numbers: multiprocessing.Queue[int] = context.Queue()
    pids: multiprocessing.Queue[int] = context.Queue()
    for number in range(count):
        numbers.put(number)
    pool = ProcessPoolExecutor(count, context, _start_worker, (server, numbers, pids))
    try:
        yield Workers(pool, count)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        while not pids.empty():
            os.kill(pids.get(), signal.SIGKILL)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class Workers:
    """Plays jobs and yields reports as they are done."""

    def __init__(self, pool: ProcessPoolExecutor, count: int) -> None:
        self._pool = pool
        self._count = count

    def play(self, jobs: Sequence[Job]) -> Iterator[RunReport]:
        """The report of each job, in the order in which they end."""
        batches = [jobs[start : start + BATCH] for start in range(0, len(jobs), BATCH)]
        pending: set[Future[list[RunReport]]] = {self._pool.submit(_play, batch) for batch in batches}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield from future.result()
