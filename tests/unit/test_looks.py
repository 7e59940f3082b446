"""`Looks` keeps its connection while that is in order, and never reads the rest of one answer as the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import pytest

from sim.worlds.http_client import Looks

T = TypeVar("T")

WHOLE = b'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"a"'
CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n"b"\r\n0\r\n\r\n'
LAST = b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\n"c"'
OLD = b'HTTP/1.0 200 OK\r\n\r\n"d"'
HALF = b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"'
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"


def against(answers: Sequence[bytes], use: Callable[[Looks], Awaitable[T]], *, hangs: bool = False) -> tuple[T, int]:
    """What `use` returns, and how many connections it took; each request gets the next of `answers`.

    `hangs`: a connection stays open after an answer that was not whole.
    """
    left = list(answers)
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                answer = left.pop(0)
                writer.write(answer)
                if answer in (LAST, OLD) or (answer == HALF and not hangs):
                    break
        except asyncio.IncompleteReadError:
            pass
        writer.close()

    async def main() -> T:
        server = await asyncio.start_server(serve, "127.0.0.1")
        async with server:
            looks = Looks(*server.sockets[0].getsockname()[:2])
            try:
                return await use(looks)
            finally:
                looks.close()

    return asyncio.run(main()), connections


async def twice(looks: Looks) -> list[Any]:
    return [await looks.get("/", {}), await looks.get("/", {})]


@pytest.mark.parametrize("first", [WHOLE, CHUNKED, EMPTY])
def test_a_connection_in_order_is_kept(first: bytes) -> None:
    answers, connections = against([first, WHOLE], twice)
    assert answers[1] == (200, "a")
    assert connections == 1


@pytest.mark.parametrize(("first", "body"), [(LAST, "c"), (OLD, "d")])
def test_an_answer_that_is_the_last_is_followed_by_a_new_connection(first: bytes, body: str) -> None:
    answers, connections = against([first, WHOLE], twice)
    assert answers == [(200, body), (200, "a")]
    assert connections == 2


def test_half_an_answer_is_an_error_and_the_next_look_connects_anew() -> None:
    async def use(looks: Looks) -> Any:
        with pytest.raises(OSError, match="of 9 expected bytes"):
            await looks.get("/", {})
        return await looks.get("/", {})

    assert against([HALF, WHOLE], use) == ((200, "a"), 2)


def test_who_gives_up_in_the_middle_of_an_answer_does_not_spoil_the_next() -> None:
    async def use(looks: Looks) -> Any:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(looks.get("/", {}), 0.2)
        return await looks.get("/", {})

    assert against([HALF, WHOLE], use, hangs=True) == ((200, "a"), 2)


def test_nobody_there_is_an_error() -> None:
    async def main() -> None:
        with pytest.raises(OSError, match="Connect call failed"):
            await Looks("127.0.0.1", 1).get("/", {})

    asyncio.run(main())
