"""One broker with everything around it: its database behind a `Wire`, a scripted agent, a client's view.

It knows of no kind of time: played by `in_virtual_time` or `stepped` all of it is simulated, and by `asyncio.run` or
`served`, on a database `on_real_sockets`, nothing is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import aiohttp
import asyncpg
import pytest

from reference_impl.app import Broker
from reference_impl.config import Config
from tests.contract.agents import Agent, Behaviour, says
from tests.contract.database import Database
from tests.contract.wire import Wire

ANN = "00000000-0000-4000-8000-00000000000a"
BOB = "00000000-0000-4000-8000-00000000000b"
POLLY = "00000000-0000-4000-8000-00000000000c"
NOBODY = "00000000-0000-4000-8000-0000000000ff"

INSTANT_S = 0.03
"""More than a broker in virtual time ever takes, on an idle network, for what it does without waiting."""

T = TypeVar("T")


def exactly(duration_s: float) -> Any:
    """So long and not an instant longer; it compares with a number."""
    return pytest.approx(duration_s, abs=INSTANT_S)


class Clock:
    """The clock of the process, which a simulation replaces; `datetime.now` it cannot."""

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time(), UTC)


@dataclass
class World:
    config: Config
    rows: asyncpg.Connection[asyncpg.Record]
    http: aiohttp.ClientSession
    bob: Agent
    wire: Wire
    loop: asyncio.AbstractEventLoop
    tables: list[str]
    """The names of all of them."""
    draw: random.Random
    """Where ids come from."""
    broker: Broker = field(init=False)
    watchers: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        """The instant that the broker would store."""
        return Clock().now()

    @property
    def time_s(self) -> float:
        """The loop's clock."""
        return self.loop.time()

    @contextlib.contextmanager
    def takes(self, duration_s: float) -> Iterator[None]:
        """What is done inside takes exactly so long (in virtual time only)."""
        began_s = self.time_s
        yield
        lasted_s = self.time_s - began_s
        assert lasted_s == exactly(duration_s), f"it took {lasted_s:.3f} s, not {duration_s:g}"

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.broker.port}"

    async def restart(self) -> None:
        """Stop the broker, which cuts off what does not end in its grace, and start another."""
        await self.broker.stop()
        await self.start()

    async def start(self) -> None:
        """Start a broker, the first or another."""
        self.broker = Broker(self.config, clock=Clock(), new_id=self.new_id)
        await self.broker.start()

    def new_id(self) -> str:
        return str(uuid.UUID(int=self.draw.getrandbits(128), version=4))

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.post(self.base + path, data=data, headers=named) as response:
            raw = await response.read()
            return response.status, json.loads(raw) if raw else None

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        async with self.http.get(self.base + path, headers=headers) as response:
            return response.status, await response.json()

    async def watch(self) -> list[dict[str, Any]]:
        """All that a watcher of /ws is told, from now on."""
        told: list[dict[str, Any]] = []
        socket = await self.http.ws_connect(self.base + "/ws")

        async def read() -> None:
            async for message in socket:
                told.append(message.json())

        self.watchers.append(asyncio.create_task(read()))
        return told

    async def delegate(self, *, target: str = BOB, **body: Any) -> tuple[int, Any]:
        return await self.post(f"/workspaces/{ANN}/delegate", {"target_id": target, "task": "write the tests", **body})

    async def status(self, delegation_id: str) -> str | None:
        found = await self.rows.fetchval(
            "SELECT status FROM activity_logs WHERE delegation_id = $1 AND method = 'delegate'", delegation_id
        )
        return found and str(found)

    async def settled(self, delegation_id: str, *statuses: str) -> str:
        """Wait until the delegate row has one of the statuses (completed or failed unless said)."""

        async def look() -> str | None:
            status = await self.status(delegation_id)
            return status if status in (statuses or ("completed", "failed")) else None

        return await until(look)

    async def kinds(self, delegation_id: str) -> list[tuple[str, str, str]]:
        """(type, method, status) of every row that belongs to the delegation, in a fixed order."""
        rows = await self.rows.fetch(
            "SELECT activity_type, method, status FROM activity_logs WHERE delegation_id = $1 "
            "ORDER BY activity_type DESC, method",
            delegation_id,
        )
        return [tuple(row) for row in rows]

    async def events(self, delegation_id: str) -> list[tuple[str, dict[str, Any]]]:
        rows = await self.rows.fetch(
            "SELECT event_type, payload FROM structure_events WHERE payload ->> 'delegation_id' = $1 ORDER BY seq",
            delegation_id,
        )
        return [(row["event_type"], json.loads(row["payload"])) for row in rows]

    async def ended_after_s(self, delegation_id: str) -> float:
        """Seconds from the first of its events to the last, by the instants that the broker stored."""
        lasted = await self.rows.fetchval(
            "SELECT max(created_at) - min(created_at) FROM structure_events WHERE payload ->> 'delegation_id' = $1",
            delegation_id,
        )
        return float(lasted.total_seconds())

    async def one(self, query: str, *arguments: Any) -> asyncpg.Record:
        rows = await self.rows.fetch(query, *arguments)
        assert len(rows) == 1, rows
        return rows[0]


async def until(look: Callable[[], Awaitable[T | None]], *, within_s: float = 3600.0) -> T:
    """What `look` finds at last, looking ever less often: the database does not call back."""
    pause_s = 0.01
    async with asyncio.timeout(within_s):
        while (found := await look()) is None:
            await asyncio.sleep(pause_s)
            pause_s = min(1.5 * pause_s, 1.0)
    return found


@contextlib.asynccontextmanager
async def world(database: Database, *behaviours: Behaviour, **settings: Any) -> AsyncIterator[World]:
    """A new broker on an emptied database. `behaviours`: what Bob does; `settings`: what is not as by default."""
    wire = Wire(database)
    await wire.start()
    bob = Agent(list(behaviours) or [says("done")])
    await bob.start()
    database.tables.reset(
        "INSERT INTO workspaces (id, name, status, url, delivery_mode) VALUES "
        f"('{ANN}', 'ann', 'online', NULL, 'poll'), ('{BOB}', 'bob', 'online', '{bob.url}', 'push'), "
        f"('{POLLY}', 'polly', 'online', '{bob.url}', 'poll')"
    )
    config = Config(
        database_url=database.url(host="127.0.0.1", port=wire.port),
        port=0,
        environment="development",
        allow_loopback=True,
    )
    it = World(
        config=replace(config, **settings),
        rows=await asyncpg.connect(database.url(host=database.host, port=database.port)),
        http=aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3600)),
        bob=bob,
        wire=wire,
        loop=asyncio.get_running_loop(),
        tables=database.tables.tables,
        draw=random.Random(1),
    )
    await it.start()
    try:
        yield it
    finally:
        for watcher in it.watchers:
            watcher.cancel()
        await it.http.close()
        await it.broker.stop()
        await it.rows.close()
        bob.stop()
        await wire.stop()
