"""More small correct programs: what tasks promise each other through locks and queues, executors, and connections."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeAlias

from .legal_programs import program

# --- synchronisation ------------------------------------------------------------------------------------------------


@program
async def lock_is_fair() -> None:
    lock = asyncio.Lock()
    seen: list[int] = []

    async def work(number: int) -> None:
        async with lock:
            seen.append(number)
            await asyncio.sleep(0.001)
            assert seen[-1] == number

    await asyncio.gather(*map(work, range(4)))
    assert seen == [0, 1, 2, 3] and not lock.locked()


@program
async def semaphore_admits_no_more_than_its_number() -> None:
    semaphore = asyncio.BoundedSemaphore(2)
    inside, most = 0, 0

    async def work(number: int) -> None:
        nonlocal inside, most
        async with semaphore:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.0005 * (number % 3))
            inside -= 1

    await asyncio.gather(*map(work, range(6)))
    assert most == 2 and inside == 0


@program
async def event_wakes_all_who_wait() -> None:
    event = asyncio.Event()
    tasks = [asyncio.create_task(event.wait()) for _ in range(4)]
    await asyncio.sleep(0.001)
    assert not any(task.done() for task in tasks)
    event.set()
    assert await asyncio.gather(*tasks) == [True] * 4


@program
async def condition_wakes_as_many_as_asked() -> None:
    condition = asyncio.Condition()
    seen: list[int] = []

    async def wait(number: int) -> None:
        async with condition:
            await condition.wait()
            seen.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(4)]
    await asyncio.sleep(0.001)
    async with condition:
        condition.notify(2)
    await asyncio.sleep(0.001)
    assert len(seen) == 2
    async with condition:
        condition.notify_all()
    await asyncio.gather(*tasks)
    assert sorted(seen) == [0, 1, 2, 3]


@program
async def queue_is_first_in_first_out_and_bounded() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)
    seen: list[int] = []

    async def consume() -> None:
        while True:
            seen.append(await queue.get())
            assert queue.qsize() <= 2
            await asyncio.sleep(0)
            queue.task_done()

    consumer = asyncio.create_task(consume())
    for number in range(10):
        await queue.put(number)
    await queue.join()
    consumer.cancel()
    assert seen == list(range(10))


@program
async def barrier_lets_all_through_together() -> None:
    barrier = asyncio.Barrier(3)
    arrived: list[int] = []

    async def walk(number: int) -> int:
        await asyncio.sleep(number / 1000)
        arrived.append(number)
        place = await barrier.wait()
        assert arrived == [0, 1, 2]
        return place

    assert sorted(await asyncio.gather(*map(walk, range(3)))) == [0, 1, 2]


@program
async def cancelled_waiters_do_not_take_a_turn() -> None:
    lock = asyncio.Lock()
    seen: list[str] = []

    async def work(name: str) -> None:
        async with lock:
            seen.append(name)

    await lock.acquire()
    tasks = {name: asyncio.create_task(work(name)) for name in "abc"}
    await asyncio.sleep(0)
    tasks["b"].cancel()
    await asyncio.sleep(0)
    lock.release()
    await asyncio.wait(tasks.values())
    assert seen == ["a", "c"]


# --- executors and generators ---------------------------------------------------------------------------------------


@program
async def executor_gives_right_results() -> None:
    loop = asyncio.get_running_loop()
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("mine")

    def fail() -> None:
        raise LookupError("on purpose")

    results = await asyncio.gather(*(loop.run_in_executor(None, pow, number, 2) for number in range(4)))
    assert results == [0, 1, 4, 9]
    assert await asyncio.to_thread(variable.get) == "mine"
    try:
        await loop.run_in_executor(None, fail)
    except LookupError:
        return
    raise AssertionError("the executor lost an exception")


@program
async def async_generators_yield_in_order_and_clean_up() -> None:
    seen: list[str] = []

    async def count() -> AsyncGenerator[int, None]:
        try:
            for number in range(5):
                await asyncio.sleep(0)
                yield number
        finally:
            await asyncio.sleep(0)
            seen.append("closed")

    async with contextlib.aclosing(count()) as numbers:
        async for number in numbers:
            seen.append(str(number))
            if number == 2:
                break
    assert seen == ["0", "1", "2", "closed"]


# --- connections ----------------------------------------------------------------------------------------------------

Script: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def _serving(script: Script) -> AsyncIterator[int]:
    server = await asyncio.start_server(script, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)
    writer.close()


@program
async def bytes_arrive_complete_and_in_order() -> None:
    sent = b"".join(b"%d," % number for number in range(300))
    async with _serving(_echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for start in range(0, len(sent), 97):
            writer.write(sent[start : start + 97])
        writer.write_eof()
        assert await reader.read() == sent
        writer.close()


@program
async def lines_arrive_in_order_on_each_connection() -> None:
    async def talk(port: int, name: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(4):
            writer.write(f"{name} {number}\n".encode())
            assert await reader.readline() == f"{name} {number}\n".encode()
        writer.close()
        await writer.wait_closed()

    async with _serving(_echo) as port:
        await asyncio.gather(*(talk(port, name) for name in "abc"))


@program
async def end_of_stream_comes_after_the_data() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"all of it")
        writer.close()
        await writer.wait_closed()

    async with _serving(script) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b"all of it" and reader.at_eof()
        writer.close()


@program
async def protocol_calls_come_in_their_order() -> None:
    calls: list[str] = []
    lost = asyncio.Event()

    class Recorder(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            calls.append("made")

        def data_received(self, data: bytes) -> None:
            calls.append(data.decode())

        def eof_received(self) -> None:
            calls.append("eof")

        def connection_lost(self, error: Exception | None) -> None:
            calls.append("lost")
            lost.set()

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Recorder, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
    for piece in (b"a", b"b", b"c"):
        writer.write(piece)
    writer.close()
    await lost.wait()
    server.close()
    assert calls[0] == "made" and "".join(calls[1:-2]) == "abc" and calls[-2:] == ["eof", "lost"]


@program
async def what_one_side_learns_the_other_has_done() -> None:
    # Causality across a connection: an acknowledgement is never seen before the deed.
    done: list[int] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            done.append(int(line))
            writer.write(line)
        writer.close()

    async with _serving(script) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"1\n2\n3\n")
        for number in (1, 2, 3):
            assert int(await reader.readline()) == number and number in done
        writer.close()


@program
async def drain_bounds_what_is_buffered() -> None:
    received = 0
    all_read = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        while data := await reader.read(1 << 16):
            received += len(data)
        writer.close()
        all_read.set()

    async with _serving(script) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        transport = writer.transport
        for _ in range(8):
            writer.write(b"x" * 100_000)
            await writer.drain()
            assert transport.get_write_buffer_size() <= transport.get_write_buffer_limits()[1]
        writer.close()
        await all_read.wait()
        assert received == 800_000
