"""What agents send by themselves: POST /workspaces/:id/delegations/record, and the reports (/update) that end it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.contract.agents import after, says
from tests.contract.database import Database
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, INSTANT_S, NOBODY, POLLY, World, world

ORDER = {"target_id": BOB, "task": "write the tests", "delegation_id": "d-1"}
RECORDED = (202, {"delegation_id": "d-1", "status": "recorded"})
DELEGATE, RESULT, INBOX = (
    ("delegation", "delegate"),
    ("delegation", "delegate_result"),
    ("a2a_receive", "delegate_result"),
)


async def record(it: World, by: str = ANN, **changes: Any) -> tuple[int, Any]:
    return await it.post(f"/workspaces/{by}/delegations/record", {**ORDER, **changes})


async def report(it: World, by: str, status: str, **more: str) -> tuple[int, Any]:
    return await it.post(f"/workspaces/{by}/delegations/d-1/update", {"status": status, **more})


async def everything(it: World) -> list[list[Any]]:
    """All that the broker has stored, to see that something changed none of it."""
    return [
        await it.rows.fetch(f"SELECT * FROM {table} ORDER BY 1")
        for table in ("activity_logs", "delegations", "structure_events")
    ]


def test_a_recorded_delegation_leaves_its_rows_and_contacts_nobody(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            assert await record(it) == RECORDED
            row = await it.one("SELECT * FROM activity_logs")
            assert (row["activity_type"], row["method"], row["status"]) == (*DELEGATE, "dispatched")
            assert [str(row[name]) for name in ("workspace_id", "source_id", "target_id")] == [ANN, ANN, BOB]
            assert json.loads(row["request_body"]) == {"task": "write the tests", "delegation_id": "d-1"}
            assert (row["response_body"], row["idempotency_key"]) == (None, None)
            assert row["summary"] == f"Delegating to {BOB}"
            ledger = await it.one("SELECT *, deadline - created_at AS left FROM delegations")
            assert (ledger["status"], ledger["task_preview"]) == ("dispatched", "write the tests")
            assert (str(ledger["caller_id"]), str(ledger["callee_id"])) == (ANN, BOB)
            assert ledger["left"].total_seconds() == 6 * 3600
            sent = {"delegation_id": "d-1", "target_id": BOB, "task_preview": "write the tests"}
            assert await it.events("d-1") == [("DELEGATION_SENT", sent)]
            assert it.bob.requests == []

    in_virtual_time(database, play())


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"no json", "invalid request body"),
        (b"[]", "invalid request body"),
        ({**ORDER, "target_id": ""}, "invalid request body"),
        ({**ORDER, "task": ""}, "invalid request body"),
        ({**ORDER, "task": None}, "invalid request body"),
        ({**ORDER, "delegation_id": ""}, "invalid request body"),
        ({**ORDER, "delegation_id": 7}, "invalid request body"),
        ({**ORDER, "delegation_id": "x" * 513}, "invalid request body"),
        ({**ORDER, "target_id": "bob"}, "target_id must be a valid UUID"),
    ],
)
def test_what_is_malformed_is_refused_and_leaves_nothing(database: Database, body: Any, error: str) -> None:
    async def play() -> None:
        async with world(database) as it:
            assert await it.post(f"/workspaces/{ANN}/delegations/record", body) == (400, {"error": error})
            assert await everything(it) == [[], [], []]

    in_virtual_time(database, play())


def test_recording_needs_the_token_of_the_workspace(database: Database) -> None:
    async def play() -> None:
        async with world(database, environment="production") as it:
            assert await record(it) == (401, {"error": "missing workspace auth token"})
            assert await everything(it) == [[], [], []]

    in_virtual_time(database, play())


def test_an_unknown_workspace_records_nothing(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            assert await record(it, by=NOBODY) == (404, {"error": "workspace not found"})
            assert await everything(it) == [[], [], []]

    in_virtual_time(database, play())


def test_recording_twice_is_recording_once(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            told = await it.watch()
            assert set(map(repr, await asyncio.gather(*(record(it) for _ in range(6))))) == {repr(RECORDED)}
            before = await everything(it)
            assert [len(rows) for rows in before] == [1, 1, 1]
            assert await record(it, task="another wording") == RECORDED
            taken = (409, {"error": "delegation_id reused for a different delegation"})
            assert await record(it, target_id=POLLY) == taken
            assert await record(it, by=POLLY) == taken
            assert await everything(it) == before
            await asyncio.sleep(60)
            assert [event["event"] for event in told] == ["DELEGATION_SENT"]

    in_virtual_time(database, play())


def test_a_finished_delegation_does_not_begin_anew_when_its_activity_is_gone(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await record(it)
            await report(it, ANN, "completed", response_preview="green")
            await it.rows.execute("DELETE FROM activity_logs")
            before = await everything(it)
            assert await record(it) == RECORDED
            assert (await report(it, BOB, "completed"))[0] == 200
            assert (await report(it, BOB, "failed"))[0] == 409
            assert await everything(it) == before

    in_virtual_time(database, play())


@pytest.mark.parametrize(("fault", "lasts_s"), [("lose", 0), ("ack", 0), ("hush", 7.5), ("hush", 30)])
def test_the_database_fails_at_any_message(database: Database, fault: str, lasts_s: float) -> None:
    """Whoever is not told 202 asks again; whatever happened, there is one delegation, announced once."""
    patience_s = 10

    async def play() -> None:
        for at in range(1, 7):
            async with world(database) as it:
                told = await it.watch()
                it.wire.arm(at, fault)
                asyncio.get_running_loop().call_later(lasts_s, it.wire.heal)
                began_s = it.time_s
                answer = await record(it)
                if lasts_s > patience_s and it.wire.struck:
                    assert answer == (500, {"error": "failed to record delegation"}), f"message {at}"
                    assert it.time_s - began_s <= patience_s + INSTANT_S
                    await asyncio.sleep(lasts_s)
                else:
                    assert answer == RECORDED, f"message {at}"
                assert await record(it) == RECORDED
                assert [len(rows) for rows in await everything(it)] == [1, 1, 1], f"message {at}"
                await asyncio.sleep(60)
                announced = [event["event"] for event in told]
                # Stored after all, by a request that had given up: then watchers were never told.
                assert announced == ["DELEGATION_SENT"] or (answer[0] == 500 and not announced)
                assert it.wire.struck or at > 4

    in_virtual_time(database, play())


def test_a_database_that_refuses_is_a_500(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await it.rows.execute("ALTER TABLE activity_logs RENAME TO gone")
            try:
                assert await record(it) == (500, {"error": "failed to record delegation"})
            finally:
                await it.rows.execute("ALTER TABLE gone RENAME TO activity_logs")

    in_virtual_time(database, play())


@pytest.mark.parametrize("by", [ANN, BOB])
@pytest.mark.parametrize(
    ("status", "more", "event", "result", "inbox"),
    [
        (
            "completed",
            {"response_preview": "all green"},
            ("DELEGATION_COMPLETE", {"response_preview": "all green"}),
            ("Delegation completed (all green)", {"text": "all green"}, None),
            ("ok", "Delegation result delivered", {"text": "all green"}, None),
        ),
        (
            "failed",
            {"error": "no model"},
            ("DELEGATION_FAILED", {"error": "no model"}),
            ("Delegation failed", {}, "no model"),
            ("error", "Delegation failed", {"text": ""}, "no model"),
        ),
    ],
)
def test_a_report_of_either_party_ends_it_with_every_row(
    database: Database, by: str, status: str, more: dict[str, str], event: Any, result: Any, inbox: Any
) -> None:
    async def play() -> None:
        async with world(database) as it:
            await record(it)
            assert await report(it, by, status, **more) == (200, {"status": status, "delegation_id": "d-1"})
            assert await it.kinds("d-1") == [(*DELEGATE, status), (*RESULT, status), (*INBOX, inbox[0])]
            name, payload = event
            assert (await it.events("d-1"))[1:] == [(name, {"delegation_id": "d-1", **payload})]
            rows = await it.rows.fetch("SELECT * FROM activity_logs WHERE method = 'delegate_result' ORDER BY seq")
            for row, (summary, body, error) in zip(rows, (result, inbox[1:]), strict=True):
                assert (row["summary"], row["error_detail"]) == (summary, error)
                assert json.loads(row["response_body"]) == {**body, "delegation_id": "d-1"}
                assert [row[key] and str(row[key]) for key in ("workspace_id", "source_id", "target_id")] == [
                    ANN, ANN, None
                ]  # fmt: skip
            ledger = await it.one("SELECT * FROM delegations")
            assert ledger["status"] == status
            assert ledger["result_preview"] == more.get("response_preview")
            assert ledger["error_detail"] == more.get("error")

    in_virtual_time(database, play())


def test_reports_after_the_first_change_nothing(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            assert (await report(it, ANN, "completed"))[0] == 404
            assert await everything(it) == [[], [], []]
            await record(it)
            reports = [
                ("failed", {"error": "one"}), ("completed", {"response_preview": "two"}), ("failed", {"error": "three"})
            ]  # fmt: skip
            ended = await asyncio.gather(*(report(it, BOB, status, **more) for status, more in reports))
            first = await it.status("d-1")
            assert [status for status, _ in ended] == [200 if status == first else 409 for status, _ in reports]
            before = await everything(it)
            assert [len(rows) for rows in before] == [3, 1, 2]
            for status, more in reports:
                if status == first:
                    expected: Any = (200, {"status": first, "delegation_id": "d-1"})
                else:
                    error = f"delegation is already {first}"
                    expected = (409, {"error": error, "status": first, "delegation_id": "d-1"})
                assert await report(it, ANN, status, **more) == expected
            for stranger in (POLLY, NOBODY):
                assert await report(it, stranger, "completed") == (404, {"error": "delegation not found"})
            assert await everything(it) == before

    in_virtual_time(database, play())


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"[", "invalid request body"),
        ({}, "invalid request body"),
        ({"status": 1}, "invalid request body"),
        ({"status": "queued"}, "status must be 'completed' or 'failed'"),
        ({"status": "stuck"}, "status must be 'completed' or 'failed'"),
    ],
)
def test_malformed_reports_are_refused(database: Database, body: Any, error: str) -> None:
    async def play() -> None:
        async with world(database) as it:
            await record(it)
            before = await everything(it)
            assert await it.post(f"/workspaces/{BOB}/delegations/d-1/update", body) == (400, {"error": error})
            assert await everything(it) == before

    in_virtual_time(database, play())


@pytest.mark.parametrize(("ledger", "inbox"), [(False, True), (True, False)])
def test_the_flags_hold_for_recorded_work_too(database: Database, ledger: bool, inbox: bool) -> None:
    async def play() -> None:
        async with world(database, ledger_write=ledger, result_inbox_push=inbox) as it:
            await record(it)
            await report(it, BOB, "failed", error="why")
            assert [len(rows) for rows in await everything(it)] == [2 + inbox, int(ledger), 2]

    in_virtual_time(database, play())


def test_a_restart_leaves_recorded_work_to_its_agents(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(3600, says("never"))) as it:
            await record(it)
            _, executed = await it.delegate()
            await it.settled(executed["delegation_id"], "dispatched")
            await it.restart()
            assert await it.status(executed["delegation_id"]) == "failed"
            assert await it.status("d-1") == "dispatched"
            assert (await report(it, BOB, "completed", response_preview="late, and welcome"))[0] == 200
            assert await it.kinds("d-1") == [(*DELEGATE, "completed"), (*RESULT, "completed"), (*INBOX, "ok")]

    in_virtual_time(database, play())
