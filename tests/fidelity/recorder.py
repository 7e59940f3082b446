"""A protocol that writes down every call that it gets."""

from __future__ import annotations

import asyncio

from .stage import Observations, Stage


class Recorder(asyncio.Protocol):
    """Writes down every call that it gets; data that arrives in pieces counts as one."""

    def __init__(self, *, keeps_open: bool = False) -> None:
        self.calls: Observations = []
        self.data = b""
        self.keeps_open = keeps_open
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.calls.append("made")

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes and data
        self.data += data
        if self.calls[-1] != "data":
            self.calls.append("data")

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return self.keeps_open

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.calls.append(f"lost by {type(error).__name__}[{getattr(error, 'errno', None)}]")
        self.lost.set_result(None)


async def join(stage: Stage, port: int, protocol: Recorder) -> Recorder:
    await asyncio.get_running_loop().create_connection(lambda: protocol, stage.host, port)
    return protocol
