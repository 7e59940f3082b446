"""All benchmarks by name, and each one's table, measured in a process of its own."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from types import ModuleType

from tests.benchmarks import (
    broker,
    callbacks,
    fresh_world,
    judging,
    peers,
    retry,
    toxiproxy,
    two_cores,
    under_load,
    virtual_day,
)
from tests.benchmarks.figures import table

_NAMED_AFTER_THEIR_FILES = (fresh_world, two_cores, retry, callbacks, virtual_day, peers, broker, toxiproxy, judging)
BENCHMARKS: dict[str, ModuleType] = {
    **{module.__name__.rpartition(".")[2]: module for module in _NAMED_AFTER_THEIR_FILES},
    "load": under_load,
}


def run_apart(name: str, quick: bool) -> str:
    """The table of one benchmark; apart, because benchmarks pin themselves to a core and freeze the heap."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(run, name, quick).result()


def run(name: str, quick: bool) -> str:
    """Measure here and now."""
    module = BENCHMARKS[name]
    return table(module.TITLE, module.measure(quick))
