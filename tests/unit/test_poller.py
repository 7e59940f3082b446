"""The reference poller against a small inbox with real cursors, over real loopback HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
from aiohttp import web

from fakes.poller import Poller, fetch_over
from fakes.reset import reset

ME, PEER = "w-me", "w-peer"


class Inbox:
    """Rows in order, served by the rules of the activity endpoint; `failures` are what the next polls meet instead."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.queries: list[dict[str, str]] = []
        self.tokens: list[str | None] = []
        self.failures: list[int | str] = []
        self.recovered = asyncio.Event()

    def add(self, identity: str, *, source: str | None = PEER, method: str = "message/send") -> None:
        self.rows.append({"id": identity, "source_id": source, "method": method})

    async def serve(self, request: web.Request) -> web.Response:
        self.queries.append(dict(request.query))
        self.tokens.append(request.headers.get("Authorization"))
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, int):
                return web.json_response({"error": "no"}, status=failure)
            if failure == "reset":
                assert request.transport is not None
                await reset(request.transport)
            return web.Response(text="not json")
        self.recovered.set()
        cursor = request.query.get("since_id")
        if cursor is None:
            return web.json_response(self.rows[::-1])
        ids = [row["id"] for row in self.rows]
        if cursor not in ids:
            return web.json_response({"error": "since_id cursor not found"}, status=410)
        return web.json_response(self.rows[ids.index(cursor) + 1 :])


Check = Callable[[Inbox, Poller, list[str]], Awaitable[None]]


def play(check: Check, *, token: str | None = None, interval_s: float = 0.01) -> None:
    async def run() -> None:
        inbox = Inbox()
        app = web.Application()
        app.router.add_get(f"/workspaces/{ME}/activity", inbox.serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        got: list[str] = []

        def on_row(row: Mapping[str, object]) -> None:
            got.append(str(row["id"]))

        async with aiohttp.ClientSession() as session:
            base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
            poller = Poller(fetch_over(session, base_url, token=token), ME, interval_s=interval_s, on_row=on_row)
            await check(inbox, poller, got)
        await runner.cleanup()

    asyncio.run(run())


def test_starts_with_ten_minutes_oldest_first_then_follows_the_cursor() -> None:
    async def check(inbox: Inbox, poller: Poller, got: list[str]) -> None:
        assert await poller.poll_once()
        inbox.add("a")
        inbox.add("b")
        assert await poller.poll_once()
        assert got == ["a", "b"]
        inbox.add("c")
        inbox.add("d")
        assert await poller.poll_once()
        assert got == ["a", "b", "c", "d"]
        assert inbox.queries == [
            {"type": "a2a_receive", "limit": "500", "since_secs": "600"},
            {"type": "a2a_receive", "limit": "500", "since_secs": "600"},
            {"type": "a2a_receive", "limit": "500", "since_id": "b"},
        ]
        assert inbox.tokens == [None] * 3

    play(check)


def test_skips_own_rows_but_not_results_and_moves_the_cursor_past_them() -> None:
    async def check(inbox: Inbox, poller: Poller, got: list[str]) -> None:
        inbox.add("own notify", source=None, method="notify")
        inbox.add("peer notify", source=PEER, method="notify")
        inbox.add("canvas", source=None)
        inbox.add("result", source=ME, method="delegate_result")
        inbox.add("own", source=ME)
        await poller.poll_once()
        assert got == ["peer notify", "canvas", "result"]
        assert poller.cursor == "own"

    play(check)


def test_a_lost_cursor_starts_over_and_nothing_comes_twice() -> None:
    async def check(inbox: Inbox, poller: Poller, got: list[str]) -> None:
        for identity in "abc":
            inbox.add(identity)
        await poller.poll_once()
        inbox.rows = [row for row in inbox.rows if row["id"] != "c"]
        inbox.add("d")
        assert not await poller.poll_once()
        assert poller.cursor is None
        assert await poller.poll_once()
        assert got == ["a", "b", "c", "d"]

    play(check)


def test_run_survives_errors_and_sends_its_token() -> None:
    async def check(inbox: Inbox, poller: Poller, got: list[str]) -> None:
        inbox.add("a")
        inbox.failures = [500, "reset", "reset", 503, "not json", 429]
        running = asyncio.create_task(poller.run())
        await asyncio.wait_for(inbox.recovered.wait(), 5)
        await asyncio.sleep(0.1)
        running.cancel()
        assert got == ["a"]
        assert not inbox.failures
        assert set(inbox.tokens) == {"Bearer secret"}

    play(check, token="secret")


def test_run_waits_its_interval_between_polls() -> None:
    async def check(inbox: Inbox, poller: Poller, got: list[str]) -> None:
        running = asyncio.create_task(poller.run())
        await asyncio.sleep(0.35)
        running.cancel()
        assert 1 <= len(inbox.queries) <= 4

    play(check, interval_s=0.1)


def test_an_unreachable_inbox_is_no_error() -> None:
    async def run() -> None:
        unused = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = unused.sockets[0].getsockname()[1]
        unused.close()
        async with aiohttp.ClientSession() as session:
            poller = Poller(fetch_over(session, f"http://127.0.0.1:{port}"), ME, on_row=lambda row: None)
            assert not await poller.poll_once()

    asyncio.run(run())
