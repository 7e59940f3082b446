"""What an agent's connection can do to a delegation: retried, failed or answered, never delivered twice."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.contract.agents import Behaviour, Writer, a2a_text, after, answers, closes, http_reply, reset, resets, says
from tests.contract.database import Database
from tests.contract.virtual import in_virtual_time
from tests.contract.world import BOB, exactly, world

RESTARTING = answers(b'{"error":"restarting","restarting":true}', status="503 Busy")


def cut(body: bytes, *, keep: int, how: str) -> Behaviour:
    """A 2xx of which only `keep` bytes of the body arrive."""

    async def behave(writer: Writer) -> None:
        writer.write(http_reply(body[:keep], length=len(body)))
        await writer.drain()
        await asyncio.sleep(0.05)
        if how == "reset":
            reset(writer)

    return behave


async def garbles(writer: Writer) -> None:
    writer.write(b"this is no HTTP\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("behaviours", "deliveries", "status", "detail"),
    [
        ([garbles, says("no")], 1, "failed", "delivery_unknown: connection lost before a reply"),
        ([RESTARTING, says("second")], 2, "completed", None),
        ([RESTARTING, RESTARTING, says("third")], 2, "failed", "restarting"),
        ([resets, says("no")], 1, "failed", "delivery_unknown: connection lost before a reply"),
        ([closes, says("no")], 1, "failed", "delivery_unknown: connection lost before a reply"),
        ([answers(b"", status="502 Bad Gateway"), says("no")], 1, "failed", "Bad Gateway"),
        ([answers(b"{}", status="503 X"), says("no")], 1, "failed", "Service Unavailable"),
        ([answers(b"{}", status="504 X"), says("no")], 1, "failed", "Gateway Timeout"),
        ([answers(b"", status="504 X"), says("no")], 1, "failed", "Gateway Timeout"),
        ([answers(b"", status="500 X"), says("no")], 1, "failed", "Internal Server Error"),
        ([answers(b"", status="403 X"), says("no")], 1, "failed", "Forbidden"),
        ([answers(b"", status="402 X"), says("no")], 1, "failed", "Payment Required"),
        ([answers(b'{"restarting":true}', status="502 X"), says("no")], 1, "failed", "Bad Gateway"),
        ([answers(b'{"restarting":"true"}', status="503 X"), says("no")], 1, "failed", "Service Unavailable"),
        ([RESTARTING, answers(b""), says("no")], 2, "failed", "agent returned empty response body"),
        ([RESTARTING, resets, says("no")], 2, "failed", "delivery_unknown: connection lost before a reply"),
        ([cut(a2a_text("lost"), keep=0, how="reset"), says("no")], 1, "failed", "failed to read agent response"),
        ([RESTARTING, cut(a2a_text("x"), keep=9, how="reset")], 2, "completed", None),
    ],
)
def test_one_retry_and_only_of_what_was_not_delivered(
    database: Database, behaviours: list[Behaviour], deliveries: int, status: str, detail: str | None
) -> None:
    async def play() -> None:
        async with world(database, *behaviours) as it:
            _, body = await it.delegate()
            d = body["delegation_id"]
            assert await it.settled(d) == status
            await asyncio.sleep(60)
            assert len(it.bob.requests) == deliveries
            assert [later - it.bob.times[0] for later in it.bob.times[1:]] == [exactly(8)] * (deliveries - 1)
            row = await it.one("SELECT * FROM activity_logs WHERE delegation_id = $1 AND method = 'delegate'", d)
            assert row["error_detail"] == detail
            assert await it.rows.fetchval("SELECT count(*) FROM activity_logs WHERE workspace_id = $1", BOB) == 1

    in_virtual_time(database, play())


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("keep", [1, 40, 75, 90, 95, 100, -1])
def test_a_cut_off_answer_is_an_answer(database: Database, keep: int, how: str) -> None:
    body = a2a_text('a "long" and\nwinding answer')

    async def play() -> None:
        async with world(database, cut(body, keep=keep, how=how), says("no")) as it:
            _, accepted = await it.delegate()
            d = accepted["delegation_id"]
            assert await it.settled(d) == "completed"
            row = await it.one("SELECT * FROM activity_logs WHERE delegation_id = $1 "
                               "AND activity_type = 'delegation' AND method = 'delegate_result'", d)  # fmt: skip
            result = json.loads(row["response_body"])
            assert result["truncated"] is True
            assert result["text"]
            text_at = body.index(b'a \\"long')
            if keep == -1 or keep > text_at:
                assert 'a "long" and\nwinding answer'.startswith(result["text"])
            else:
                assert result["text"] == body[:keep].decode()
            assert len(it.bob.requests) == 1

    in_virtual_time(database, play())


def test_a_target_that_comes_up_elsewhere_is_found_by_the_retry(database: Database) -> None:
    async def play() -> None:
        async with world(database, says("moved")) as it:
            it.bob.stop()
            _, body = await it.delegate()
            began_s = it.time_s
            await asyncio.sleep(7.9)
            assert await it.status(body["delegation_id"]) == "dispatched"
            it.bob.port = 0
            await it.bob.start()
            await it.rows.execute("UPDATE workspaces SET url = $1 WHERE id = $2", it.bob.url, BOB)
            assert await it.settled(body["delegation_id"]) == "completed"
            assert [at_s - began_s for at_s in it.bob.times] == [exactly(8)]

    in_virtual_time(database, play())


def test_what_was_reported_during_the_wait_is_not_sent_again(database: Database) -> None:
    async def play() -> None:
        async with world(database, RESTARTING, says("no")) as it:
            _, body = await it.delegate()
            d = body["delegation_id"]
            await it.bob.contacted.wait()
            report = {"status": "completed", "response_preview": "by other means"}
            assert (await it.post(f"/workspaces/{BOB}/delegations/{d}/update", report))[0] == 200
            await asyncio.sleep(60)
            assert len(it.bob.requests) == 1
            assert [name for name, _ in await it.events(d)].count("DELEGATION_COMPLETE") == 1

    in_virtual_time(database, play())


def test_an_agent_may_queue_the_work_and_report_later(database: Database) -> None:
    async def play() -> None:
        async with world(database, answers(b'{"queued":true}', status="202 Accepted")) as it:
            _, body = await it.delegate()
            d = body["delegation_id"]
            await it.settled(d, "queued")
            assert (await it.kinds(d))[1:] == [("delegation", "delegate_result", "queued")]
            # The ledger has no way back to queued (INV-38, INV-40).
            ledger = "SELECT status FROM delegations"
            assert await it.rows.fetchval(ledger) == "dispatched"
            path = f"/workspaces/{BOB}/delegations/{d}/update"
            assert (await it.post(path, {"status": "failed", "error": "gave up"}))[0] == 200
            assert await it.kinds(d) == [
                ("delegation", "delegate", "failed"),
                ("delegation", "delegate_result", "failed"),
                ("a2a_receive", "delegate_result", "error"),
            ]
            assert await it.rows.fetchval(ledger) == "failed"

    in_virtual_time(database, play())


def test_a_dead_target_fails_after_the_retry(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            it.bob.stop()
            _, body = await it.delegate()
            d = body["delegation_id"]
            assert await it.settled(d) == "failed"
            assert (await it.events(d))[-1][1]["error"] == "failed to reach workspace agent"
            assert await it.ended_after_s(d) == exactly(8)
            assert [name for name, _ in await it.events(d)].count("DELEGATION_STATUS") == 1

    in_virtual_time(database, play())


def test_an_unresolvable_name_is_retried_and_fails(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await it.rows.execute("UPDATE workspaces SET url = 'http://bob.invalid/' WHERE id = $1", BOB)
            _, body = await it.delegate()
            assert await it.settled(body["delegation_id"]) == "failed"
            assert await it.ended_after_s(body["delegation_id"]) == exactly(8)

    in_virtual_time(database, play())


def test_an_address_where_nobody_answers_is_given_up_in_time_and_tried_once_more(database: Database) -> None:
    """A connection that takes too long was never made, so nothing was delivered."""

    async def play() -> None:
        async with world(database) as it:
            await it.rows.execute("UPDATE workspaces SET url = 'http://10.99.99.99:9000/' WHERE id = $1", BOB)
            d = (await it.delegate())[1]["delegation_id"]
            assert await it.settled(d) == "failed"
            assert (await it.events(d))[-1][1]["error"] == "failed to reach workspace agent"
            # 10 s, 8 s and 10 s; aiohttp lets a connection time out at a whole second of the loop's clock.
            assert 28 <= await it.ended_after_s(d) <= 30

    in_virtual_time(database, play())


def test_the_budget_ends_an_execution(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(3600, says("late"))) as it:
            _, body = await it.delegate()
            d = body["delegation_id"]
            assert await it.settled(d) == "failed"
            assert (await it.events(d))[-1][1]["error"] == "execution budget exhausted"
            assert await it.ended_after_s(d) == exactly(1800)
            assert len(it.bob.requests) == 1

    in_virtual_time(database, play())


def test_a_cut_off_answer_counts_even_when_the_budget_ends(database: Database) -> None:
    async def stall(writer: Writer) -> None:
        writer.write(http_reply(b"first words", length=1000))
        await writer.drain()
        await asyncio.sleep(3600)

    async def play() -> None:
        async with world(database, stall) as it:
            _, body = await it.delegate()
            assert await it.settled(body["delegation_id"]) == "completed"
            assert await it.ended_after_s(body["delegation_id"]) == exactly(1800)

    in_virtual_time(database, play())


def test_a_client_that_hangs_up_does_not_stop_anything(database: Database) -> None:
    """Whenever it hangs up after sending: the delegation is carried out, once, or was never taken on."""

    async def play() -> None:
        async with world(database) as it:
            answered = 0
            for pause_us in range(0, 6000, 100):
                asking = asyncio.create_task(it.delegate(idempotency_key=f"k{pause_us}"))
                await asyncio.sleep(pause_us / 1e6)
                asking.cancel()
                await asyncio.wait([asking])
                answered += not asking.cancelled()
            await asyncio.sleep(60)
            rows = await it.rows.fetch("SELECT delegation_id, status FROM activity_logs WHERE method = 'delegate'")
            assert {row["status"] for row in rows} <= {"completed"}
            seen = [request["params"]["message"]["messageId"] for request in it.bob.requests]
            assert sorted(seen) == sorted(row["delegation_id"] for row in rows)
            assert 0 < answered < len(rows) < 60

    in_virtual_time(database, play())
