"""A million operations of a load, judged: how long it takes, and how much memory all processes together have at once.

The load is synthetic and correct (`tests.load.synthetic`): two operations a delegation, seven rows, one request. Two
workers wrote it; reading rows from files stands for streaming them from Postgres.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from sim.worlds.load.conclude import conclude
from tests.benchmarks.figures import Figure
from tests.load.synthetic import Rows, evidence, no_more

TITLE = "A million operations of a load, judged by delegation"

_KIB = 1024 if sys.platform == "linux" else 1


def measure(quick: bool) -> list[Figure]:
    """Time and memory; a million operations unless `quick`."""
    delegations = 2_000 if quick else 472_000
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows = Rows(delegations, folder)
        rows.prepare_all()
        found, operations = evidence(folder, delegations, workers=2)
        begun_s = perf_counter()
        result = asyncio.run(conclude(found, rows, no_more))
        took_s = perf_counter() - begun_s
    assert not result.tally.violations and result.tally.accepted == delegations
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB
    largest_child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _KIB
    memory_bytes = own + largest_child * (os.cpu_count() or 1)
    return [
        Figure("operations", operations, ""),
        Figure("a million operations judged", took_s / operations * 1e6, "s", at_most=None if quick else 60),
        Figure("memory of all processes", memory_bytes / 1e6, "MB", at_most=500),
    ]
