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
from sim.scenario.behaviours import Behaviour, Reply, Slow
from tests.contract.virtual import Base, VirtualBroker, virtual_broker
from tests.contract.world import ANN, BOB, POLLY, after, says, world

REPLY_AFTER_S, SILENCE_S = 300.0, 60.0
SAYS_SO = {"idle_timeout_seconds": SILENCE_S, "capabilities": {"native_session": True}}
REPLY = Reply(text="done", after_s=REPLY_AFTER_S)


def beat(it: VirtualBroker, workspace: str = BOB, metadata: Any = SAYS_SO) -> None:
    body = {"workspace_id": workspace, "active_tasks": 0, "runtime_metadata": metadata}
    assert it.ask("POST", "/registry/heartbeat", body).status == 200


def delegated(it: VirtualBroker) -> None:
    body = {"target_id": BOB, "task": "write the tests"}
    assert it.ask("POST", f"/workspaces/{ANN}/delegate", body).status == 202


def outcome(it: VirtualBroker) -> tuple[str, str | None]:
    """Status and error of the one delegation, as its caller sees it."""
    (entry,) = it.ask("GET", f"/workspaces/{ANN}/delegations").body
    return entry["status"], entry.get("error")


OPEN = ("dispatched", None)
DONE = ("completed", None)
GIVEN_UP = ("failed", "delivery_unknown: no reply in time")


def members(behaviour: Behaviour = REPLY) -> dict[str, Behaviour | None]:
    return {ANN: None, POLLY: None, BOB: behaviour}


def test_an_agent_is_given_up_when_it_is_silent_for_as_long_as_it_said(virtual_base: Base) -> None:
    with virtual_broker(virtual_base, members()) as it:
        beat(it)
        delegated(it)
        it.wait(SILENCE_S - 1)
        assert outcome(it) == OPEN
        it.wait(2)
        assert outcome(it) == GIVEN_UP
        it.wait(REPLY_AFTER_S)
        assert outcome(it) == GIVEN_UP
        assert len(it.deliveries) == 1


def test_heartbeats_keep_it_waited_for(virtual_base: Base) -> None:
    with virtual_broker(virtual_base, members()) as it:
        beat(it)
        delegated(it)
        while it.now_s < REPLY_AFTER_S - SILENCE_S:
            it.wait(SILENCE_S - 5)
            beat(it)
            assert outcome(it) == OPEN
        it.wait(SILENCE_S)
        assert outcome(it) == DONE


def test_the_silence_counts_from_the_last_sign_of_life(virtual_base: Base) -> None:
    with virtual_broker(virtual_base, members()) as it:
        beat(it)
        delegated(it)
        it.wait(SILENCE_S - 5)
        beat(it)
        it.wait(SILENCE_S - 1)
        assert outcome(it) == OPEN
        it.wait(2)
        assert outcome(it) == GIVEN_UP


def test_what_others_do_is_no_sign_of_life(virtual_base: Base) -> None:
    with virtual_broker(virtual_base, members()) as it:
        beat(it)
        delegated(it)
        it.wait(SILENCE_S - 5)
        beat(it, POLLY)
        it.wait(10)
        assert outcome(it) == GIVEN_UP


def test_the_bytes_of_a_reply_are_signs_of_life(virtual_base: Base) -> None:
    with virtual_broker(virtual_base, members(Slow(duration_s=REPLY_AFTER_S, pieces=10))) as it:
        beat(it)
        delegated(it)
        it.wait(REPLY_AFTER_S - 10)
        assert outcome(it) == OPEN
        it.wait(20)
        assert outcome(it) == DONE


@pytest.mark.parametrize(
    "metadata", [None, {}, {"idle_timeout_seconds": None}, {"idle_timeout_seconds": 0}, {"idle_timeout_seconds": -5}]
)
def test_the_next_heartbeat_that_does_not_say_it_takes_it_back(virtual_base: Base, metadata: Any) -> None:
    with virtual_broker(virtual_base, members()) as it:
        beat(it)
        beat(it, metadata=metadata)
        delegated(it)
        it.wait(REPLY_AFTER_S + 1)
        assert outcome(it) == DONE


def test_the_setting_counts_for_whoever_says_nothing(database: tuple[str, str]) -> None:
    async def play() -> None:
        async with world(database, after(1.5, says("done")), idle_timeout_s=0.3) as it:
            _, first = await it.delegate()
            assert await it.settled(first["delegation_id"]) == "failed"
            own = {"workspace_id": BOB, "runtime_metadata": {"idle_timeout_seconds": 30}}
            assert await it.post("/registry/heartbeat", own) == (200, {"status": "ok"})
            _, second = await it.delegate()
            assert await it.settled(second["delegation_id"]) == "completed"
            row = await it.one("SELECT response_body FROM activity_logs WHERE delegation_id = $1 AND status = 'ok'",
                               second["delegation_id"])  # fmt: skip
            assert json.loads(row["response_body"])["text"] == "done"

    asyncio.run(play())


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
def test_metadata_that_is_none_is_refused(database: tuple[str, str], metadata: Any) -> None:
    async def play() -> None:
        async with world(database) as it:
            body = {"workspace_id": BOB, "runtime_metadata": metadata}
            assert await it.post("/registry/heartbeat", body) == (400, {"error": "invalid heartbeat request"})
            assert await it.rows.fetchval("SELECT count(*) FROM structure_events") == 0

    asyncio.run(play())
