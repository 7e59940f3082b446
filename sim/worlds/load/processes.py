"""Where the work after a load is done: in a process a core, or here, if there is little of it."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any

_HERE_BYTES = 2_000_000
"""Less than this is done sooner than a process starts."""


class Here(Executor):
    """Does at once, and here, what it is given."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do it; what it raises is raised here."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def executor_for(size_bytes: int) -> Executor:
    """Who does the work that so much was written down for."""
    cores = os.cpu_count() or 1
    if cores == 1 or size_bytes < _HERE_BYTES:
        return Here()
    # Spawned: a fork would inherit a loop, connections and children that are not its own.
    context = multiprocessing.get_context("spawn")
    # Histories are trees: they go when nobody needs them, and looking for cycles in them takes a third of the time.
    return ProcessPoolExecutor(cores, mp_context=context, initializer=gc.disable)
