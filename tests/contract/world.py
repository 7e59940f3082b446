"""One broker with everything around it, on real sockets: database, scripted agents, a client's view.

The database may be reached through a `Wire`, a TCP relay that can fall silent, reset, or swallow the answer to
a COMMIT. Times are short: a retry after 0.2 s instead of 8.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import asyncpg

from reference_impl.app import Broker
from reference_impl.config import Config

ANN = "00000000-0000-4000-8000-00000000000a"
BOB = "00000000-0000-4000-8000-00000000000b"
POLLY = "00000000-0000-4000-8000-00000000000c"
NOBODY = "00000000-0000-4000-8000-0000000000ff"

TABLES = (
    "structure_events", "a2a_queue", "delegations", "activity_logs", "workspace_auth_tokens", "workspaces"
)  # fmt: skip

Writer = asyncio.StreamWriter
Behaviour = Callable[["Writer"], Awaitable[None]]


def http_reply(body: bytes, *, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + body


def a2a_text(text: str) -> bytes:
    result = {"kind": "message", "role": "agent", "parts": [{"kind": "text", "text": text}]}
    return json.dumps({"jsonrpc": "2.0", "id": "1", "result": result}).encode()


def answers(body: bytes, *, status: str = "200 OK", length: int | None = None) -> Behaviour:
    async def behave(writer: Writer) -> None:
        writer.write(http_reply(body, status=status, length=length))
        await writer.drain()

    return behave


def says(text: str) -> Behaviour:
    return answers(a2a_text(text))


def after(delay_s: float, behaviour: Behaviour) -> Behaviour:
    async def behave(writer: Writer) -> None:
        await asyncio.sleep(delay_s)
        await behaviour(writer)

    return behave


async def resets(writer: Writer) -> None:
    reset(writer)


async def closes(writer: Writer) -> None:
    """The connection ends without an answer."""


def reset(writer: Writer) -> None:
    if writer.transport.is_closing():
        return
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@dataclass
class Agent:
    """Takes requests in full, then behaves as told: the nth behaviour for the nth request, then the last."""

    behaviours: list[Behaviour]
    requests: list[dict[str, Any]] = field(default_factory=list)
    contacted: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def _serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(
                int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length")
            )
            self.requests.append(json.loads(await reader.readexactly(length)))
            self.contacted.set()
            number = min(len(self.requests), len(self.behaviours)) - 1
            await self.behaviours[number](writer)
        writer.close()


class Wire:
    """A relay to Postgres that can fail, at will or at the nth message of the client (counted from `arm`).

    `lose`: the message never arrives and the connection is reset. `ack`: the message arrives, its answer is
    lost and the connection is reset. `hush`: from that message on nothing passes, on new connections neither,
    until `heal`; what was under way arrives then.
    """

    def __init__(self, server_socket: str) -> None:
        self._server_socket = server_socket
        self._clients: list[Writer] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._passing = asyncio.Event()
        self._passing.set()
        self._strike: tuple[int, str] | None = None
        self.messages = 0
        self.struck = False
        self.refusing = False
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def arm(self, at: int, fault: str) -> None:
        self.messages, self._strike, self.struck = 0, (at, fault), False

    def silence(self) -> None:
        self._passing.clear()

    def heal(self) -> None:
        self._passing.set()
        self.refusing = False

    def break_all(self) -> None:
        for client in self._clients:
            reset(client)
        self._clients.clear()

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        self.break_all()

    async def _serve(self, reader: asyncio.StreamReader, client: Writer) -> None:
        if self.refusing:
            reset(client)
            return
        self._clients.append(client)
        up_reader, up_writer = await asyncio.open_unix_connection(self._server_socket)
        lost_answers: list[bool] = []
        self._tasks += [
            asyncio.create_task(self._upstream(reader, up_writer, client, lost_answers)),
            asyncio.create_task(self._downstream(up_reader, client, lost_answers)),
        ]

    async def _upstream(
        self, reader: asyncio.StreamReader, server: Writer, client: Writer, lost_answers: list[bool]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                self.messages += 1
                if self._strike is not None and self.messages == self._strike[0]:
                    fault, self._strike, self.struck = self._strike[1], None, True
                    if fault == "lose":
                        reset(client)
                        break
                    if fault == "ack":
                        lost_answers.append(True)
                    if fault == "hush":
                        self.silence()
                await self._passing.wait()
                server.write(data)
        server.close()

    async def _downstream(self, reader: asyncio.StreamReader, client: Writer, lost_answers: list[bool]) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._passing.wait()
                if lost_answers:
                    reset(client)
                    break
                client.write(data)
        client.close()


@dataclass
class World:
    broker: Broker
    config: Config
    rows: asyncpg.Connection[asyncpg.Record]
    http: aiohttp.ClientSession
    bob: Agent
    wire: Wire

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.broker.port}"

    async def restart(self) -> None:
        """Stop the broker, which cuts off what does not end in its grace, and start another."""
        await self.broker.stop()
        self.broker = Broker(self.config)
        await self.broker.start()

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.post(self.base + path, data=data, headers=named) as response:
            raw = await response.read()
            return response.status, json.loads(raw) if raw else None

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        async with self.http.get(self.base + path, headers=headers) as response:
            return response.status, await response.json()

    async def delegate(self, *, target: str = BOB, **body: Any) -> tuple[int, Any]:
        return await self.post(f"/workspaces/{ANN}/delegate", {"target_id": target, "task": "write the tests", **body})

    async def status(self, delegation_id: str) -> str | None:
        return await self.rows.fetchval(
            "SELECT status FROM activity_logs WHERE delegation_id = $1 AND method = 'delegate'", delegation_id
        )

    async def settled(self, delegation_id: str, *statuses: str, within_s: float = 8.0) -> str:
        """Wait until the delegate row has one of the statuses (completed or failed unless said)."""
        async with asyncio.timeout(within_s):
            while (status := await self.status(delegation_id)) not in (statuses or ("completed", "failed")):  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # the database does not call back
        return str(status)

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

    async def one(self, query: str, *arguments: Any) -> asyncpg.Record:
        rows = await self.rows.fetch(query, *arguments)
        assert len(rows) == 1, rows
        return rows[0]


@contextlib.asynccontextmanager
async def world(database: tuple[str, str], *behaviours: Behaviour, **settings: Any) -> AsyncIterator[World]:
    """`database`: the path of the server's socket and the name of an empty database with the schema."""
    socket_path, name = database
    wire = Wire(socket_path)
    await wire.start()
    bob = Agent(list(behaviours) or [says("done")])
    await bob.start()
    folder, _, port = socket_path.rpartition("/.s.PGSQL.")
    rows = await asyncpg.connect(f"postgresql://postgres:postgres@/{name}?host={folder}&port={port}")
    config = replace(
        Config(
            database_url=f"postgresql://postgres:postgres@127.0.0.1:{wire.port}/{name}?sslmode=disable",
            port=0,
            environment="development",
            allow_loopback=True,
            retry_delay_s=0.2,
            grace_s=0.3,
            database_timeout_s=1.0,
        ),
        **settings,
    )
    for table in TABLES:
        await rows.execute(f"DELETE FROM {table}")
    await rows.executemany(
        "INSERT INTO workspaces (id, name, status, url, delivery_mode) VALUES ($1, $2, 'online', $3, $4)",
        [(ANN, "ann", None, "poll"), (BOB, "bob", bob.url, "push"), (POLLY, "polly", bob.url, "poll")],
    )
    broker = Broker(config)
    await broker.start()
    it = World(broker, config, rows, aiohttp.ClientSession(), bob, wire)
    try:
        yield it
    finally:
        await it.http.close()
        await it.broker.stop()
        await rows.close()
        bob.stop()
        await wire.stop()
