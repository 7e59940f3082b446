"""The gates between a message and its target: their order, what each refuses, and a database that fails at each."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.contract.agents import says
from tests.contract.database import Database
from tests.contract.queue_steps import NO_SWEEP, beat
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, NOBODY, POLLY, World, exactly, world

HELLO = {"method": "message/send", "params": {"message": {"messageId": "m1", "parts": []}}}
STRANGERS = "UPDATE workspaces SET parent_id = '{polly}' WHERE name = 'bob'"
SPENT = "UPDATE workspaces SET budget_limit = 5, monthly_spend = 5 WHERE name = 'bob'"
BUSY = "UPDATE workspaces SET active_tasks = 1 WHERE name = 'bob'"
NO_URL = "UPDATE workspaces SET url = NULL WHERE name = 'bob'"
UNSAFE = "UPDATE workspaces SET url = 'http://169.254.169.254/' WHERE name = 'bob'"
UNRESOLVED = "UPDATE workspaces SET url = 'http://bob.invalid/' WHERE name = 'bob'"
POLLS = "UPDATE workspaces SET delivery_mode = 'poll' WHERE name = 'bob'"

DENIED = (403, {"error": "access denied: workspaces cannot communicate per hierarchy rules"})
OVER_BUDGET = (402, {"error": "workspace budget limit exceeded"})
NO_JSON = (400, {"error": "invalid JSON"})
URL_MISSING = (503, {"error": "workspace has no URL", "status": "online"})
URL_UNSAFE = (502, {"error": "workspace URL is not publicly routable"})
UNREACHABLE = (502, {"error": "failed to reach workspace agent"})
POLLED = (200, {"status": "queued", "delivery_mode": "poll", "method": "message/send"})
MODE_UNKNOWN = (503, {"error": "delivery-mode lookup failed; refusing to dispatch to avoid silent misrouting"})


async def send(it: World, *, body: object = HELLO, caller: str | None = ANN, target: str = BOB) -> tuple[int, Any]:
    return await it.post(f"/workspaces/{target}/a2a", body, **({"X_Workspace_ID": caller} if caller else {}))


@pytest.mark.parametrize(
    ("setup", "body", "expected"),
    [
        ([STRANGERS], HELLO, DENIED),
        ([STRANGERS, SPENT, NO_URL], b"no json", DENIED),
        ([SPENT], HELLO, OVER_BUDGET),
        ([SPENT, POLLS], HELLO, OVER_BUDGET),
        ([SPENT, BUSY, NO_URL], b"no json", OVER_BUDGET),
        ([POLLS], b"no json", NO_JSON),
        ([BUSY, NO_URL], b"no json", NO_JSON),
        ([POLLS, BUSY, NO_URL], HELLO, POLLED),
        ([POLLS, UNSAFE], HELLO, POLLED),
        ([NO_URL], HELLO, URL_MISSING),
        ([NO_URL, "UPDATE workspaces SET status = 'paused' WHERE name = 'bob'"], HELLO,
         (503, {"error": "workspace has no URL", "status": "paused"})),
        ([UNSAFE], HELLO, URL_UNSAFE),
        ([UNRESOLVED], HELLO, UNREACHABLE),
    ],
)  # fmt: skip
def test_the_first_gate_that_is_closed_answers(
    database: Database, setup: list[str], body: object, expected: tuple[int, Any]
) -> None:
    """INV-15: access, budget, message, mode, capacity, URL; and whatever is refused leaves no row and no contact."""

    async def play() -> None:
        async with world(database) as it:
            for statement in setup:
                await it.rows.execute(statement.format(polly=POLLY))
            assert await send(it, body=body) == expected
            assert it.bob.requests == []
            assert await it.rows.fetchval("SELECT count(*) FROM activity_logs") == (expected == POLLED)
            assert await it.rows.fetchval("SELECT count(*) FROM a2a_queue") == 0
            assert await it.rows.fetchval("SELECT count(*) FROM structure_events") == 0

    in_virtual_time(database, play())


def test_capacity_is_asked_before_the_url(database: Database) -> None:
    """What waits may have an address by the time it is sent."""

    async def play() -> None:
        async with world(database) as it:
            for statement in (BUSY, NO_URL):
                await it.rows.execute(statement)
            assert (await send(it))[0] == 202
            await it.rows.execute("UPDATE workspaces SET url = $1 WHERE id = $2", it.bob.url, BOB)
            await beat(it)
            await asyncio.sleep(60)
            assert len(it.bob.requests) == 1

    in_virtual_time(database, play())


@pytest.mark.parametrize(
    ("limit", "spent", "status"), [(None, 10**12, 200), (5, 4, 200), (5, 5, 402), (5, 6, 402), (0, 0, 402)]
)
def test_a_budget_is_spent_when_it_is_reached(database: Database, limit: int | None, spent: int, status: int) -> None:
    async def play() -> None:
        async with world(database) as it:
            await it.rows.execute("UPDATE workspaces SET budget_limit = $1, monthly_spend = $2", limit, spent)
            assert (await send(it))[0] == status

    in_virtual_time(database, play())


CHILD, GRANDCHILD, NEPHEW = (NOBODY[:-2] + suffix for suffix in ("c1", "c2", "c3"))


@pytest.mark.parametrize(
    ("caller", "target", "allowed"),
    [
        (ANN, ANN, True),
        (ANN, POLLY, True),
        (ANN, CHILD, True),
        (CHILD, ANN, True),
        (ANN, GRANDCHILD, True),
        (GRANDCHILD, ANN, True),
        (CHILD, NEPHEW, False),
        (CHILD, POLLY, False),
        (NEPHEW, ANN, False),
        (GRANDCHILD, NEPHEW, False),
        (NOBODY, ANN, False),
        (None, GRANDCHILD, True),
    ],
)
def test_ancestors_descendants_and_siblings_may_talk(
    database: Database, caller: str | None, target: str, allowed: bool
) -> None:
    async def play() -> None:
        async with world(database) as it:
            await it.rows.executemany(
                "INSERT INTO workspaces (id, name, status, parent_id) VALUES ($1, $2, 'online', $3)",
                [(CHILD, "child", ANN), (GRANDCHILD, "grandchild", CHILD), (NEPHEW, "nephew", BOB)],
            )
            await it.rows.execute("UPDATE workspaces SET delivery_mode = 'poll'")
            assert await send(it, caller=caller, target=target) == (POLLED if allowed else DENIED)

    in_virtual_time(database, play())


GATES = ("token", "access", "budget", "mode", "URL", "row")
"""In the order in which a message passes them; each asks the database once."""

UNAVAILABLE = (503, {"error": "platform datastore unavailable — retry shortly", "code": "platform_unavailable"})
NO_ROW = (503, {"error": "message could not be recorded; refusing to dispatch"})
DONE = (200, None)


@pytest.mark.parametrize(
    ("gate", "fault", "expected", "fallbacks"),
    [
        ("token", "lose", UNAVAILABLE, 0),
        ("token", "hush", UNAVAILABLE, 0),
        ("access", "lose", DENIED, 0),
        ("access", "hush", (503, {"error": "access lookup failed; refusing to dispatch"}), 0),
        ("budget", "lose", DONE, 0),
        ("budget", "hush", (503, {"error": "budget lookup failed; refusing to dispatch"}), 0),
        ("mode", "lose", DONE, 1),
        ("mode", "hush", MODE_UNKNOWN, 0),
        ("URL", "lose", (500, {"error": "lookup failed"}), 0),
        ("URL", "hush", (503, {"error": "URL lookup failed; refusing to dispatch"}), 0),
        ("row", "lose", DONE, 0),
        ("row", "ack", DONE, 0),
    ],
)
def test_a_database_that_fails_at_a_gate(
    database: Database, gate: str, fault: str, expected: tuple[int, Any], fallbacks: int
) -> None:
    """INV-10, INV-16, D31: silence closes every gate; an error closes those that protect somebody."""

    async def play() -> None:
        async with world(database, says("done"), **NO_SWEEP) as it:
            await send(it)
            await send(it)  # every statement is prepared by now, and takes one message
            it.wire.arm(1 + GATES.index(gate), fault)
            again = {**HELLO, "params": {"message": {"messageId": "m2", "parts": []}}}
            began_s, contacts = it.time_s, len(it.bob.requests)
            status, answer = await send(it, body=again)
            assert it.wire.struck
            assert (status, None if expected == DONE else answer) == expected
            assert fault != "hush" or it.time_s - began_s == exactly(it.config.database_timeout_s)
            it.wire.heal()
            await asyncio.sleep(60)
            assert len(it.bob.requests) - contacts == (expected == DONE)
            rows = "SELECT count(*) FROM activity_logs WHERE message_id = 'm2'"
            assert await it.rows.fetchval(rows) == (expected == DONE)
            events = await it.rows.fetch("SELECT event_type FROM structure_events")
            assert [row[0] for row in events] == ["DELIVERY_MODE_FALLBACK"] * fallbacks

    in_virtual_time(database, play())


def test_a_silence_before_the_row_is_stored_sends_nothing(database: Database) -> None:
    """The row may be stored all the same, later: the message is told to be lost, and was never sent."""

    async def play() -> None:
        async with world(database, **NO_SWEEP) as it:
            await send(it)
            await send(it)
            it.wire.arm(1 + GATES.index("row"), "hush")
            again = {**HELLO, "params": {"message": {"messageId": "m2", "parts": []}}}
            assert await it.post(f"/workspaces/{BOB}/a2a", again, X_Workspace_ID=ANN, X_Timeout="20") == NO_ROW
            it.wire.heal()
            await asyncio.sleep(60)
            assert len(it.bob.requests) == 2

    in_virtual_time(database, play())
