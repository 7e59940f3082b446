"""Let the broker stop wrongly, or end by itself, and the story about it has to fail."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from reference_impl import app, store
from reference_impl.background import Background
from reference_impl.drain import Drain
from reference_impl.leftovers import Leftovers, read_leftovers
from reference_impl.recovery import Recovery
from reference_impl.store import Connection, Store
from sim.history import NodeChanged
from sim.scenario.loading import load_file
from sim.worlds.workshop import Run, Workshop

ROOT = Path(__file__).parents[2] / "scenarios"
Patch = Callable[[pytest.MonkeyPatch], None]


def say_goodbye_however_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last word of a silent database is waited for."""
    monkeypatch.setattr(store, "_CLOSE_S", 1e9)


def wait_for_the_database_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing needs an answer of the database, and asks until there is one."""
    close = Store.close

    async def ask_and_close(self: Store) -> None:
        await self.persist(lambda connection: connection.execute("SELECT 'done here'"))
        await close(self)

    monkeypatch.setattr(Store, "close", ask_and_close)


def let_work_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The grace has no end."""
    drain = Background.drain

    async def drain_all(self: Background, grace_s: float) -> None:
        await drain(self, 1e9)

    monkeypatch.setattr(Background, "drain", drain_all)


def give_requests_their_grace_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """What aiohttp makes of its shutdown_timeout, which it waits for twice."""
    make = app.web.AppRunner

    def twice(*arguments: Any, shutdown_timeout: float, **options: Any) -> Any:
        return make(*arguments, shutdown_timeout=2 * shutdown_timeout, **options)

    monkeypatch.setattr(app.web, "AppRunner", twice)


def cut_off_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no grace."""
    drain = Background.drain

    async def drain_nothing(self: Background, grace_s: float) -> None:
        await drain(self, 1e-9)

    monkeypatch.setattr(Background, "drain", drain_nothing)


def recover_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was cut off stays as it was left."""

    async def nothing(self: Recovery) -> None:
        """No recovery."""

    monkeypatch.setattr(Recovery, "recover", nothing)
    monkeypatch.setattr(Recovery, "patrol", nothing)


def let_a_drain_take_the_process_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody has thought of ends everything (6faea202)."""
    carry = Drain._carry

    async def carry_or_die(self: Drain, item: Any) -> None:
        await carry(self, item)
        if item.attempts:
            sys.exit(f"item {item.id} is beyond me")

    monkeypatch.setattr(Drain, "_carry", carry_or_die)


def play(workshop: Workshop, story: str) -> Run:
    return workshop.play(load_file(ROOT / f"{story}.yaml"), 1)


@pytest.mark.parametrize(
    ("bug", "story", "found_by"),
    [
        (say_goodbye_however_long_it_takes, "broker_stop/database_is_silent", {"INV-08"}),
        (wait_for_the_database_for_ever, "broker_stop/database_is_silent", {"INV-08"}),
        (wait_for_the_database_for_ever, "broker_stop/pool_is_exhausted", {"INV-08"}),
        (let_work_take_its_time, "broker_stop/while_the_agent_works", {"INV-08"}),
        (let_work_take_its_time, "broker_stop/while_the_outcome_is_recorded", {"INV-08"}),
        (give_requests_their_grace_twice, "broker_stop/pool_is_exhausted", {"INV-08"}),
        (cut_off_at_once, "broker_stop/while_the_agent_works", {"EXPECT"}),
        (cut_off_at_once, "broker_stop/while_draining", {"EXPECT"}),
        (recover_nothing, "broker_stop/while_the_agent_works", {"INV-03"}),
        (let_a_drain_take_the_process_along, "queue_and_drain/every_drain_fails", {"INV-77"}),
        (let_a_drain_take_the_process_along, "queue_and_drain/freed_by_a_heartbeat", {"INV-77"}),
    ],
)
def test_a_story_fails_when_its_bug_is_put_in(
    workshop: Workshop,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    bug: Patch,
    story: str,
    found_by: set[str],
) -> None:
    caplog.set_level(logging.CRITICAL)
    bug(monkeypatch)
    violations = play(workshop, story).judgement.violations
    assert {violation.invariant for violation in violations} & found_by, violations


def test_a_broker_that_never_goes_is_still_there_at_the_end(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    async def never(self: Store) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(Store, "close", never)
    run = play(workshop, "broker_stop/after_accept")
    assert "and was still there" in next(each.sentence for each in run.judgement.violations)
    assert not any(isinstance(entry, NodeChanged) and entry.change == "started" for entry in run.history.entries)


def test_a_broker_that_cannot_start_again_has_ended_by_itself(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    looks: list[datetime] = []

    async def look_once(connection: Connection, *, at: datetime) -> Leftovers:
        looks.append(at)
        if len(looks) > 1:
            raise LookupError("no such table")
        return await read_leftovers(connection, at=at)

    monkeypatch.setattr(app, "read_leftovers", look_once)
    run = play(workshop, "broker_stop/after_accept")
    sentences = [each.sentence for each in run.judgement.violations if each.invariant == "INV-77"]
    assert len(sentences) == 1 and sentences[0].endswith("nobody had asked it to: LookupError: no such table")
