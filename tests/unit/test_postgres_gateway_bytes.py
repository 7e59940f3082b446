"""What the client receives, byte by byte: the same in every world, the same with and without shortcuts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any, Literal

import asyncpg
import pytest

from sim.kernel.postgres_gateway import normalise, wire
from sim.worlds.components.postgres import EmbeddedPostgres

from .gateway_world import Bench, World, make_bench


@pytest.fixture(scope="module")
def bench(postgres_server: EmbeddedPostgres) -> Iterator[Bench]:
    bench = make_bench(postgres_server, "gateway_bytes")
    yield bench
    bench.backends.close()
    bench.database.close()


class Recorder:
    """A relay in front of the gateway that keeps what goes to each client, connection by connection."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.received: list[bytearray] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> dict[str, Any]:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return {**self._world.address, "port": self._server.sockets[0].getsockname()[1]}

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept = bytearray()
        self.received.append(kept)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._world.port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, copy: bytearray | None) -> None:
            while data := await source.read(65536):
                if copy is not None:
                    copy += data
                sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, up_writer, None), pump(up_reader, writer, kept))


STATEMENTS = (
    ("INSERT INTO item (id, name) VALUES ($1, $2)", lambda r: (r.randrange(8), f"name {r.randrange(4)}")),
    ("UPDATE item SET n = n + $2 WHERE id = $1 RETURNING n", lambda r: (r.randrange(8), r.randrange(5))),
    ("SELECT id, name, n FROM item WHERE n >= $1 ORDER BY id", lambda r: (r.randrange(5),)),
    ("DELETE FROM item WHERE id = $1", lambda r: (r.randrange(8),)),
    ("INSERT INTO log (what) VALUES ($1) RETURNING id", lambda r: (f"w{r.randrange(9)}",)),
    ("SELECT * FROM nothing WHERE a = $1", lambda r: (1,)),
    ("SELECT 1 / $1::int", lambda r: (r.randrange(2),)),
    ("SELECT now(), $1::int", lambda r: (1,)),
)


LEVELS: tuple[Literal["read_committed", "serializable", "repeatable_read"], ...] = (
    "read_committed", "serializable", "repeatable_read",
)  # fmt: skip


async def random_client(address: dict[str, Any], seed: int) -> None:
    """What a broker might send, drawn from a seed: pools, transactions of all levels, failures, resets."""
    draw = random.Random(seed)
    async with asyncpg.create_pool(**address, min_size=1, max_size=1) as pool:
        for _ in range(12):
            async with pool.acquire() as connection:
                try:
                    if draw.random() < 0.4:
                        await run_one(connection, draw)
                    else:
                        level = draw.choice(LEVELS)
                        async with connection.transaction(isolation=level):
                            for _ in range(draw.randrange(4)):
                                await run_one(connection, draw)
                except asyncpg.PostgresError:
                    pass


async def run_one(connection: Any, draw: random.Random) -> None:
    choice = draw.random()
    if choice < 0.1:
        await connection.execute("SET work_mem = '3MB'")
    elif choice < 0.2:
        await connection.execute("SELECT pg_advisory_lock(3)")
    elif choice < 0.25:
        await connection.execute("SELECT no_such_column")
    elif choice < 0.3:
        await connection.execute("DEALLOCATE ALL")
    else:
        sql, arguments = draw.choice(STATEMENTS)
        await connection.fetch(sql, *arguments(draw))


def received(bench: Bench, seed: int, *, fast: bool) -> list[bytes]:
    async def story(world: World) -> list[bytes]:
        recorder = Recorder(world)
        async with recorder as address:
            await random_client(address, seed)
        return [bytes(kept) for kept in recorder.received]

    return bench.play(story, fast=fast)  # type: ignore[no-any-return]


@pytest.mark.parametrize("seed", range(15))
def test_shortcuts_change_no_byte(bench: Bench, seed: int) -> None:
    plain = received(bench, seed, fast=False)
    assert received(bench, seed, fast=True) == plain
    assert received(bench, seed, fast=True) == plain
    assert sum(map(len, plain)) > 2000


def test_shortcuts_spare_most_round_trips(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from sim.kernel.postgres_gateway.backend import Backend

    sent: list[int] = []
    send = Backend.send

    def counted(self: Backend, batch: bytes, *, prefix: int, flushed: int) -> None:
        sent.append(len(batch))
        send(self, batch, prefix=prefix, flushed=flushed)

    async def story(world: World) -> int:
        async with asyncpg.create_pool(**world.address, min_size=1, max_size=1) as pool:
            await asyncio.sleep(0)
            before = len(sent)
            for n in range(5):
                async with pool.acquire() as connection, connection.transaction():
                    await connection.execute(f"INSERT INTO log (what) VALUES ($1 || '{n}')", "a")
            return len(sent) - before

    monkeypatch.setattr(Backend, "send", counted)
    assert bench.play(story, fast=False) == 25
    bench.play(story, fast=True)
    assert bench.play(story, fast=True) == 10


def test_reports_lose_the_numbers_of_the_server_and_keep_their_framing() -> None:
    body = b"SERROR\0C40P01\0Mdeadlock\0DProcess 8123 waits for ShareLock on transaction 77; blocked by process 9.\0" \
        b"Wwhile updating tuple (17,3) in relation \"item\"\0\0"  # fmt: skip
    fields = wire.report_fields(normalise.report(body))
    assert fields["D"] == "Process 0 waits for ShareLock on transaction 0; blocked by process 0."
    assert fields["W"] == 'while updating tuple (0,0) in relation "item"'
    framed = wire.frame(b"E", normalise.report(body))
    assert [(kind, len(content)) for kind, content in wire.frames(framed)] == [(69, len(framed) - 5)]


def test_reports_keep_the_clients_own_data() -> None:
    body = b"SERROR\0VERROR\0C23505\0Mduplicate\0DKey (name)=(process 7) already exists.\0\0"
    assert normalise.report(body) == body


def test_row_descriptions_lose_table_ids_only() -> None:
    column = b"id\0" + (16999).to_bytes(4, "big") + b"\0\x01\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0"
    message = wire.frame(b"T", b"\0\x02" + column + column)
    cleared = normalise.row_description(message)
    assert cleared == message.replace((16999).to_bytes(4, "big"), b"\0\0\0\0")
