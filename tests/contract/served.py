"""A world on a thread of its own, on real sockets: for clients that block, as those of schemathesis do."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.contract.agents import Behaviour
from tests.contract.database import Database
from tests.contract.world import World, world

T = TypeVar("T")
ANSWER_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Served:
    """The world, and a way to do something in it, which ends when it is done."""

    it: World
    run: Callable[[Coroutine[Any, Any, Any]], Any]


@contextlib.contextmanager
def served(database: Database, *behaviours: Behaviour, **settings: Any) -> Iterator[Served]:
    """Like `world`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="world", daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(ANSWER_WITHIN_S)

    made = world(database.on_real_sockets(), *behaviours, **settings)
    try:
        it = run(made.__aenter__())
        try:
            yield Served(it, run)
        finally:
            run(made.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
