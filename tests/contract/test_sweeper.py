"""The delegation sweeper: deadlines end what nobody ends, silence makes stuck, nothing else moves (contract, §8)."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from tests.contract.agents import after, says
from tests.contract.database import Database
from tests.contract.queue_steps import NO_SWEEP
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, POLLY, World, exactly, until, world

OVERDUE = "deadline exceeded by sweeper"
LATER = "UPDATE delegations SET deadline = created_at"
SWEEP_S, STUCK_S = 300.0, 600.0
SWEEPS_S = 3.5 * SWEEP_S
"""Time for three sweeps."""


async def polled(it: World) -> str:
    """A delegation that stays open until somebody reports."""
    _, body = await it.delegate(target=POLLY)
    d: str = body["delegation_id"]
    await it.settled(d, "queued")
    return d


async def recorded(it: World) -> str:
    order = {"target_id": BOB, "task": "t", "delegation_id": "d-1"}
    await it.post(f"/workspaces/{ANN}/delegations/record", order)
    return "d-1"


async def beat(it: World, workspace: str = POLLY) -> None:
    assert await it.post("/registry/heartbeat", {"workspace_id": workspace}) == (200, {"status": "ok"})


async def ledger_of(it: World, d: str) -> dict[str, Any]:
    return dict(await it.one("SELECT * FROM delegations WHERE delegation_id = $1", d))


async def becomes(it: World, d: str, status: str) -> dict[str, Any]:
    """Wait until the ledger row says so."""

    async def look() -> dict[str, Any] | None:
        row = await ledger_of(it, d)
        return row if row["status"] == status else None

    return await until(look)


@pytest.mark.parametrize("begin", [polled, recorded])
@pytest.mark.parametrize("before", [None, "in_progress", "stuck"])
def test_past_its_deadline_a_delegation_fails_once_and_its_caller_is_told(
    database: Database, begin: Any, before: str | None
) -> None:
    async def play() -> None:
        async with world(database) as it:
            told = await it.watch()
            d = await begin(it)
            if before:
                await it.rows.execute("UPDATE delegations SET status = $1", before)
            await it.rows.execute(LATER)
            assert await it.settled(d) == "failed"
            assert await it.ended_after_s(d) == exactly(SWEEP_S)
            row = await ledger_of(it, d)
            assert (row["status"], row["error_detail"]) == ("failed", OVERDUE)
            await asyncio.sleep(SWEEPS_S)
            assert await ledger_of(it, d) == row
            assert await it.kinds(d) == [
                ("delegation", "delegate", "failed"),
                ("delegation", "delegate_result", "failed"),
                ("a2a_receive", "delegate_result", "error"),
            ]
            inbox = await it.one("SELECT * FROM activity_logs WHERE workspace_id = $1 "
                                 "AND activity_type = 'a2a_receive'", ANN)  # fmt: skip
            assert inbox["error_detail"] == OVERDUE
            assert json.loads(inbox["request_body"]) == {"delegation_id": d}
            target = str(row["callee_id"])
            ended = ("DELEGATION_FAILED", {"delegation_id": d, "target_id": target, "error": OVERDUE})
            assert (await it.events(d))[-1] == ended
            assert [event["payload"] for event in told if event["event"] == "DELEGATION_FAILED"] == [ended[1]]
            assert (await it.post(f"/workspaces/{ANN}/delegations/{d}/update", {"status": "completed"}))[0] == 409

    in_virtual_time(database, play())


def test_the_deadline_is_six_hours(database: Database) -> None:
    async def play() -> None:
        async with world(database, **NO_SWEEP) as it:
            d = await recorded(it)
            await asyncio.sleep(6 * 3600 - 1)
            assert await it.status(d) == "dispatched"
            await it.settled(d)
            assert 6 * 3600 <= await it.ended_after_s(d) <= 6 * 3600 + SWEEP_S

    in_virtual_time(database, play())


def test_the_first_sweep_comes_before_the_broker_listens(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            d = await recorded(it)
            await it.rows.execute(LATER)
            await it.restart()
            assert await it.status(d) == "failed"

    in_virtual_time(database, play())


def test_what_is_not_overdue_is_left_alone(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            d = await polled(it)
            before = await ledger_of(it, d)
            await asyncio.sleep(SWEEPS_S)
            assert await ledger_of(it, d) == before
            assert await it.status(d) == "queued"

    in_virtual_time(database, play())


def test_terminal_rows_are_never_touched(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await beat(it, BOB)
            _, body = await it.delegate()
            d = body["delegation_id"]
            await it.settled(d)
            await it.rows.execute(LATER)
            before = await ledger_of(it, d)
            await asyncio.sleep(STUCK_S + SWEEPS_S)
            assert await ledger_of(it, d) == before
            assert len(await it.events(d)) == 3

    in_virtual_time(database, play())


def test_what_is_executed_here_is_left_to_its_budget(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(SWEEPS_S, says("in time"))) as it:
            _, body = await it.delegate()
            d = body["delegation_id"]
            await it.settled(d, "dispatched")
            await it.rows.execute(LATER)
            assert await it.settled(d) == "completed"
            assert (await ledger_of(it, d))["result_preview"] == "in time"

    in_virtual_time(database, play())


def test_a_report_and_the_deadline_have_one_winner(database: Database) -> None:
    async def play() -> None:
        # So often that reports and sweeps meet.
        async with world(database, sweeper_interval_s=0.05) as it:
            winners = set()
            for number in range(40):
                d = await polled(it)
                await it.rows.execute(LATER + " WHERE delegation_id = $1", d)
                await asyncio.sleep(0.0013 * number)
                status, _ = await it.post(f"/workspaces/{POLLY}/delegations/{d}/update", {"status": "completed"})
                ended = await it.settled(d)
                winners.add(ended)
                assert status == (200 if ended == "completed" else 409)
                assert (await ledger_of(it, d))["status"] == ended
                assert len(await it.kinds(d)) == 3
                assert len([name for name, _ in await it.events(d) if name in ("DELEGATION_COMPLETE",
                                                                             "DELEGATION_FAILED")]) == 1  # fmt: skip
            assert winners == {"completed", "failed"}

    in_virtual_time(database, play())


def test_a_silent_target_makes_its_delegation_stuck_and_tells_nobody(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await asyncio.sleep(9.5)
            await beat(it)
            d = await polled(it)
            rows, events = await it.kinds(d), await it.events(d)
            row = await becomes(it, d, "stuck")
            assert row["error_detail"] == "no heartbeat for 890s"  # the third sweep is the first to see it
            await asyncio.sleep(SWEEPS_S)
            assert await ledger_of(it, d) == row
            assert (await it.kinds(d), await it.events(d)) == (rows, events)
            # Stuck ends nothing: the report that comes after all is taken (H64).
            report = {"status": "completed", "response_preview": "at last"}
            assert (await it.post(f"/workspaces/{POLLY}/delegations/{d}/update", report))[0] == 200
            row = await ledger_of(it, d)
            assert (row["status"], row["result_preview"], row["error_detail"]) == ("completed", "at last", None)
            assert len(await it.kinds(d)) == 3

    in_virtual_time(database, play())


@pytest.mark.parametrize("spoken", [[], [POLLY]])
def test_who_was_never_heard_or_is_heard_is_not_stuck(database: Database, spoken: list[str]) -> None:
    async def play() -> None:
        async with world(database) as it:
            d = await polled(it)
            for _ in range(8):
                for workspace in spoken:
                    await beat(it, workspace)
                await asyncio.sleep(STUCK_S - 1)
            assert (await ledger_of(it, d))["status"] == "queued"

    in_virtual_time(database, play())


def test_the_heartbeat_of_the_row_counts_before_that_of_the_target(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            d = await polled(it)
            await asyncio.sleep(9.5)
            await it.rows.execute("UPDATE delegations SET last_heartbeat = $1", it.now - timedelta(minutes=90))
            for _ in range(8):
                await beat(it)
                await asyncio.sleep(100)
            row = await becomes(it, d, "stuck")
            assert row["error_detail"] == "no heartbeat for 5990s"

    in_virtual_time(database, play())


def test_after_a_start_targets_are_given_time_to_be_heard(database: Database) -> None:
    async def play() -> None:
        async with world(
            database,
        ) as it:
            d = await polled(it)
            await it.rows.execute("UPDATE workspaces SET last_heartbeat_at = $1", it.now - timedelta(hours=1))
            await it.restart()
            await asyncio.sleep(STUCK_S - 1)
            assert (await ledger_of(it, d))["status"] == "queued"
            assert (await becomes(it, d, "stuck"))["error_detail"] == "no heartbeat for 4200s"

    in_virtual_time(database, play())


def test_the_deadline_wins_over_stuck(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await beat(it)
            d = await polled(it)
            await it.rows.execute(LATER)
            await asyncio.sleep(STUCK_S + SWEEPS_S)
            assert (await ledger_of(it, d))["error_detail"] == OVERDUE

    in_virtual_time(database, play())


def test_the_ledger_row_of_a_caller_that_is_gone_is_closed_alone(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            d = await polled(it)
            await it.rows.execute("DELETE FROM workspaces WHERE id = $1", ANN)
            await it.rows.execute(LATER)
            assert (await becomes(it, d, "failed"))["error_detail"] == OVERDUE
            assert await it.kinds(d) == []

    in_virtual_time(database, play())


def test_a_delegation_that_ended_without_the_ledger_ends_there_as_it_did(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            d = await polled(it)
            await it.rows.execute("UPDATE activity_logs SET status = 'completed' WHERE delegation_id = $1", d)
            await it.rows.execute(LATER)
            assert (await becomes(it, d, "completed"))["error_detail"] is None

    in_virtual_time(database, play())


@pytest.mark.parametrize("fault", ["lose", "ack", "hush"])
def test_the_sweeper_outlives_any_database_fault(database: Database, fault: str) -> None:
    async def play() -> None:
        for at in range(1, 9):
            async with world(database, **NO_SWEEP) as it:
                d = await recorded(it)
                it.wire.arm(at, fault)
                await it.rows.execute(LATER)
                if fault == "hush":
                    await asyncio.sleep(SWEEP_S + 2.5 * it.config.database_timeout_s)
                    it.wire.heal()
                assert await it.settled(d) == "failed", f"message {at}"
                await asyncio.sleep(SWEEPS_S)
                assert await it.kinds(d) == [
                    ("delegation", "delegate", "failed"),
                    ("delegation", "delegate_result", "failed"),
                    ("a2a_receive", "delegate_result", "error"),
                ]
                assert [name for name, _ in await it.events(d)] == ["DELEGATION_SENT", "DELEGATION_FAILED"]
                assert it.wire.struck

    in_virtual_time(database, play())
