"""The rows of the queue, and the statements that write them. Nobody else does.

An item is `queued` until a drain claims it, `dispatched` while that drain has it, and then `completed`, `failed`,
`dropped`, or `queued` again. Every claim has an id of its own, and what its holder writes later names it: a
statement that arrives too late finds another claim and changes nothing. `dispatched_at` is committed before the
first byte goes to the agent, so a claimed item without it was never sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from reference_impl.clock import Clock
from reference_impl.inbound import Envelope
from reference_impl.store import Connection, Record, Store, transaction

ATTEMPTS_MAX = 5

IS_ACTIVE = "status IN ('queued', 'dispatched')"

# An item that has expired no longer stands for its message (H62).
_DROP_EXPIRED_TWIN = """
UPDATE a2a_queue SET status = 'dropped', last_error = 'expired in the queue', completed_at = $3
WHERE workspace_id = $1 AND idempotency_key = $2 AND status = 'queued' AND expires_at <= $3
"""

_INSERT = """
INSERT INTO a2a_queue (id, workspace_id, caller_id, body, method, idempotency_key, enqueued_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING
"""

_FIND = f"""
SELECT id, (SELECT count(*) FROM a2a_queue WHERE workspace_id = $2 AND status = 'queued') AS depth
FROM a2a_queue
WHERE id = $1 OR (workspace_id = $2 AND idempotency_key = $3 AND {IS_ACTIVE})
LIMIT 1
"""

_COLUMNS = """
item.id, item.workspace_id, item.caller_id, item.body, item.attempts, item.claim_id, item.dispatched_at,
item.body #>> '{params,message,metadata,delegation_id}' AS delegation_id
"""

# D30: a workspace that is paused or gone has no capacity either.
_CLAIM = f"""
WITH next AS (
    SELECT item.id FROM a2a_queue AS item JOIN workspaces AS target ON target.id = item.workspace_id
    WHERE item.workspace_id = $1 AND item.status = 'queued' AND (item.expires_at IS NULL OR item.expires_at > $2)
        AND target.status IN ('online', 'degraded') AND target.active_tasks < target.max_concurrent_tasks
    ORDER BY item.priority DESC, item.enqueued_at, item.id
    LIMIT 1
    FOR UPDATE OF item SKIP LOCKED
)
UPDATE a2a_queue AS item SET status = 'dispatched', claim_id = $3, attempts = item.attempts + 1
FROM next WHERE item.id = next.id
RETURNING {_COLUMNS}
"""

_MARK_SENT = """
UPDATE a2a_queue SET dispatched_at = $3
WHERE id = $1 AND claim_id = $2 AND status = 'dispatched' AND (expires_at IS NULL OR expires_at > $3)
"""

_GIVE_BACK = """
UPDATE a2a_queue
SET status = 'queued', claim_id = NULL, dispatched_at = NULL, attempts = attempts - $3::integer,
    last_error = COALESCE($4, last_error)
WHERE id = $1 AND claim_id = $2 AND status = 'dispatched'
"""

# True for a second try of the same closing as well.
_CLOSE = f"""
UPDATE a2a_queue SET status = $3, last_error = COALESCE($4, last_error), completed_at = $5
WHERE id = $1 AND claim_id IS NOT DISTINCT FROM $2
    AND ({IS_ACTIVE} OR (status = $3 AND completed_at = $5))
RETURNING true
"""

_UNATTENDED = f"""
SELECT {_COLUMNS} FROM a2a_queue AS item
WHERE item.status = 'dispatched' OR (item.status = 'queued' AND item.expires_at <= $1)
ORDER BY item.enqueued_at, item.id
"""

_WAITING = """
SELECT workspace_id FROM a2a_queue WHERE status = 'queued' GROUP BY workspace_id ORDER BY min(enqueued_at), workspace_id
"""

_STALE = f"""
SELECT {_COLUMNS} FROM a2a_queue AS item
WHERE item.status = 'queued' AND item.enqueued_at < $1 AND ($2::uuid IS NULL OR item.workspace_id = $2)
ORDER BY item.enqueued_at, item.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    """A message that is to wait for `target`; `key` identifies it among those."""

    id: str
    target: str
    caller: str | None
    body: str
    method: str
    key: str
    at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The item that stands for the message, maybe an older one, and how many wait for its target."""

    id: str
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An item as it was read. `claim_id` is None while nobody has it; `sent`: its agent may have got it."""

    id: str
    target: str
    caller: str | None
    body: str
    attempts: int
    claim_id: str | None
    sent: bool
    delegation_id: str | None


@dataclass(frozen=True, slots=True)
class Closing:
    """How an item ends, for whoever read it as `item`."""

    item: Item
    status: Literal["completed", "failed", "dropped"]
    error: str | None
    at: datetime


class Queue:
    """The way in. `stirred` is set whenever there may be something for the drain to look at."""

    def __init__(self, *, store: Store, clock: Clock, new_id: Callable[[], str]) -> None:
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self.stirred = asyncio.Event()

    def item_for(self, envelope: Envelope) -> NewItem:
        """The item that would hold the message from now on."""
        message, now = envelope.message, self._clock.now()
        lives_s = message.expires_in_s
        return NewItem(
            id=self._new_id(),
            target=envelope.target,
            caller=envelope.source,
            body=message.body,
            method=message.method,
            key=message.key,
            at=now,
            expires_at=None if lives_s is None else now + timedelta(seconds=lives_s),
        )

    async def enqueue(self, envelope: Envelope, *, deadline_s: float) -> Receipt:
        """Commit an item, unless one for the same message is there. Raises `TimeoutError` at the deadline."""
        item = self.item_for(envelope)

        async def commit(connection: Connection) -> Receipt:
            async with transaction(connection):
                return await insert(connection, item)

        try:
            return await self._store.persist(commit, deadline_s=deadline_s)
        finally:
            # Even if it failed: a late packet may bring the item about after all.
            self.stirred.set()


async def insert(connection: Connection, item: NewItem) -> Receipt:
    """Add the item, within a transaction; there is one active item a message at most (INV-72)."""
    await connection.execute(_DROP_EXPIRED_TWIN, item.target, item.key, item.at)
    while True:
        await connection.execute(
            _INSERT, item.id, item.target, item.caller, item.body, item.method, item.key, item.at, item.expires_at
        )
        row = await connection.fetchrow(_FIND, item.id, item.target, item.key)
        # None: the item that was in the way has ended in between.
        if row is not None:
            return Receipt(str(row["id"]), row["depth"])


async def claim(connection: Connection, workspace: str, *, claim_id: str, at: datetime) -> Item | None:
    """Take the next item of a workspace with capacity: the highest priority, then the oldest (INV-73, INV-74)."""
    row = await connection.fetchrow(_CLAIM, workspace, at, claim_id)
    return None if row is None else _item(row)


async def mark_sent(connection: Connection, item: Item, *, at: datetime) -> bool:
    """Note that the agent may get the item from now on. False if it has expired meanwhile."""
    return not (await connection.execute(_MARK_SENT, item.id, item.claim_id, at)).endswith(" 0")


async def give_back(connection: Connection, item: Item, *, error: str | None, refund: bool) -> None:
    """Let the item wait again. `refund`: the attempt was none, as nobody was contacted."""
    await connection.execute(_GIVE_BACK, item.id, item.claim_id, int(refund), error)


async def close(connection: Connection, closing: Closing) -> bool:
    """End the item. False if it is somebody else's by now."""
    item = closing.item
    row = await connection.fetchrow(_CLOSE, item.id, item.claim_id, closing.status, closing.error, closing.at)
    return row is not None


async def read_unattended(connection: Connection, *, at: datetime) -> list[Item]:
    """The items that are claimed, by somebody or nobody, and those that have expired."""
    return [_item(row) for row in await connection.fetch(_UNATTENDED, at)]


async def read_waiting(connection: Connection) -> list[str]:
    """The workspaces that have items waiting, the longest wait first."""
    return [str(row["workspace_id"]) for row in await connection.fetch(_WAITING)]


async def read_stale(connection: Connection, *, before: datetime, workspace: str | None) -> list[Item]:
    """The items of one workspace, or of all, that have waited since `before`."""
    return [_item(row) for row in await connection.fetch(_STALE, before, workspace)]


def _item(row: Record) -> Item:
    return Item(
        id=str(row["id"]),
        target=str(row["workspace_id"]),
        caller=row["caller_id"] and str(row["caller_id"]),
        body=row["body"],
        attempts=row["attempts"],
        claim_id=row["claim_id"] and str(row["claim_id"]),
        sent=row["dispatched_at"] is not None,
        delegation_id=row["delegation_id"],
    )
