"""An idempotency key: one delegation for as long as it lives, and none that nobody can look up."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.agents import answers, says
from tests.contract.database import Database
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, POLLY, world

RESULT = ("delegation", "delegate_result")
INBOX = ("a2a_receive", "delegate_result")


def test_the_same_key_is_one_delegation_until_it_fails(database: Database) -> None:
    async def play() -> None:
        async with world(database, says("one"), answers(b"", status="500 Oops"), says("three")) as it:
            answers_ = await asyncio.gather(*(it.delegate(idempotency_key="k") for _ in range(8)))
            assert sorted(status for status, _ in answers_) == [200] * 7 + [202]
            (d,) = {body["delegation_id"] for _, body in answers_}
            assert await it.settled(d) == "completed"
            status, body = await it.delegate(idempotency_key="k")
            assert (status, body) == (
                200,
                {"delegation_id": d, "status": "completed", "target_id": BOB, "idempotent_hit": True},
            )
            status, body = await it.delegate(idempotency_key="k", target=POLLY)
            assert (status, body["error"]) == (409, "idempotency key reused with a different target")
            assert len(it.bob.requests) == 1
            _, second = await it.delegate(idempotency_key="other")
            assert await it.settled(second["delegation_id"]) == "failed"
            status, third = await it.delegate(idempotency_key="other")
            assert status == 202
            assert third["delegation_id"] != second["delegation_id"]
            assert await it.settled(third["delegation_id"]) == "completed"
            assert await it.rows.fetchval("SELECT count(*) FROM delegations") == 3

    in_virtual_time(database, play())


def test_a_key_is_its_workspaces_own_and_an_empty_one_is_none(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            ids = set()
            for source, key in [(ANN, "k"), (POLLY, "k"), (ANN, ""), (ANN, ""), (ANN, None), (ANN, "K"), (ANN, "k ")]:
                body = {"target_id": BOB, "task": "t", "idempotency_key": key}
                status, answer = await it.post(f"/workspaces/{source}/delegate", body)
                assert status == 202, (source, key)
                ids.add(answer["delegation_id"])
                await it.settled(answer["delegation_id"])
            assert len(ids) == len(it.bob.requests) == 7
            keys = await it.rows.fetch("SELECT idempotency_key FROM delegations ORDER BY created_at")
            assert [row[0] for row in keys] == ["k", "k", None, None, None, "K", "k "]

    in_virtual_time(database, play())


@pytest.mark.parametrize("status", ["pending", "dispatched", "queued", "in_progress", "stuck", "completed"])
def test_whoever_asks_again_is_told_the_stored_status(database: Database, status: str) -> None:
    async def play() -> None:
        async with world(database) as it:
            d = (await it.delegate(idempotency_key="k"))[1]["delegation_id"]
            await it.settled(d)
            await it.rows.execute("UPDATE activity_logs SET status = $1 WHERE method = 'delegate'", status)
            stored = {"delegation_id": d, "status": status, "target_id": BOB, "idempotent_hit": True}
            assert await it.delegate(idempotency_key="k", task="in other words") == (200, stored)
            await asyncio.sleep(60)
            assert len(it.bob.requests) == 1

    in_virtual_time(database, play())


REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status = 'pending' THEN RAISE 'no'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON activity_logs FOR EACH ROW EXECUTE FUNCTION refuse()
"""


def test_what_cannot_be_stored_is_executed_all_the_same_unless_it_has_a_key(database: Database) -> None:
    """INV-05, D33; the rows that are missing come with the outcome."""

    async def play() -> None:
        async with world(database) as it:
            await it.rows.execute(REFUSE)
            try:
                status, body = await it.delegate()
                d = body["delegation_id"]
                assert (status, body) == (
                    202,
                    {"delegation_id": d, "status": "delegated", "target_id": BOB,
                     "warning": "delegation dispatched but status tracking unavailable"},
                )  # fmt: skip
                assert await it.delegate(idempotency_key="k") == (503, {"error": "idempotency check unavailable"})
                await asyncio.sleep(600)
            finally:
                await it.rows.execute("DROP TRIGGER refuse ON activity_logs; DROP FUNCTION refuse()")
            assert await it.kinds(d) == [
                ("delegation", "delegate", "completed"),
                (*RESULT, "completed"),
                (*INBOX, "ok"),
            ]
            assert [str(row[0]) for row in await it.rows.fetch("SELECT delegation_id FROM delegations")] == [d]
            assert [request["params"]["message"]["messageId"] for request in it.bob.requests] == [d]

    in_virtual_time(database, play())
