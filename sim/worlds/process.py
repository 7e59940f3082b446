"""A program on a node as a process: it runs until it is asked to stop, loses its power, or ends by itself.

With a process goes all that it began: what is left of it when its main coroutine ends, or when anything in it calls for
`sys.exit`, does not run any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from sim.kernel import Node

Program = Callable[[asyncio.Event, Callable[[], None]], Coroutine[None, None, None]]
"""Given what is set to ask it to stop, and what it calls once it is ready."""


class Process:
    """One life of a program; `ended_by_itself` is told what ended it, where nobody had asked."""

    def __init__(self, node: Node, program: Program, *, ended_by_itself: Callable[[str], None]) -> None:
        self._node = node
        self._ended_by_itself = ended_by_itself
        self._asked = asyncio.Event()
        self._gone: Callable[[], None] | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._life = node.incarnation
        node.on_exit = self._end
        self._main = node.spawn(program(self._asked, self._is_ready))
        self._main.add_done_callback(lambda main: self._end(main.exception()))

    async def ready(self) -> None:
        """Wait until the program says that it is ready. Raises what ended it before."""
        await asyncio.wait([self._main, self._ready], return_when=asyncio.FIRST_COMPLETED)
        if not self._ready.done():
            self._main.result()

    def stop(self, gone: Callable[[], None]) -> None:
        """Ask it to stop, as SIGTERM does; `gone` is called when it has ended."""
        self._gone = gone
        self._asked.set()
        if self._life.dead:
            gone()

    def _is_ready(self) -> None:
        if not self._ready.done():
            self._ready.set_result(None)

    def _end(self, error: BaseException | None) -> None:
        if self._life.dead:
            return
        self._node.kill()
        if self._gone is not None:
            self._gone()
        else:
            self._ended_by_itself("its program came to an end" if error is None else f"{type(error).__name__}: {error}")
