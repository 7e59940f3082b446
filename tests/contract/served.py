"""A world on a thread of its own, for tests that are not written as coroutines (Hypothesis, schemathesis)."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from tests.contract.world import Behaviour, World, world

T = TypeVar("T")
ANSWER_WITHIN_S = 20.0


class Served:
    """The world, and a way to do something in it."""

    def __init__(self, it: World, loop: asyncio.AbstractEventLoop) -> None:
        self.it = it
        self._loop = loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it on the world's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(ANSWER_WITHIN_S)


@contextlib.contextmanager
def served(database: tuple[str, str], *behaviours: Behaviour, **settings: Any) -> Iterator[Served]:
    """Like `world`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="world", daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(ANSWER_WITHIN_S)

    made = world(database, *behaviours, **settings)
    try:
        it = run(made.__aenter__())
        try:
            yield Served(it, loop)
        finally:
            run(made.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
