"""The reference watcher against a small event stream, over real loopback sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web

from fakes import watcher as watcher_module
from fakes.watcher import Watcher


def watch(connections: list[list[str]], *, wanted: int) -> list[Mapping[str, Any]]:
    """What a watcher is told by a server that sends `connections[i]` to its i-th client and then hangs up."""

    async def run() -> list[Mapping[str, Any]]:
        left = list(connections)

        async def serve(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            for text in left.pop(0) if left else []:
                await socket.send_str(text)
            await socket.close()
            return socket

        app = web.Application()
        app.router.add_get("/ws", serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        told: list[Mapping[str, Any]] = []
        enough = asyncio.Event()

        def on_event(event: Mapping[str, Any]) -> None:
            told.append(event)
            if len(told) == wanted:
                enough.set()

        port = runner.addresses[0][1]
        watching = asyncio.create_task(Watcher(f"http://127.0.0.1:{port}/ws", on_event=on_event).run())
        waiting = asyncio.create_task(enough.wait())
        try:
            await asyncio.wait({watching, waiting}, timeout=20, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
            return told
        finally:
            for task in (watching, waiting):
                task.cancel()
            await asyncio.gather(watching, waiting, return_exceptions=True)
            await runner.cleanup()

    return asyncio.run(run())


def test_events_come_in_order_and_over_reconnections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher_module, "RETRY_S", 0.01)
    told = watch([['{"event": "A"}', '{"event": "B"}'], [], ['{"event": "C"}']], wanted=3)
    assert [event["event"] for event in told] == ["A", "B", "C"]


def test_what_is_no_event_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no JSON object: \[1\]"):
        watch([["[1]"]], wanted=1)
