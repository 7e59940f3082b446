"""Many jobs spread over worker processes: the runs of `fumble run`, one worker a core, or those of other commands.

Each worker has a bench of its own, which it makes when it begins: for runs a `Workshop` (its own database on the one
embedded Postgres, warm backends, imported code). It does its jobs one after another. Results come back in any order; a
job does not depend on which worker does it, nor after what. Workers are forked and know all jobs; what travels is the
number of a job, and a result back. Between them are pipes only, no threads and no locks: Ctrl-C can strike anywhere,
and a dead worker is seen at once, as an end of file.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Generic, TypeAlias, TypeVar

from reports.model import RunReport
from sim import interrupts
from sim.scenario.model import Scenario
from sim.worlds.components.postgres import EmbeddedPostgres
from sim.worlds.components.processes import ComponentFailed
from sim.worlds.workshop import Workshop

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")

Bench: TypeAlias = Callable[[int], Callable[[JobT], ResultT]]
"""Called in a worker, with its number; what it returns does one job after another."""

PR_SET_PDEATHSIG = 1
_DEAD_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Job:
    """One run to make."""

    scenario: Scenario
    seed: int

    def __str__(self) -> str:
        return f"{self.scenario.path}, seed {self.seed}"


class CampaignBroken(Exception):
    """fumble itself failed, not a run: the message says at what; `trace` is the worker's traceback, if it left one."""

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.trace = trace


@dataclass(frozen=True, slots=True)
class _Done(Generic[ResultT]):
    number: int
    result: ResultT


@dataclass(frozen=True, slots=True)
class _Crashed:
    what: str
    trace: str


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    unanswered: deque[int] = field(default_factory=deque)


def cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def runs(server: EmbeddedPostgres) -> Bench[Job, RunReport]:
    """A workshop for each worker, on a core of its own if there are enough."""

    def bench(number: int) -> Callable[[Job], RunReport]:
        available = cores()
        workshop = Workshop(server, f"fumble_{number}", core=available[number % len(available)])
        return lambda job: workshop.play(job.scenario, job.seed).report()

    return bench


@contextmanager
def working(
    jobs: Sequence[JobT], bench: Bench[JobT, ResultT], *, processes: int, ahead: int
) -> Iterator[Iterator[tuple[int, ResultT]]]:
    """The number and the result of each job, as they end; the workers live for the length of the block.

    `ahead`: jobs that a worker is given before it has answered. Two keep it busy while its result is read; where a job
    takes longer than that, the second would wait in vain for a worker that is free. Messages call a job by its `str`.
    The iterator raises `CampaignBroken` when a worker dies or fails, and a worker's own `ComponentFailed`.
    """
    workers: list[_Worker] = []
    try:
        for number in range(processes):
            with interrupts.delayed():
                workers.append(_start(number, jobs, bench, workers))
        yield _results(workers, jobs, ahead)
    finally:
        with interrupts.ignored():
            _end(workers)


def _end(workers: Sequence[_Worker]) -> None:
    """A bench that has something to put away does so now; all others are gone at once."""
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join(_DEAD_WITHIN_S)
    for worker in workers:
        worker.process.kill()
        worker.process.join(_DEAD_WITHIN_S)
        worker.connection.close()


def _results(workers: Sequence[_Worker], jobs: Sequence[JobT], ahead: int) -> Iterator[tuple[int, ResultT]]:
    left = deque(range(len(jobs)))
    by_connection = {worker.connection: worker for worker in workers}
    for _ in range(ahead):
        for worker in workers:
            _give(worker, left)
    for _ in jobs:
        (ready, *_others) = wait(list(by_connection))
        worker = by_connection[ready]  # type: ignore[index]
        try:
            answer = worker.connection.recv()
        except (EOFError, OSError):
            raise CampaignBroken(_obituary(worker, jobs)) from None
        if isinstance(answer, ComponentFailed):
            raise answer
        if isinstance(answer, _Crashed):
            raise CampaignBroken(f"{answer.what}, while {_doing(worker, jobs)}", answer.trace)
        worker.unanswered.remove(answer.number)
        _give(worker, left)
        yield answer.number, answer.result


def _give(worker: _Worker, left: deque[int]) -> None:
    if left:
        worker.unanswered.append(left.popleft())
        with suppress(OSError):  # it died: reading from it will say so
            worker.connection.send(worker.unanswered[-1])


def _obituary(worker: _Worker, jobs: Sequence[object]) -> str:
    worker.process.join(_DEAD_WITHIN_S)
    code = worker.process.exitcode or 0
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return (
        f"a worker process {how} while {_doing(worker, jobs)}; "
        "if the machine is short of memory, use fewer --jobs, else play that run alone"
    )


def _doing(worker: _Worker, jobs: Sequence[object]) -> str:
    return f"playing {jobs[worker.unanswered[0]]}" if worker.unanswered else "waiting for work"


# --- in the worker ---------------------------------------------------------------------------------------------------


def _start(number: int, jobs: Sequence[JobT], bench: Bench[JobT, ResultT], others: Sequence[_Worker]) -> _Worker:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    inherited = [ours, *(other.connection for other in others)]
    process = context.Process(target=_work, args=(number, jobs, bench, theirs, inherited, os.getpid()), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _work(
    number: int,
    jobs: Sequence[JobT],
    bench: Bench[JobT, ResultT],
    connection: Connection,
    inherited: Sequence[Connection],
    parent: int,
) -> None:
    """Do what is asked for until the parent closes the connection, or is gone."""
    for other in inherited:
        other.close()
    _die_with(parent)
    interrupts.left_to_parent()
    logging.getLogger().addHandler(
        logging.NullHandler()
    )  # a broker's complaints are part of the play; `replay` shows them
    try:
        do = bench(number)
        while (job := _next(connection)) is not None:
            connection.send(_Done(job, do(jobs[job])))
    except KeyboardInterrupt:
        return  # of a bench that heeds the parent's wish to end
    except BaseException as error:
        answer = error if isinstance(error, ComponentFailed) else _Crashed(described(error), traceback.format_exc())
        with suppress(OSError):  # without a parent there is nobody to tell
            connection.send(answer)


def _next(connection: Connection) -> int | None:
    """The number of the next job; None when the parent has no more, or is gone."""
    try:
        return int(connection.recv())
    except EOFError:
        return None


def _die_with(parent: int) -> None:
    """Be killed when the parent is gone, were it by SIGKILL; elsewhere than on Linux the closed pipe tells, later."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def described(error: BaseException) -> str:
    """An unexpected error on one line: its type, what it says, and the innermost place."""
    said = str(error).partition("\n")[0]
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name})" if frames else ""
    return f"{type(error).__name__}{': ' if said else ''}{said}{place}"
