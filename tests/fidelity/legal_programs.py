"""Small correct programs: each relies on one thing that asyncio or TCP promises, and on nothing that they leave open.

So none may ever fail, whatever the seed: a failure would be the simulator's own. Not promised, and not relied on here:
the order of timers with equal deadlines, when an executor call completes, in how many pieces bytes arrive, which of
two connections is served first.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
from collections.abc import Awaitable, Callable
from typing import TypeAlias

Program: TypeAlias = Callable[[], Awaitable[None]]
PROGRAMS: dict[str, Program] = {}


def program(play: Program) -> Program:
    """Enter a program under its function's name."""
    PROGRAMS[play.__name__] = play
    return play


# --- callbacks and time ---------------------------------------------------------------------------------------------


@program
async def call_soon_is_first_in_first_out() -> None:
    loop = asyncio.get_running_loop()
    seen: list[int] = []
    for number in range(20):
        loop.call_soon(seen.append, number)
    await asyncio.sleep(0)
    assert seen == list(range(20))


@program
async def callbacks_of_callbacks_come_after_those_that_wait() -> None:
    loop = asyncio.get_running_loop()
    seen: list[str] = []

    def first() -> None:
        seen.append("first")
        loop.call_soon(seen.append, "third")

    loop.call_soon(first)
    loop.call_soon(seen.append, "second")
    for _ in range(3):
        await asyncio.sleep(0)
    assert seen == ["first", "second", "third"]


@program
async def timers_fire_in_the_order_of_their_deadlines() -> None:
    loop = asyncio.get_running_loop()
    seen: list[int] = []
    for delay_ms in (7, 3, 9, 1, 5):
        loop.call_later(delay_ms / 1000, seen.append, delay_ms)
    now = loop.time()
    for delay_ms in (8, 2, 6):
        loop.call_at(now + delay_ms / 1000, seen.append, delay_ms)
    await asyncio.sleep(0.015)
    assert seen == [1, 2, 3, 5, 6, 7, 8, 9]


@program
async def timer_set_by_a_timer_may_overtake_an_older_one() -> None:
    loop = asyncio.get_running_loop()
    seen: list[str] = []
    # Correct only if the second timer is set before the older one is due: a busy machine may be late by much.
    loop.call_later(0.5, seen.append, "older")
    loop.call_later(0.001, lambda: loop.call_later(0.003, seen.append, "newer"))
    await asyncio.sleep(0.503)
    assert seen == ["newer", "older"]


@program
async def cancelled_handles_are_never_called() -> None:
    loop = asyncio.get_running_loop()
    seen: list[str] = []
    soon, later = loop.call_soon(seen.append, "soon"), loop.call_later(0.001, seen.append, "later")
    loop.call_later(0.003, seen.append, "kept")
    soon.cancel()
    later.cancel()
    await asyncio.sleep(0.005)
    assert seen == ["kept"] and soon.cancelled() and later.cancelled()


@program
async def time_never_runs_backwards() -> None:
    loop = asyncio.get_running_loop()
    instants = [loop.time()]
    for delay_ms in (0, 1, 0, 2):
        await asyncio.sleep(delay_ms / 1000)
        instants.append(loop.time())
    assert instants == sorted(instants)
    assert instants[-1] - instants[0] > 0.0029


@program
async def waiting_for_a_deadline_ends() -> None:
    # A clock that stands still a hair before the deadline that woke the program would spin here for ever.
    loop = asyncio.get_running_loop()
    for delay_s in (0.001, 0.0001, 0.00123456789, 1 / 3000, 0.0007):
        deadline = loop.time() + delay_s
        fired = asyncio.Event()

        def check(deadline: float = deadline, fired: asyncio.Event = fired) -> None:
            if loop.time() < deadline:
                loop.call_at(deadline, check)
            else:
                fired.set()

        loop.call_at(deadline, check)
        await fired.wait()


@program
async def sleeping_zero_lets_others_run() -> None:
    seen: list[str] = []

    async def walk(name: str) -> None:
        for _ in range(3):
            seen.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(walk("a"), walk("b"))
    assert seen == ["a", "b"] * 3


@program
async def contexts_are_copied_when_work_is_scheduled() -> None:
    loop = asyncio.get_running_loop()
    variable = contextvars.ContextVar("variable", default=0)
    seen: list[int] = []

    async def look() -> None:
        seen.append(variable.get())
        variable.set(99)

    variable.set(1)
    loop.call_soon(lambda: seen.append(variable.get()))
    task = asyncio.create_task(look())
    loop.call_later(0.001, lambda: seen.append(variable.get()))
    variable.set(2)
    loop.call_soon(lambda: seen.append(variable.get()))
    await task
    await asyncio.sleep(0.003)
    assert seen == [1, 1, 2, 1] and variable.get() == 2


def _note(seen: list[str], what: str, _: object) -> None:
    seen.append(what)


# --- futures and tasks ----------------------------------------------------------------------------------------------


@program
async def done_callbacks_are_scheduled_in_order_and_never_called_at_once() -> None:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    seen: list[str] = []
    for name in "abc":
        future.add_done_callback(functools.partial(_note, seen, name))
    future.set_result(None)
    loop.call_soon(seen.append, "after")
    assert seen == []
    future.add_done_callback(functools.partial(_note, seen, "late"))
    assert seen == []
    await asyncio.sleep(0)
    assert seen == ["a", "b", "c", "after", "late"]


