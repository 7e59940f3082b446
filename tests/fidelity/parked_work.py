"""Every way in which a program can have work parked: what a power cut has to stop.

Each way parks something that acts once `DUE_S` seconds have passed, and acts in `finally` blocks too. Some need the
outside to finish what was parked: `visit` runs on another machine, beginning when the program has settled.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

DUE_S = 1.0
PORT = 7000
HOST = "victim"


@dataclass(slots=True)
class Life:
    """What the program of a machine did that others can notice: a note in shared memory, bytes on a connection."""

    writer: asyncio.StreamWriter
    acts: list[str]
    outside: asyncio.Future[None]
    kept: list[object] = field(default_factory=list)

    def act(self, what: str = "acted", *_: object) -> None:
        """Do something that others can notice."""
        self.acts.append(what)
        self.writer.write(b"!")

    async def work(self, due: Awaitable[Any] | None = None) -> None:
        """Wait until `due`, or for `DUE_S`, and act; act when interrupted too."""
        try:
            await (due if due is not None else asyncio.sleep(DUE_S))
        finally:
            self.act("after waiting")


@dataclass(frozen=True, slots=True)
class Way:
    """One way to park work, and what the outside does about it."""

    park: Callable[[Life], Awaitable[None]]
    visit: Callable[[], Awaitable[None]] | None = None


WAYS: dict[str, Way] = {}


def way(
    visit: Callable[[], Awaitable[None]] | None = None,
) -> Callable[[Callable[[Life], Awaitable[None]]], Callable[[Life], Awaitable[None]]]:
    """Enter a way under its function's name."""

    def enter(park: Callable[[Life], Awaitable[None]]) -> Callable[[Life], Awaitable[None]]:
        WAYS[park.__name__] = Way(park, visit)
        return park

    return enter


# --- tasks ----------------------------------------------------------------------------------------------------------


@way()
async def the_program_itself(life: Life) -> None:
    await life.work()


@way()
async def create_task(life: Life) -> None:
    life.kept.append(asyncio.create_task(life.work()))


@way()
async def ensure_future(life: Life) -> None:
    life.kept.append(asyncio.ensure_future(life.work()))


@way()
async def task_nobody_keeps(life: Life) -> None:
    asyncio.create_task(life.work())  # noqa: RUF006


@way()
async def task_group(life: Life) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(life.work())
            group.create_task(life.work())
    finally:
        life.act("after the group")


@way()
async def gather(life: Life) -> None:
    await asyncio.gather(life.work(), life.work())
    life.act("after gathering")


@way()
async def shield(life: Life) -> None:
    await asyncio.shield(life.work())


@way()
async def nested_tasks(life: Life) -> None:
    async def deeper(depth: int) -> None:
        await (asyncio.create_task(deeper(depth - 1)) if depth else life.work())
        life.act(f"depth {depth}")

    await deeper(4)


if sys.version_info >= (3, 12):

    @way()
    async def eager_task(life: Life) -> None:
        loop = asyncio.get_running_loop()
        life.kept.append(asyncio.Task(life.work(), loop=loop, eager_start=True))

    @way()
    async def eager_task_factory(life: Life) -> None:
        loop = asyncio.get_running_loop()
        life.kept.append(asyncio.eager_task_factory(loop, life.work()))


@way()
async def task_in_a_copied_context(life: Life) -> None:
    contextvars.copy_context().run(lambda: life.kept.append(asyncio.ensure_future(life.work())))


@way()
async def task_in_an_empty_context(life: Life) -> None:
    life.kept.append(asyncio.create_task(life.work(), context=contextvars.Context()))


# --- callbacks ------------------------------------------------------------------------------------------------------


@way()
async def call_later(life: Life) -> None:
    asyncio.get_running_loop().call_later(DUE_S, life.act)


@way()
async def call_at(life: Life) -> None:
    loop = asyncio.get_running_loop()
    loop.call_at(loop.time() + DUE_S, life.act)


@way()
async def call_later_in_a_copied_context(life: Life) -> None:
    loop = asyncio.get_running_loop()
    contextvars.copy_context().run(lambda: contextvars.copy_context().run(lambda: loop.call_later(DUE_S, life.act)))


@way()
async def call_later_in_an_empty_context(life: Life) -> None:
    asyncio.get_running_loop().call_later(DUE_S, life.act, context=contextvars.Context())


@way()
async def chain_of_callbacks(life: Life) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time() + DUE_S

    def look() -> None:
        if loop.time() < due:
            loop.call_soon(loop.call_later, 0.01, look)
        else:
            life.act()

    loop.call_soon(look)


@way()
async def done_callback(life: Life) -> None:
    sleeping = asyncio.ensure_future(asyncio.sleep(DUE_S))
    sleeping.add_done_callback(lambda _: life.act())
    life.kept.append(sleeping)


@way()
async def done_callback_on_a_foreign_future(life: Life) -> None:
    life.outside.add_done_callback(lambda _: life.act())


# --- waiting --------------------------------------------------------------------------------------------------------


@way()
async def foreign_future(life: Life) -> None:
    await life.work(life.outside)


@way()
async def timeout(life: Life) -> None:
    try:
        async with asyncio.timeout(DUE_S):
            await asyncio.sleep(3600)
    except TimeoutError:
        life.act()


@way()
async def wait_for(life: Life) -> None:
    try:
        await asyncio.wait_for(asyncio.sleep(3600), DUE_S)
    except TimeoutError:
        life.act()


@way()
async def executor(life: Life) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time() + DUE_S
    while loop.time() < due:
        await loop.run_in_executor(None, int)
    life.act()


@way()
async def to_thread(life: Life) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time() + DUE_S
    while loop.time() < due:
        await asyncio.to_thread(int)
    life.act()


@way()
async def lock_waiters(life: Life) -> None:
    lock = asyncio.Lock()

    async def hold() -> None:
        async with lock:
            await life.work()

    await asyncio.gather(hold(), hold())


@way()
async def queue_consumer(life: Life) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    asyncio.get_running_loop().call_later(DUE_S, queue.put_nowait, 1)
    await life.work(queue.get())


@way()
async def async_generator(life: Life) -> None:
    async def numbers() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
                await asyncio.sleep(DUE_S)
        finally:
            life.act("generator closed")

    steps = 0
    async for _ in numbers():
        steps += 1
        if steps == 2:
            life.act()
            break


@way()
async def exit_stack(life: Life) -> None:
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(life.act, "left")
        await asyncio.sleep(DUE_S)


@way()
async def destructor(life: Life) -> None:
    class Precious:
        def __del__(self) -> None:
            life.acts.append("destroyed")  # no bytes: destructors also run when the world is thrown away

    precious = Precious()
    await asyncio.sleep(DUE_S)
    del precious
    life.act()
