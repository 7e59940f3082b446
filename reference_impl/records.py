"""The rows of a delegation, and the statements that write them. Nobody else does.

A delegation has a *delegate row* (its state), a *ledger row* (the same, folded, in `delegations`), a *result
row*, an *inbox row* for its caller, and events. `advance` is its state machine: one statement moves delegate
row and ledger row and stores the event that says so, guarded by the statuses it may move from. Whoever wins
that compare-and-set is the only one to write what follows from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from reference_impl.events import Event
from reference_impl.store import Connection, Record
from reference_impl.text import dump_json, prefix

TERMINAL = ("completed", "failed")
OPEN = ("pending", "dispatched", "queued", "in_progress", "stuck")

_LEDGER_TEXT_BYTES = 4096

# A poller's cursor is (created_at, seq), so rows of one workspace must become visible in that order, even if
# writers race or the clock steps back (INV-90, D27). Hence every insert of an activity row first takes this
# slot: the row lock makes writers of one workspace commit one after the other, `seq` is drawn and `created_at`
# is settled under it. It costs no round trip, as it is part of the inserting statement.
SLOT = """
slot AS (
    UPDATE workspaces SET activity_at = GREATEST(activity_at, $1::timestamptz)
    WHERE id = $2::uuid
    RETURNING id, activity_at
)"""

_ADVANCE = f"""
WITH {SLOT}, moved AS (
    INSERT INTO activity_logs AS stored (
        id, workspace_id, source_id, target_id, activity_type, method, status, summary,
        request_body, error_detail, idempotency_key, delegation_id, recorded, created_at)
    SELECT $3::uuid, slot.id, slot.id, $4::uuid, 'delegation', 'delegate', $5::text, $6::text,
        $7::jsonb, $8::text, $9::text, $10::text, $20::boolean, slot.activity_at
    FROM slot
    ON CONFLICT (delegation_id, activity_type, method) WHERE delegation_id IS NOT NULL
    DO UPDATE SET status = EXCLUDED.status, error_detail = EXCLUDED.error_detail
    WHERE stored.status = ANY ($11::text[])
    RETURNING 1
), ledger AS (
    INSERT INTO delegations AS stored (
        delegation_id, caller_id, callee_id, task_preview, status, result_preview, error_detail,
        deadline, created_at, updated_at, idempotency_key)
    SELECT $10, $2, $4, $12::text, $13::text, $14::text, $8, $15::timestamptz, $1, $1, $9
    FROM moved WHERE $16::boolean
    ON CONFLICT (delegation_id) DO UPDATE
    SET status = EXCLUDED.status, result_preview = EXCLUDED.result_preview,
        error_detail = EXCLUDED.error_detail, updated_at = EXCLUDED.updated_at
    WHERE EXCLUDED.status IN ('completed', 'failed') AND stored.status NOT IN ('completed', 'failed')
        OR EXCLUDED.status = 'dispatched' AND stored.status = 'queued'
), event AS (
    INSERT INTO structure_events (id, event_type, workspace_id, target_id, payload, created_at)
    SELECT $17::uuid, $18::text, $2, $4, $19::jsonb, $1 FROM moved
)
SELECT (SELECT activity_at FROM slot) AS at, EXISTS (SELECT FROM moved) AS moved
"""

_RESULT = """
INSERT INTO activity_logs AS stored (
    id, workspace_id, source_id, target_id, activity_type, method, status, summary,
    response_body, error_detail, delegation_id, created_at)
VALUES ($1, $2, $2, $3, 'delegation', 'delegate_result', $4, $5, $6, $7, $8, $9)
ON CONFLICT (delegation_id, activity_type, method) WHERE delegation_id IS NOT NULL
DO UPDATE SET status = EXCLUDED.status, summary = EXCLUDED.summary,
    response_body = EXCLUDED.response_body, error_detail = EXCLUDED.error_detail
WHERE stored.status = 'queued'
"""

# What WITH brings in and nothing asks for is done last: the result row gets the lower number.
_RESULT_AND_INBOX = f"""
WITH told AS (
    INSERT INTO activity_logs (
        id, workspace_id, source_id, activity_type, method, status, summary,
        request_body, response_body, error_detail, delegation_id, created_at)
    VALUES ($10, $2, $2, 'a2a_receive', 'delegate_result', $11, $12, $13, $14, $15, $8, $16)
    ON CONFLICT (delegation_id, activity_type, method) WHERE delegation_id IS NOT NULL DO NOTHING
)
{_RESULT}
"""

_FIND = """
SELECT delegation_id, COALESCE(row.workspace_id, ledger.caller_id) AS workspace_id,
    COALESCE(row.target_id, ledger.callee_id) AS target_id, COALESCE(row.status, ledger.status) AS status,
    COALESCE(row.request_body ->> 'task', ledger.task_preview) AS task,
    COALESCE(row.created_at, ledger.created_at) AS created_at
