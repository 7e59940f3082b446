"""How long a silent agent is waited for: what counts as a sign of life, and what a heartbeat may say of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from reference_impl.clock import SystemClock
from reference_impl.events import EventFactory, Watchers
from reference_impl.silence import Silence
from sim.kernel import Simulation
from tests.contract.agents import Writer, a2a_text, after, says
from tests.contract.database import Database
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, POLLY, World, world

REPLY_AFTER_S, SILENCE_S = 300.0, 60.0
SAYS_SO = {"idle_timeout_seconds": SILENCE_S, "capabilities": {"native_session": True}}
REPLY = after(REPLY_AFTER_S, says("done"))


async def beat(it: World, workspace: str = BOB, metadata: Any = SAYS_SO) -> None:
    body = {"workspace_id": workspace, "active_tasks": 0, "runtime_metadata": metadata}
    assert (await it.post("/registry/heartbeat", body))[0] == 200


async def delegated(it: World) -> None:
    assert (await it.delegate())[0] == 202


async def outcome(it: World) -> tuple[str, str | None]:
    """Status and error of the one delegation, as its caller sees it."""
    _, (entry,) = await it.get(f"/workspaces/{ANN}/delegations")
    return entry["status"], entry.get("error")


async def drips(writer: Writer) -> None:
    """A whole reply, a tenth of it at a time."""
    body = a2a_text("done")
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    for tenth in range(10):
        await asyncio.sleep(REPLY_AFTER_S / 10)
        writer.write(body[len(body) * tenth // 10 : len(body) * (tenth + 1) // 10])


OPEN = ("dispatched", None)
DONE = ("completed", None)
GIVEN_UP = ("failed", "delivery_unknown: no reply in time")


def test_an_agent_is_given_up_when_it_is_silent_for_as_long_as_it_said(database: Database) -> None:
    async def play() -> None:
        async with world(database, REPLY) as it:
            await beat(it)
            await delegated(it)
            await asyncio.sleep(SILENCE_S - 1)
            assert await outcome(it) == OPEN
            await asyncio.sleep(2)
            assert await outcome(it) == GIVEN_UP
            await asyncio.sleep(REPLY_AFTER_S)
            assert await outcome(it) == GIVEN_UP
            assert len(it.bob.requests) == 1

    in_virtual_time(database, play())


def test_heartbeats_keep_it_waited_for(database: Database) -> None:
    async def play() -> None:
        async with world(database, REPLY) as it:
            began_s = it.time_s
            await beat(it)
            await delegated(it)
            while it.time_s - began_s < REPLY_AFTER_S - SILENCE_S:
                await asyncio.sleep(SILENCE_S - 5)
                await beat(it)
                assert await outcome(it) == OPEN
            await asyncio.sleep(SILENCE_S)
            assert await outcome(it) == DONE

    in_virtual_time(database, play())


def test_the_silence_counts_from_the_last_sign_of_life(database: Database) -> None:
    async def play() -> None:
        async with world(database, REPLY) as it:
            await beat(it)
            await delegated(it)
            await asyncio.sleep(SILENCE_S - 5)
            await beat(it)
            await asyncio.sleep(SILENCE_S - 1)
            assert await outcome(it) == OPEN
            await asyncio.sleep(2)
            assert await outcome(it) == GIVEN_UP

    in_virtual_time(database, play())


def test_what_others_do_is_no_sign_of_life(database: Database) -> None:
    async def play() -> None:
        async with world(database, REPLY) as it:
            await beat(it)
            await delegated(it)
            await asyncio.sleep(SILENCE_S - 5)
            await beat(it, POLLY)
            await asyncio.sleep(10)
            assert await outcome(it) == GIVEN_UP

    in_virtual_time(database, play())


def test_the_bytes_of_a_reply_are_signs_of_life(database: Database) -> None:
    async def play() -> None:
        async with world(database, drips) as it:
            await beat(it)
            await delegated(it)
            await asyncio.sleep(REPLY_AFTER_S - 10)
            assert await outcome(it) == OPEN
            await asyncio.sleep(20)
            assert await outcome(it) == DONE

    in_virtual_time(database, play())


@pytest.mark.parametrize(
    "metadata", [None, {}, {"idle_timeout_seconds": None}, {"idle_timeout_seconds": 0}, {"idle_timeout_seconds": -5}]
)
def test_the_next_heartbeat_that_does_not_say_it_takes_it_back(database: Database, metadata: Any) -> None:
    async def play() -> None:
        async with world(database, REPLY) as it:
            await beat(it)
            await beat(it, metadata=metadata)
            await delegated(it)
            await asyncio.sleep(REPLY_AFTER_S + 1)
            assert await outcome(it) == DONE

    in_virtual_time(database, play())


def test_the_setting_counts_for_whoever_says_nothing(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(90, says("done")), idle_timeout_s=30.0) as it:
            _, first = await it.delegate()
            assert await it.settled(first["delegation_id"]) == "failed"
            own = {"workspace_id": BOB, "runtime_metadata": {"idle_timeout_seconds": 120}}
            assert await it.post("/registry/heartbeat", own) == (200, {"status": "ok"})
            _, second = await it.delegate()
            assert await it.settled(second["delegation_id"]) == "completed"
            row = await it.one("SELECT response_body FROM activity_logs WHERE delegation_id = $1 AND status = 'ok'",
                               second["delegation_id"])  # fmt: skip
            assert json.loads(row["response_body"])["text"] == "done"

    in_virtual_time(database, play())


def test_a_sign_of_life_that_comes_too_late_changes_nothing() -> None:
    """In the same turn of the loop in which time runs out, before the task has noticed."""
    heard: list[float] = []

    async def play() -> None:
        loop = asyncio.get_running_loop()
        watchers = Watchers()
        silence = Silence(watchers=watchers, usual_s=5.0)
        beat = EventFactory(SystemClock(), lambda: "id").make("WORKSPACE_HEARTBEAT", BOB, {})

        def late() -> None:
            watchers.broadcast(beat)
            heard.append(loop.time())

        with pytest.raises(TimeoutError):
            async with silence.limit(BOB, deadline_s=loop.time() + 60):
                loop.call_at(loop.time() + 5.0, late)
                await asyncio.sleep(60)
        assert heard == [loop.time()]

    with Simulation(1) as simulation:
        simulation.run(play())


@pytest.mark.parametrize(
    "metadata",
    [
        "x",
        [],
        {"idle_timeout_seconds": "60"},
        {"idle_timeout_seconds": True},
        {"capabilities": ["native_session"]},
    ],
)
def test_metadata_that_is_none_is_refused(database: Database, metadata: Any) -> None:
    async def play() -> None:
        async with world(database) as it:
            body = {"workspace_id": BOB, "runtime_metadata": metadata}
            assert await it.post("/registry/heartbeat", body) == (400, {"error": "invalid heartbeat request"})
            assert await it.rows.fetchval("SELECT count(*) FROM structure_events") == 0

    in_virtual_time(database, play())
