"""The stage on which a situation plays: real loopback sockets, or the simulated network.

A situation is a small program about connections that returns what it observed as plain strings and integers. It plays
on the real stage and on simulated ones; what it observed must be equal, down to exception class and errno. So a
situation may not observe what a network leaves open: latencies, how bytes are cut into segments, sizes of buffers.
Where the order of two things matters, an event or `settle` stands between them.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
Observations: TypeAlias = list[str | int]

# glibc refuses a name with this character before it asks any server, so no resolver is needed to not know it.
UNKNOWN_HOST = "a_b!.invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where a situation plays.

    `host` reaches the server's machine, `listen_host` is what servers there bind. `spawn` runs a coroutine as a part of
    the server's machine; the situation itself runs on the client's. `pause_s` is a tenth of what `settle` waits.
    """

    host: str
    listen_host: str
    pause_s: float
    spawn: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]

    async def on_server(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` on the server's machine to its end."""
        result: T = await self.spawn(coroutine)
        return result

    async def settle(self) -> None:
        """Let everything under way arrive and be reacted to: many turns of the loop, however slow each is."""
        for _ in range(10):
            await asyncio.sleep(self.pause_s)


Situation: TypeAlias = Callable[[Stage], Awaitable[Observations]]
SITUATIONS: dict[str, Situation] = {}


def situation(play: Situation) -> Situation:
    """Enter a situation under its function's name."""
    enter(play.__name__, play)
    return play


def enter(name: str, play: Situation) -> None:
    """Enter a situation under `name`."""
    assert name not in SITUATIONS, f"two situations are called {name}"
    SITUATIONS[name] = play


def describe(error: BaseException) -> str:
    """The class and errno of an exception and of all that it was raised from, without texts (they hold addresses)."""
    return " from ".join(
        f"{type(link).__module__}.{type(link).__qualname__}[{getattr(link, 'errno', None)}]" for link in _chain(error)
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        yield link
        seen.append(link)
        link = getattr(link, "os_error", None) or link.__cause__


async def outcome(awaitable: Awaitable[object]) -> str | int:
    """What came of `awaitable`: its plain result, or its exception described."""
    try:
        result = await awaitable
    except (Exception, asyncio.CancelledError) as error:
        return describe(error)
    return result if isinstance(result, int) else repr(result)


def attempt(call: Callable[..., object], *arguments: object) -> str | int:
    """As `outcome`, for a plain call."""
    try:
        result = call(*arguments)
    except Exception as error:
        return describe(error)
    return result if isinstance(result, int) else repr(result)


LINGER_ZERO = struct.pack("ii", 1, 0)


def reset(transport: asyncio.BaseTransport) -> None:
    """Close with RST at once, as `SO_LINGER` of zero seconds asks for."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
    transport.abort()  # type: ignore[attr-defined]


def cut(writer: asyncio.StreamWriter, how: str) -> None:
    """End a connection with `FIN` or `RST`."""
    if how == "RST":
        reset(writer.transport)
    else:
        writer.close()
