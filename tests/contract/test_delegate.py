"""POST /workspaces/:id/delegate, and what comes of it when nothing is broken."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.contract.agents import Behaviour, a2a_text, after, answers, says
from tests.contract.database import Database
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, NOBODY, POLLY, world

RESULT = ("delegation", "delegate_result")
INBOX = ("a2a_receive", "delegate_result")


def test_an_accepted_delegation_is_executed_and_leaves_every_row(database: Database) -> None:
    async def play() -> None:
        async with world(database, says("all green")) as it:
            status, body = await it.delegate()
            assert status == 202
            assert body == {"delegation_id": body["delegation_id"], "status": "delegated", "target_id": BOB}
            d = body["delegation_id"]
            assert await it.settled(d) == "completed"
            assert await it.kinds(d) == [
                ("delegation", "delegate", "completed"),
                (*RESULT, "completed"),
                (*INBOX, "ok"),
            ]
            preview = {"delegation_id": d, "target_id": BOB}
            assert await it.events(d) == [
                ("DELEGATION_SENT", {**preview, "task_preview": "write the tests"}),
                ("DELEGATION_STATUS", {**preview, "status": "dispatched"}),
                ("DELEGATION_COMPLETE", {**preview, "response_preview": "all green"}),
            ]
            ledger = await it.one("SELECT * FROM delegations")
            assert (ledger["status"], ledger["result_preview"]) == ("completed", "all green")
            assert (str(ledger["caller_id"]), str(ledger["callee_id"])) == (ANN, BOB)
            result = await it.one("SELECT * FROM activity_logs WHERE activity_type = 'delegation' "
                                  "AND method = 'delegate_result'")  # fmt: skip
            assert json.loads(result["response_body"]) == {"text": "all green", "delegation_id": d}
            assert result["summary"] == "Delegation completed (all green)"
            inbound = await it.one("SELECT * FROM activity_logs WHERE workspace_id = $1", BOB)
            assert (inbound["status"], inbound["method"]) == ("ok", "message/send")
            assert inbound["summary"] == "message/send → bob"
            assert json.loads(inbound["response_body"]) == json.loads(a2a_text("all green"))
            assert await it.rows.fetchval("SELECT last_outbound_at FROM workspaces WHERE id = $1", ANN)
            (request,) = it.bob.requests
            message = request["params"]["message"]
            assert (request["jsonrpc"], request["method"]) == ("2.0", "message/send")
            assert message["messageId"] == d
            assert message["metadata"] == {"delegation_id": d}
            assert message["parts"] == [{"kind": "text", "text": "write the tests"}]

    in_virtual_time(database, play())


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"no json", 400, "invalid delegation request"),
        (b"[]", 400, "invalid delegation request"),
        ({"task": "t"}, 400, "invalid delegation request"),
        ({"target_id": BOB}, 400, "invalid delegation request"),
        ({"target_id": BOB, "task": ""}, 400, "invalid delegation request"),
        ({"target_id": BOB, "task": 7}, 400, "invalid delegation request"),
        ({"target_id": BOB, "task": "t", "idempotency_key": 7}, 400, "invalid delegation request"),
        ({"target_id": BOB, "task": "t", "idempotency_key": "k" * 600}, 400, "invalid delegation request"),
        ({"target_id": "bob", "task": "t"}, 400, "target_id must be a valid UUID"),
        ({"target_id": ANN, "task": "t"}, 400, "self-delegation not permitted"),
        ({"target_id": ANN.upper(), "task": "t"}, 400, "self-delegation not permitted"),
        ({"target_id": f"urn:uuid:{ANN}", "task": "t"}, 400, "self-delegation not permitted"),
        ({"target_id": f"{{{ANN}}}", "task": "t"}, 400, "self-delegation not permitted"),
        ({"target_id": BOB, "task": "x" * (1024 * 1024)}, 413, "request body too large"),
    ],
)
def test_what_is_refused_leaves_no_trace(database: Database, body: object, status: int, error: str) -> None:
    async def play() -> None:
        async with world(database) as it:
            got, answer = await it.post(f"/workspaces/{ANN}/delegate", body)
            assert (got, answer["error"]) == (status, error)
            for table in ("activity_logs", "delegations", "structure_events"):
                assert await it.rows.fetchval(f"SELECT count(*) FROM {table}") == 0
            assert it.bob.requests == []

    in_virtual_time(database, play())


def test_a_body_of_a_mebibyte_is_taken_to_the_last_byte(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            body = json.dumps({"target_id": BOB, "task": "TASK"}).encode()
            body = body.replace(b"TASK", b"x" * (1024 * 1024 - len(body) + 4))
            status, answer = await it.post(f"/workspaces/{ANN}/delegate", body)
            assert status == 202
            assert await it.settled(answer["delegation_id"]) == "completed"
            (part,) = it.bob.requests[0]["params"]["message"]["parts"]
            assert part["text"] == json.loads(body)["task"]
            assert await it.post(f"/workspaces/{ANN}/delegate", body + b" ") == (
                413, {"error": "request body too large", "truncated": True, "max_bytes": 1024 * 1024}
            )  # fmt: skip

    in_virtual_time(database, play())


@pytest.mark.parametrize(
    ("behaviour", "status", "text"),
    [
        (says("fine"), "completed", "fine"),
        (answers(b"plain words"), "completed", "plain words"),
        (answers(b'{"result":{"parts":[{"type":"text","text":"old"}]}}'), "completed", "old"),
        (answers(b'{"result":{"artifacts":[{"parts":[{"kind":"text","text":"art"}]}]}}'), "completed", "art"),
        (answers(a2a_text("nul \x00 and \ud800")), "completed", "nul � and �"),
        (answers(a2a_text("é" * 5000)), "completed", "é" * 5000),
        (answers(b'{"queued":true}'), "completed", '{"queued":true}'),
        (answers(b'{"queued":"true"}', status="202 X"), "completed", '{"queued":"true"}'),
        (answers(b"accepted", status="202 X"), "completed", "accepted"),
        (
            answers(
                b'{"result":{"parts":[{"kind":"data"},{"kind":"text","text":"1st"},{"kind":"text","text":"2nd"}]}}'
            ),
            "completed",
            "1st",
        ),
        (answers(b'{"result":{"n":NaN}}'), "completed", '{"result":{"n":NaN}}'),
        (answers(b"[" * 5000), "completed", "[" * 5000),
        (answers(b""), "failed", "agent returned empty response body"),
        (answers(b"", status="204 No Content"), "failed", "agent returned empty response body"),
        (answers(b'{"error":{"code":-1,"message":"no model"}}'), "failed", "no model"),
        (answers(b'{"error":"broken"}', status="500 Oops"), "failed", "broken"),
        (answers(b"", status="404 Not Found"), "failed", "Not Found"),
        (answers(b'{"error":"busy","busy":true}', status="503 Busy"), "failed", "busy"),
        (answers(b"", status="502 Bad Gateway"), "failed", "Bad Gateway"),
        (answers(b"{}", status="302 Found"), "failed", "Found"),
        (answers(b"x" * (10 * 1024 * 1024)), "completed", "x" * (10 * 1024 * 1024)),
        (answers(b"x" * (10 * 1024 * 1024 + 1)), "failed", "reply too large"),
    ],
)
def test_every_reply_is_final_after_one_delivery(
    database: Database, behaviour: Behaviour, status: str, text: str
) -> None:
    async def play() -> None:
        async with world(database, behaviour) as it:
            _, body = await it.delegate()
            d = body["delegation_id"]
            assert await it.settled(d) == status
            assert len(it.bob.requests) == 1
            assert await it.kinds(d) == [
                ("delegation", "delegate", status),
                (*RESULT, status),
                (*INBOX, "ok" if status == "completed" else "error"),
            ]
            inbox = await it.one("SELECT * FROM activity_logs WHERE workspace_id = $1 "
                                 "AND activity_type = 'a2a_receive'", ANN)  # fmt: skip
            told = json.loads(inbox["response_body"])["text"] if status == "completed" else inbox["error_detail"]
            assert told == text
            ledger = await it.one("SELECT * FROM delegations")
            assert ledger["status"] == status
            stored = ledger["result_preview"] if status == "completed" else ledger["error_detail"]
            assert stored == text.encode()[:4096].decode(errors="ignore")

    in_virtual_time(database, play())


@pytest.mark.parametrize(
    ("setup", "target", "error"),
    [
        ("SELECT 1", NOBODY, "access denied: workspaces cannot communicate per hierarchy rules"),
        ("UPDATE workspaces SET parent_id = '{ann}' WHERE name IN ('polly')", BOB, None),
        ("UPDATE workspaces SET budget_limit = 5, monthly_spend = 5 WHERE name = 'bob'", BOB,
         "workspace budget limit exceeded"),
        ("UPDATE workspaces SET url = NULL WHERE name = 'bob'", BOB, "workspace has no URL"),
        ("UPDATE workspaces SET url = 'http://169.254.1.1/' WHERE name = 'bob'", BOB,
         "workspace URL is not publicly routable"),
        ("UPDATE workspaces SET url = 'ftp://bob/' WHERE name = 'bob'", BOB,
         "workspace URL is not publicly routable"),
    ],
)  # fmt: skip
def test_a_closed_gate_fails_the_delegation_without_contact(
    database: Database, setup: str, target: str, error: str | None
) -> None:
    async def play() -> None:
        async with world(database) as it:
            await it.rows.execute(setup.replace("{ann}", ANN))
            _, body = await it.delegate(target=target)
            d = body["delegation_id"]
            status = await it.settled(d)
            detail = await it.rows.fetchval(
                "SELECT error_detail FROM activity_logs WHERE delegation_id = $1 AND method = 'delegate'", d
            )
            assert (status, detail) == (("failed", error) if error else ("completed", None))
            assert len(it.bob.requests) == (0 if error else 1)

    in_virtual_time(database, play())


def test_an_unknown_source_is_refused(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            status, _ = await it.post(f"/workspaces/{NOBODY}/delegate", {"target_id": BOB, "task": "t"})
            assert status == 404
            assert it.bob.requests == []

    in_virtual_time(database, play())


def test_children_of_different_parents_may_not_talk(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await it.rows.execute(f"UPDATE workspaces SET parent_id = '{POLLY}' WHERE id = '{BOB}'")
            _, body = await it.delegate()
            assert await it.settled(body["delegation_id"]) == "failed"
            assert it.bob.requests == []

    in_virtual_time(database, play())


def test_a_poll_target_gets_a_row_and_no_request_and_reports_later(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            _, body = await it.delegate(target=POLLY)
            d = body["delegation_id"]
            assert await it.settled(d, "queued") == "queued"
            ledger = "SELECT status FROM delegations"
            assert await it.rows.fetchval(ledger) == "queued"
            status, inbox = await it.get(f"/workspaces/{POLLY}/activity?type=a2a_receive")
            assert status == 200
            assert [row["request_body"]["params"]["message"]["messageId"] for row in inbox] == [d]
            assert it.bob.requests == []
            path = f"/delegations/{d}/update"
            for party, report, expected in [
                (NOBODY, {"status": "completed"}, 404),
                (BOB, {"status": "completed"}, 404),
                (POLLY, b"[", 400),
                (POLLY, {"status": "queued"}, 400),
                (POLLY, {}, 400),
                (POLLY, {"status": "completed", "response_preview": "polled"}, 200),
                (POLLY, {"status": "completed", "response_preview": "again"}, 200),
                (ANN, {"status": "failed", "error": "late"}, 409),
            ]:
                got, _ = await it.post(f"/workspaces/{party}{path}", report)
                assert got == expected, (party, report)
            assert await it.kinds(d) == [
                ("delegation", "delegate", "completed"),
                (*RESULT, "completed"),
                (*INBOX, "ok"),
            ]
            strange = f"/workspaces/{POLLY}/delegations/%00%ED%A0%80/update"
            assert (await it.post(strange, {"status": "completed"}))[0] == 404
            last = (await it.events(d))[-1]
            assert last == ("DELEGATION_COMPLETE", {"delegation_id": d, "response_preview": "polled"})
            assert await it.rows.fetchval(ledger) == "completed"

    in_virtual_time(database, play())


def test_a_report_wins_over_the_reply_that_comes_later(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(30, says("too late"))) as it:
            _, body = await it.delegate()
            d = body["delegation_id"]
            await it.settled(d, "dispatched")
            got, _ = await it.post(f"/workspaces/{BOB}/delegations/{d}/update", {"status": "failed"})
            assert got == 200
            await asyncio.sleep(60)
            assert await it.kinds(d) == [
                ("delegation", "delegate", "failed"),
                (*RESULT, "failed"),
                (*INBOX, "error"),
            ]

    in_virtual_time(database, play())


@pytest.mark.parametrize(("ledger", "inbox"), [(False, True), (True, False), (False, False)])
def test_the_flags_switch_ledger_and_inbox_off(database: Database, ledger: bool, inbox: bool) -> None:
    async def play() -> None:
        async with world(database, ledger_write=ledger, result_inbox_push=inbox) as it:
            _, body = await it.delegate()
            await it.settled(body["delegation_id"])
            assert await it.rows.fetchval("SELECT count(*) FROM delegations") == ledger
            assert (*INBOX, "ok") in await it.kinds(body["delegation_id"]) or not inbox
            assert len(await it.kinds(body["delegation_id"])) == 2 + inbox
            _, listed = await it.get(f"/workspaces/{ANN}/delegations")
            assert [entry["status"] for entry in listed] == ["completed"]

    in_virtual_time(database, play())
