"""A relay in front of Postgres that can fall silent, reset, or swallow the answer to a COMMIT."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.contract.agents import reset
from tests.contract.database import Database

_ENDS_A_MESSAGE = b"QSHX"
"""Query, Sync, Flush, Terminate: after these a client waits for an answer."""


class Wire:
    """A relay to Postgres that can fail, at will or at the nth message of the client (counted from `arm`).

    `lose`: the message never arrives and the connection is reset. `ack`: the message arrives, its answer is
    lost and the connection is reset. `hush`: from that message on nothing passes, on new connections neither,
    until `heal`; what was under way arrives then.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._clients: list[asyncio.StreamWriter] = []
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

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        if self.refusing:
            reset(client)
            return
        self._clients.append(client)
        up_reader, up_writer = await self._database.connect()
        lost_answers: list[bool] = []
        self._tasks += [
            asyncio.create_task(self._upstream(reader, up_writer, client, lost_answers)),
            asyncio.create_task(self._downstream(up_reader, client, lost_answers)),
        ]

    async def _upstream(
        self,
        reader: asyncio.StreamReader,
        server: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
        lost_answers: list[bool],
    ) -> None:
        with contextlib.suppress(OSError, EOFError):
            async for message in _messages(reader):
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
                server.write(message)
        server.close()

    async def _downstream(
        self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, lost_answers: list[bool]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._passing.wait()
                if lost_answers:
                    reset(client)
                    break
                client.write(data)
        client.close()


async def _messages(client: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """What a client says, up to where it waits for an answer each; the network may have cut it anywhere."""
    length = await client.readexactly(4)
    yield length + await client.readexactly(int.from_bytes(length) - 4)  # the start-up packet has no type
    message = b""
    while True:
        head = await client.readexactly(5)
        message += head + await client.readexactly(int.from_bytes(head[1:]) - 4)
        if head[0] in _ENDS_A_MESSAGE:
            yield message
            message = b""
