"""Put a known bug of the queue back into the broker, and the story about it has to fail (see the contract's §11)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reference_impl import drain, queue
from reference_impl.background import Background
from reference_impl.drain import Drain
from reference_impl.proxy import Proxy
from reference_impl.queue import Closing, close
from sim.scenario.loading import load_file
from sim.worlds.workshop import Workshop

FAMILY = Path(__file__).parents[2] / "scenarios" / "queue_and_drain"
LATER = datetime(2040, 1, 1, tzinfo=UTC)
Patch = Callable[[pytest.MonkeyPatch], None]


def contact_the_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """`D24`: the agent has seen the message before it is queued, or not queued."""
    read_mode = Proxy._read_mode

    async def never_busy(self: Proxy, *arguments: Any) -> tuple[str, str, bool]:
        mode, name, _ = await read_mode(self, *arguments)
        return mode, name, False

    monkeypatch.setattr(Proxy, "_read_mode", never_busy)


def take_busy_again_for_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """`D1`: the item that finds its target busy again is completed, as if another one had taken its place."""

    async def complete(connection: Any, item: Any, *, error: str | None, refund: bool) -> None:
        await close(connection, Closing(item, "completed", error, LATER))

    monkeypatch.setattr(drain, "give_back", complete)
    monkeypatch.setattr(
        queue, "_CLAIM", queue._CLAIM.replace("target.active_tasks < target.max_concurrent_tasks", "1=1")
    )


def leave_the_delegation(monkeypatch: pytest.MonkeyPatch) -> None:
    """`H22`, `D23`: an item ends, and its delegation never hears of it."""

    async def nobodys(connection: Any, item: Any) -> None:
        return None

    monkeypatch.setattr(drain, "_find_delegation", nobodys)


def forget_what_was_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """`D3`: a claim outlives the broker that made it."""

    async def none(connection: Any, *, at: Any) -> list[Any]:
        return []

    monkeypatch.setattr(drain, "read_unattended", none)


def take_the_sent_for_unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restarted broker sends again what its predecessor may have sent."""
    read = drain.read_unattended

    async def unsent(connection: Any, *, at: Any) -> list[Any]:
        return [replace(item, sent=False) for item in await read(connection, at=at)]

    monkeypatch.setattr(drain, "read_unattended", unsent)


def send_again_what_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """An item that may have reached its agent is sent again."""
    monkeypatch.setattr(drain, "_given_up", lambda reason, cause=None: drain._Returned(reason))


def send_the_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack instead of a queue."""
    monkeypatch.setattr(queue, "_CLAIM", queue._CLAIM.replace("item.enqueued_at, item.id", "item.enqueued_at DESC"))


def never_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expired items wait, and are sent, like any other."""
    monkeypatch.setattr(queue, "_UNATTENDED", queue._UNATTENDED.replace("item.expires_at <=", "item.enqueued_at >"))
    monkeypatch.setattr(queue, "_CLAIM", queue._CLAIM.replace("item.expires_at > $2", "$2::timestamptz IS NOT NULL"))
    monkeypatch.setattr(queue, "_MARK_SENT", queue._MARK_SENT.replace("expires_at > $3", "true"))


def try_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """`H57`: nothing ends the attempts at an agent that is gone."""
    monkeypatch.setattr(drain, "ATTEMPTS_MAX", 10**6)


def ignore_what_was_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The item is sent although its delegation has ended while it waited."""
    monkeypatch.setattr(drain, "is_terminal", lambda status: False)


def stay_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats start no drain, and nobody sweeps (`H49`)."""

    async def never(self: Drain) -> None:
        """No sweep."""

    monkeypatch.setattr(Drain, "start", lambda self, workspace: None)
    monkeypatch.setattr(Drain, "sweep", never)


def forget_with_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """`#2930`: the message is queued for as long as its client waits, and not a moment longer."""
    detach = Background.detach

    def tied(self: Background, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        task, client = detach(self, work, name=name), asyncio.current_task()
        if client is not None and name == "deliver":
            client.add_done_callback(lambda _: task.cancel())
        return task

    monkeypatch.setattr(Background, "detach", tied)


@pytest.mark.parametrize(
    ("bug", "story", "found_by"),
    [
        (contact_the_busy, "still_busy", {"INV-70"}),
        (forget_with_the_client, "sender_hangs_up", {"INV-71"}),
        (take_busy_again_for_done, "busy_again", {"INV-03", "INV-75"}),
        (leave_the_delegation, "freed_by_a_heartbeat", {"INV-03"}),
        (leave_the_delegation, "agent_is_gone", {"INV-03"}),
        (forget_what_was_claimed, "broker_killed_after_the_claim", {"INV-03"}),
        (forget_what_was_claimed, "broker_killed_while_the_agent_works", {"INV-03"}),
        (forget_what_was_claimed, "database_away_at_the_claim", {"INV-03"}),
        (take_the_sent_for_unsent, "broker_killed_while_the_agent_works", {"INV-24"}),
        (send_again_what_was_lost, "agent_dies_during_the_delivery", {"INV-24"}),
        (send_again_what_was_lost, "agent_refuses_a_drained_item", {"INV-22"}),
        (send_the_newest_first, "freed_by_a_heartbeat", {"INV-74"}),
        (never_expire, "expires", {"INV-74"}),
        (try_for_ever, "agent_is_gone", {"INV-76", "EXPECT"}),
        (ignore_what_was_reported, "reported_while_queued", {"EXPECT"}),
        (stay_silent, "freed_by_a_heartbeat", {"EXPECT"}),
    ],
)
def test_a_story_fails_when_its_bug_is_put_back(
    workshop: Workshop,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    bug: Patch,
    story: str,
    found_by: set[str],
) -> None:
    caplog.set_level(logging.CRITICAL)
    scenario = load_file(FAMILY / f"{story}.yaml")
    bug(monkeypatch)
    violations = workshop.play(scenario, 1).judgement.violations
    assert {violation.invariant for violation in violations} & found_by, violations
