"""The delegation sweeper: deadlines end what nobody ends, silence makes stuck, nothing else moves (contract, §8)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.contract.agents import after, says
from tests.contract.database import Database
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, POLLY, World, world

QUICK: dict[str, Any] = {"sweeper_interval_s": 0.1}
WATCHFUL: dict[str, Any] = {"sweeper_interval_s": 0.1, "stuck_threshold_s": 0.3}
OVERDUE = "deadline exceeded by sweeper"
LATER = "UPDATE delegations SET deadline = created_at"
SWEEPS_S = 0.35
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
    async with asyncio.timeout(4):
        while (row := await ledger_of(it, d))["status"] != status:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # the database does not call back
    return row


@pytest.mark.parametrize("begin", [polled, recorded])
@pytest.mark.parametrize("before", [None, "in_progress", "stuck"])
def test_past_its_deadline_a_delegation_fails_once_and_its_caller_is_told(
    database: Database, begin: Any, before: str | None
) -> None:
    async def play() -> None:
        async with world(database, **QUICK) as it:
            watcher = await it.http.ws_connect(it.base + "/ws")
            d = await begin(it)
            if before:
                await it.rows.execute("UPDATE delegations SET status = $1", before)
            await it.rows.execute(LATER)
            assert await it.settled(d) == "failed"
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
            while (told := await watcher.receive_json(timeout=2))["event"] != "DELEGATION_FAILED":
                pass
            assert told["payload"] == ended[1]
            with pytest.raises(TimeoutError):
                await watcher.receive(timeout=0.05)
            assert (await it.post(f"/workspaces/{ANN}/delegations/{d}/update", {"status": "completed"}))[0] == 409

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
        async with world(database, **QUICK) as it:
            d = await polled(it)
            before = await ledger_of(it, d)
            await asyncio.sleep(SWEEPS_S)
            assert await ledger_of(it, d) == before
            assert await it.status(d) == "queued"

    in_virtual_time(database, play())


def test_terminal_rows_are_never_touched(database: Database) -> None:
    async def play() -> None:
        async with world(database, **WATCHFUL) as it:
            await beat(it, BOB)
            _, body = await it.delegate()
            d = body["delegation_id"]
            await it.settled(d)
            await it.rows.execute(LATER)
            before = await ledger_of(it, d)
            await asyncio.sleep(0.3 + SWEEPS_S)
            assert await ledger_of(it, d) == before
            assert len(await it.events(d)) == 3

    in_virtual_time(database, play())


def test_what_is_executed_here_is_left_to_its_budget(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(0.5, says("in time")), **QUICK) as it:
            _, body = await it.delegate()
            d = body["delegation_id"]
            await it.settled(d, "dispatched")
            await it.rows.execute(LATER)
            assert await it.settled(d) == "completed"
            assert (await ledger_of(it, d))["result_preview"] == "in time"

    in_virtual_time(database, play())


def test_a_report_and_the_deadline_have_one_winner(database: Database) -> None:
    async def play() -> None:
        async with world(database, sweeper_interval_s=0.05) as it:
            winners = set()
            for number in range(12):
                d = await polled(it)
                await it.rows.execute(LATER + " WHERE delegation_id = $1", d)
                await asyncio.sleep(0.005 * number)
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
        async with world(database, **WATCHFUL) as it:
            await beat(it)
            d = await polled(it)
            rows, events = await it.kinds(d), await it.events(d)
            row = await becomes(it, d, "stuck")
            assert row["error_detail"] == "no heartbeat for 0s"
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
        async with world(database, **WATCHFUL) as it:
            d = await polled(it)
            for _ in range(8):
                for workspace in spoken:
                    await beat(it, workspace)
                await asyncio.sleep(0.1)
            assert (await ledger_of(it, d))["status"] == "queued"

    in_virtual_time(database, play())


def test_the_heartbeat_of_the_row_counts_before_that_of_the_target(database: Database) -> None:
    async def play() -> None:
        async with world(database, **WATCHFUL) as it:
            d = await polled(it)
            await it.rows.execute("UPDATE delegations SET last_heartbeat = now() - interval '90 minutes'")
            for _ in range(8):
                await beat(it)
                await asyncio.sleep(0.1)
            row = await becomes(it, d, "stuck")
            assert row["error_detail"] in ("no heartbeat for 5400s", "no heartbeat for 5401s")

    in_virtual_time(database, play())


def test_after_a_start_targets_are_given_time_to_be_heard(database: Database) -> None:
    async def play() -> None:
        async with world(database, sweeper_interval_s=0.1, stuck_threshold_s=1.0) as it:
            d = await polled(it)
            await it.rows.execute("UPDATE workspaces SET last_heartbeat_at = now() - interval '1 hour'")
            await it.restart()
            await asyncio.sleep(0.5)
            assert (await ledger_of(it, d))["status"] == "queued"
            await becomes(it, d, "stuck")

    in_virtual_time(database, play())


def test_the_deadline_wins_over_stuck(database: Database) -> None:
    async def play() -> None:
        async with world(database, **WATCHFUL) as it:
            await beat(it)
            d = await polled(it)
            await it.rows.execute(LATER)
            await asyncio.sleep(0.3 + SWEEPS_S)
            assert (await ledger_of(it, d))["error_detail"] == OVERDUE

    in_virtual_time(database, play())


def test_the_ledger_row_of_a_caller_that_is_gone_is_closed_alone(database: Database) -> None:
    async def play() -> None:
        async with world(database, **QUICK) as it:
            d = await polled(it)
            await it.rows.execute("DELETE FROM workspaces WHERE id = $1", ANN)
            await it.rows.execute(LATER)
            assert (await becomes(it, d, "failed"))["error_detail"] == OVERDUE
            assert await it.kinds(d) == []

    in_virtual_time(database, play())


def test_a_delegation_that_ended_without_the_ledger_ends_there_as_it_did(database: Database) -> None:
    async def play() -> None:
        async with world(database, **QUICK) as it:
            d = await polled(it)
            await it.rows.execute("UPDATE activity_logs SET status = 'completed' WHERE delegation_id = $1", d)
            await it.rows.execute(LATER)
            assert (await becomes(it, d, "completed"))["error_detail"] is None

    in_virtual_time(database, play())


@pytest.mark.parametrize("fault", ["lose", "ack", "hush"])
def test_the_sweeper_outlives_any_database_fault(database: Database, fault: str) -> None:
    async def play() -> None:
        for at in range(1, 9):
            async with world(database, sweeper_interval_s=0.15, database_timeout_s=0.25) as it:
                d = await recorded(it)
                it.wire.arm(at, fault)
                await it.rows.execute(LATER)
                if fault == "hush":
                    await asyncio.sleep(0.7)
                    it.wire.heal()
                assert await it.settled(d) == "failed", f"message {at}"
                await asyncio.sleep(0.4)
                assert await it.kinds(d) == [
                    ("delegation", "delegate", "failed"),
                    ("delegation", "delegate_result", "failed"),
                    ("a2a_receive", "delegate_result", "error"),
                ]
                assert [name for name, _ in await it.events(d)] == ["DELEGATION_SENT", "DELEGATION_FAILED"]
                assert it.wire.struck

    in_virtual_time(database, play())
