"""Many runs: which (scenario, seed) pairs to play, spread over worker processes, one a core.

Each worker keeps a `Workshop` (its own database on the one embedded Postgres, warm backends, imported code) and plays
its runs one after another. Results come back in any order; a run does not depend on which worker plays it, nor after
what. Workers are forked and know all jobs; what travels is the number of a job, and a report back. Between them are
pipes only, no threads and no locks: Ctrl-C can strike anywhere, and a dead worker is seen at once, as an end of file.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from reports.model import RunReport
from sim import interrupts
from sim.scenario.model import Scenario
from sim.worlds.components.postgres import EmbeddedPostgres
from sim.worlds.workshop import Workshop

AHEAD = 2
"""Jobs that a worker is given before it has answered: one to play, one to begin while its report is read."""

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
class _Done:
    number: int
    report: RunReport


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


@contextmanager
def playing(
    jobs: Sequence[Job], server: EmbeddedPostgres, *, processes: int
) -> Iterator[Iterator[tuple[int, RunReport]]]:
    """The number and the report of each job, as they end; the workers live for the length of the block.

    The iterator raises `CampaignBroken` when a worker dies or fails.
    """
    workers: list[_Worker] = []
    try:
        for number in range(processes):
            with interrupts.delayed():
                workers.append(_start(number, jobs, server, workers))
        yield _reports(workers, jobs)
    finally:
        # They have nothing to lose: the database and the runs under way are thrown away with them.
        with interrupts.ignored():
            for worker in workers:
                worker.process.kill()
            for worker in workers:
                worker.process.join(_DEAD_WITHIN_S)
                worker.connection.close()


def _reports(workers: Sequence[_Worker], jobs: Sequence[Job]) -> Iterator[tuple[int, RunReport]]:
    left = deque(range(len(jobs)))
    by_connection = {worker.connection: worker for worker in workers}
    for _ in range(AHEAD):
        for worker in workers:
            _give(worker, left)
    for _ in jobs:
        (ready, *_others) = wait(list(by_connection))
        worker = by_connection[ready]  # type: ignore[index]
        try:
            answer = worker.connection.recv()
        except (EOFError, OSError):
            raise CampaignBroken(_obituary(worker, jobs)) from None
        if isinstance(answer, _Crashed):
            raise CampaignBroken(f"{answer.what}, while {_doing(worker, jobs)}", answer.trace)
        worker.unanswered.remove(answer.number)
        _give(worker, left)
        yield answer.number, answer.report


def _give(worker: _Worker, left: deque[int]) -> None:
    if left:
        worker.unanswered.append(left.popleft())
        with suppress(OSError):  # it died: reading from it will say so
            worker.connection.send(worker.unanswered[-1])


def _obituary(worker: _Worker, jobs: Sequence[Job]) -> str:
    worker.process.join(_DEAD_WITHIN_S)
    code = worker.process.exitcode or 0
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return (
        f"a worker process {how} while {_doing(worker, jobs)}; "
        "if the machine is short of memory, use fewer --jobs, else play that run alone"
    )


def _doing(worker: _Worker, jobs: Sequence[Job]) -> str:
    return f"playing {jobs[worker.unanswered[0]]}" if worker.unanswered else "waiting for work"


# --- in the worker ---------------------------------------------------------------------------------------------------


def _start(number: int, jobs: Sequence[Job], server: EmbeddedPostgres, others: Sequence[_Worker]) -> _Worker:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    inherited = [ours, *(other.connection for other in others)]
    process = context.Process(target=_work, args=(number, jobs, server, theirs, inherited, os.getpid()), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _work(
    number: int,
    jobs: Sequence[Job],
    server: EmbeddedPostgres,
    connection: Connection,
    inherited: Sequence[Connection],
    parent: int,
) -> None:
    """Play what is asked for until the parent closes the connection, or is gone."""
    for other in inherited:
        other.close()
    _die_with(parent)
    interrupts.left_to_parent()
    logging.getLogger().addHandler(
        logging.NullHandler()
    )  # a broker's complaints are part of the play; `replay` shows them
    available = cores()
    try:
        workshop = Workshop(server, f"fumble_{number}", core=available[number % len(available)])
        while (job := _next(connection)) is not None:
            connection.send(_Done(job, workshop.play(jobs[job].scenario, jobs[job].seed).report()))
    except BaseException as error:
        with suppress(OSError):  # without a parent there is nobody to tell
            connection.send(_Crashed(described(error), traceback.format_exc()))


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
