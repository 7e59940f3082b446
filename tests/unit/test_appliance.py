"""Appliances: what their protocol sees and what their clients see, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sim.kernel import Simulation

Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PORT = 7000


class Recorder(asyncio.Protocol):
    """Notes what happens to it; answers `echo ...` in kind, hangs up at `close` and resets at `abort`."""

    def __init__(self, log: list[str]) -> None:
        self._log = log

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._log.append("made")

    def data_received(self, data: bytes) -> None:
        self._log.append(data.decode())
        if data.startswith(b"echo"):
            self._transport.write(data)
        elif data.startswith(b"much"):
            self._transport.write(b"x" * (4 << 20))
        elif data.startswith(b"close"):
            self._transport.write(b"last words")
            self._transport.close()
            assert self._transport.is_closing()
            self._transport.write(b"never sent")
        elif data.startswith(b"abort"):
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._log.append(f"lost {error}")


def play(client: Client, *, seed: int = 1) -> list[str]:
    """Let `client` talk to an appliance; returns what its protocol noted."""
    log: list[str] = []

    async def main() -> None:
        network = simulation.network
        network.install(simulation.node("box"), PORT, lambda: Recorder(log))
        reader, writer = await asyncio.open_connection("box", PORT)
        await client(reader, writer)
        await asyncio.sleep(1)

    with Simulation(seed) as simulation:
        simulation.run(main())
    return log


def test_what_is_sent_is_received_and_answered_in_no_time_of_its_own() -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        writer.write(b"echo 1")
        answer = await reader.readexactly(6)
        assert answer == b"echo 1"
        assert 0 < loop.time() - begun_s < 0.0011  # two ways at most half a millisecond long each
        writer.close()

    # A seed in which nothing is divided on its way.
    assert play(client, seed=2) == ["made", "echo 1", "lost None"]


def test_more_than_a_window_arrives_whole() -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"much")
        assert len(await reader.readexactly(4 << 20)) == 4 << 20
        writer.close()

    assert play(client)[-1] == "lost None"


def test_a_client_that_resets_is_lost() -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    assert play(client) == ["made", "lost None"]


def test_closing_sends_what_was_written_before_and_nothing_after() -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"close")
        assert await reader.read() == b"last words"
        writer.close()

    assert play(client) == ["made", "close", "lost None"]


def test_aborting_resets_the_client() -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"abort")
        try:
            await reader.read()
        except ConnectionResetError:
            return
        raise AssertionError("no reset was seen")

    assert play(client) == ["made", "abort", "lost None"]


def test_where_nothing_is_installed_connecting_is_refused() -> None:
    async def main() -> None:
        simulation.node("box")
        try:
            await asyncio.open_connection("box", PORT)
        except ConnectionRefusedError:
            return
        raise AssertionError("connected to nothing")

    with Simulation(1) as simulation:
        simulation.run(main())