@program
async def waiters_of_a_future_wake_in_order() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    seen: list[tuple[str, int]] = []

    async def wait(name: str) -> None:
        seen.append((name, await future))

    tasks = [asyncio.create_task(wait(name)) for name in "abc"]
    await asyncio.sleep(0)
    future.set_result(7)
    await asyncio.gather(*tasks)
    assert seen == [("a", 7), ("b", 7), ("c", 7)]


@program
async def cancellation_is_delivered_at_the_next_await() -> None:
    seen: list[str] = []

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        seen.append("still running")
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            seen.append("finally")

    task = asyncio.create_task(work())
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert seen == ["still running", "cancelled", "finally"] and task.cancelled()


@program
async def task_cancelled_before_it_starts_never_starts() -> None:
    seen: list[str] = []

    async def work() -> None:
        seen.append("started")

    task = asyncio.create_task(work())
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() and seen == []


@program
async def task_may_refuse_cancellation() -> None:
    async def work() -> str:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(0.001)
        return "done all the same"

    task = asyncio.create_task(work())
    await asyncio.sleep(0.001)
    task.cancel()
    assert await task == "done all the same" and not task.cancelled() and task.cancelling() == 1


@program
async def shield_protects_the_inner_task() -> None:
    release = asyncio.Event()

    async def work() -> str:
        await release.wait()
        return "done"

    inner = asyncio.create_task(work())
    outer = asyncio.ensure_future(asyncio.shield(inner))
    await asyncio.sleep(0)
    outer.cancel()
    await asyncio.wait([outer])
    assert outer.cancelled() and not inner.done()
    release.set()
    assert await inner == "done"


@program
async def gather_keeps_the_order_of_its_arguments() -> None:
    async def work(number: int) -> int:
        await asyncio.sleep((5 - number) / 1000)
        if number == 3:
            raise KeyError(number)
        return number

    results = await asyncio.gather(*map(work, range(5)), return_exceptions=True)
    assert results[:3] == [0, 1, 2] and results[4] == 4 and isinstance(results[3], KeyError)


@program
async def gather_passes_cancellation_on() -> None:
    seen: list[int] = []

    async def work(number: int) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append(number)
            raise

    both = asyncio.ensure_future(asyncio.gather(work(1), work(2)))
    await asyncio.sleep(0.001)
    both.cancel()
    try:
        await both
    except asyncio.CancelledError:
        assert sorted(seen) == [1, 2]
    else:
        raise AssertionError("gather lost its cancellation")


@program
async def task_group_cancels_siblings_of_a_failure() -> None:
    seen: list[str] = []

    async def fail() -> None:
        await asyncio.sleep(0.001)
        raise ValueError("on purpose")

    async def wait() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(wait()), group.create_task(fail()), group.create_task(wait())]
    except* ValueError as errors:
        assert len(errors.exceptions) == 1
        seen.append("group")
    assert seen == ["cancelled", "cancelled", "group"] and all(task.done() for task in tasks)


@program
async def as_completed_gives_everything_once_in_the_order_of_completion() -> None:
    async def work(delay_ms: int) -> int:
        await asyncio.sleep(delay_ms / 1000)
        return delay_ms

    delays = [5, 1, 9, 3, 7]
    assert [await each for each in asyncio.as_completed([work(delay) for delay in delays])] == sorted(delays)


@program
async def wait_returns_at_the_first() -> None:
    async def work(delay_s: float) -> None:
        await asyncio.sleep(delay_s)

    quick, slow = asyncio.create_task(work(0.001)), asyncio.create_task(work(3600))
    done, pending = await asyncio.wait([quick, slow], return_when=asyncio.FIRST_COMPLETED)
    assert done == {quick} and pending == {slow}
    done, pending = await asyncio.wait([slow], timeout=0.002)
    assert not done and pending == {slow} and not slow.cancelled()
    slow.cancel()


@program
async def wait_for_cancels_what_is_late_and_gives_what_is_not() -> None:
    seen: list[str] = []

    async def work(delay_s: float) -> str:
        try:
            await asyncio.sleep(delay_s)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return "done"

    assert await asyncio.wait_for(work(0.001), 3600) == "done"
    try:
        await asyncio.wait_for(work(3600), 0.001)
    except TimeoutError:
        seen.append("late")
    assert seen == ["cancelled", "late"]


@program
async def timeouts_nest_and_can_be_moved() -> None:
    seen: list[str] = []
    async with asyncio.timeout(3600) as outer:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(3600)
        except TimeoutError:
            seen.append("inner")
        outer.reschedule(asyncio.get_running_loop().time() + 7200)
        await asyncio.sleep(0.001)
    assert seen == ["inner"] and not outer.expired()
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0


@program
async def result_and_timeout_of_one_instant_give_one_of_the_two() -> None:
    async def work() -> str:
        await asyncio.sleep(0.002)
        return "done"

    task = asyncio.create_task(work())
    try:
        assert await asyncio.wait_for(task, 0.002) == "done"
    except TimeoutError:
        assert task.cancelled()


@program
async def every_task_is_known_until_it_is_done() -> None:
    release = asyncio.Event()
    task = asyncio.create_task(release.wait(), name="known")
    assert task in asyncio.all_tasks() and task.get_name() == "known"
    release.set()
    await task
    assert task not in asyncio.all_tasks()