FROM (
    SELECT * FROM activity_logs
    WHERE delegation_id = $1 AND activity_type = 'delegation' AND method = 'delegate'
) AS row
FULL JOIN (SELECT * FROM delegations WHERE delegation_id = $1) AS ledger USING (delegation_id)
"""

_CLOSE_LEDGER = """
UPDATE delegations SET status = $2, error_detail = $3, updated_at = $4
WHERE delegation_id = $1 AND status NOT IN ('completed', 'failed')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """A unit of work: `source` asked `target` to do `task`, by an MCP `tool` or, if that is None, by `/delegate`."""

    id: str
    source: str
    target: str
    task: str
    accepted_at: datetime
    tool: str | None = None

    @property
    def parties(self) -> tuple[str, str]:
        """Who may say how it ended (D14)."""
        return self.source, self.target

    @property
    def request_body(self) -> str:
        tool = {} if self.tool is None else {"tool": self.tool}
        return dump_json({"task": self.task, "delegation_id": self.id, **tool})


def delegation_from(row: Record) -> Delegation:
    """The delegation of a delegate row; `task` has to be selected from its request body.

    So does `tool`, where the delegation is to be executed.
    """
    return Delegation(
        id=row["delegation_id"],
        source=str(row["workspace_id"]),
        target=str(row["target_id"]),
        task=row["task"] or "",
        accepted_at=row["created_at"],
        tool=row.get("tool"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One move of a delegation to `status`, allowed from any of `origins`, announced by `event`.

    `row_id` is the id of the delegate row should it be missing: the broker may have had to accept the work
    without being able to store it. `recorded`: then the row says that nobody but its agents carries it out.
    """

    delegation: Delegation
    status: str
    origins: Sequence[str]
    event: Event
    row_id: str
    idempotency_key: str | None = None
    error: str | None = None
    result: str | None = None
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class Advanced:
    """What came of a step.

    `at` is the timestamp for further rows of the same transaction, None if the source workspace does not
    exist. `ours`: the step is committed, or will be with this transaction, be it by an earlier try of it.
    `moved`: by this try.
    """

    at: datetime | None
    moved: bool
    ours: bool


async def advance(connection: Connection, step: Step, *, ledger_s: float | None) -> Advanced:
    """Take the step if the delegation's status allows it. `ledger_s`: at what age the ledger ends it; None: it is off.

    Raises `asyncpg.UniqueViolationError` if the idempotency key belongs to another live delegation.
    """
    delegation, event = step.delegation, step.event
    row = await connection.fetchrow(
        _ADVANCE,
        event.at,
        delegation.source,
        step.row_id,
        delegation.target,
        step.status,
        f"Delegating to {delegation.target}",
        delegation.request_body,
        step.error,
        step.idempotency_key,
        delegation.id,
        list(step.origins),
        prefix(delegation.task, _LEDGER_TEXT_BYTES),
        # The ledger knows no "pending": what was accepted is queued there.
        "queued" if step.status == "pending" else step.status,
        prefix(step.result, _LEDGER_TEXT_BYTES) if step.result else None,
        delegation.accepted_at + timedelta(seconds=ledger_s or 0.0),
        ledger_s is not None,
        event.id,
        event.type,
        dump_json(event.payload),
        step.recorded,
    )
    assert row is not None
    # The event is written with the move or not at all, so it tells whether an earlier try of this very step
    # was committed although its acknowledgement never came.
    ours = row["moved"] or await is_stored(connection, event)
    return Advanced(at=row["at"], moved=row["moved"], ours=ours)


async def is_stored(connection: Connection, event: Event) -> bool:
    """Whether the event, and so the step that it announces, is committed."""
    stored: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM structure_events WHERE id = $1)", event.id)
    return stored


async def read_status(connection: Connection, delegation_id: str) -> str | None:
    """The status of the delegate row, None if there is no such row."""
    status: str | None = await connection.fetchval(
        "SELECT status FROM activity_logs "
        "WHERE delegation_id = $1 AND activity_type = 'delegation' AND method = 'delegate'",
        delegation_id,
    )
    return status


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A result row or an inbox row about a delegation. Only the former names a target, and not every one does."""

    id: str
    delegation: Delegation
    target: str | None
    status: str
    summary: str
    response_body: str
    error: str | None
    at: datetime


async def find(connection: Connection, delegation_id: str) -> tuple[Delegation, str] | None:
    """A delegation and its status, from whichever of the tables still has it."""
    row = await connection.fetchrow(_FIND, delegation_id)
    return None if row is None else (delegation_from(row), row["status"])


async def close_ledger_row(
    connection: Connection, delegation_id: str, status: str, *, error: str | None, at: datetime
) -> None:
    """End a ledger row alone, where there is no delegate row to move, or one that has ended before."""
    await connection.execute(_CLOSE_LEDGER, delegation_id, status, error, at)


async def write_notes(connection: Connection, result: Note, inbox: Note | None) -> None:
    """Add the result row, or complete the one that says `queued` (A9), and the row that the caller's poller sees (A10).

    Both are of the same delegation, and are written by one statement.
    """
    delegation = result.delegation
    of_result = (
        result.id,
        delegation.source,
        result.target,
        result.status,
        result.summary,
        result.response_body,
        result.error,
        delegation.id,
        result.at,
    )
    if inbox is None:
        await connection.execute(_RESULT, *of_result)
        return
    body = dump_json({"delegation_id": delegation.id})
    of_inbox = (inbox.id, inbox.status, inbox.summary, body, inbox.response_body, inbox.error, inbox.at)
    await connection.execute(_RESULT_AND_INBOX, *of_result, *of_inbox)
