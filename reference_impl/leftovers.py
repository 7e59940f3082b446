"""What the last broker left behind, in one look: nearly every start finds nothing, and asks no further."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from reference_impl.queue import IS_ACTIVE
from reference_impl.recovery import IS_OPEN
from reference_impl.store import Connection
from reference_impl.sweeper import IS_OVERDUE

_LOOK = f"""
SELECT
    EXISTS (SELECT FROM activity_logs WHERE {IS_OPEN}),
    EXISTS (SELECT FROM a2a_queue WHERE {IS_ACTIVE}),
    EXISTS (SELECT FROM delegations AS ledger WHERE {IS_OVERDUE})
"""


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Whether there are delegations to recover, queue items to see to, and delegations past their deadline."""

    open: bool
    queued: bool
    overdue: bool


async def read_leftovers(connection: Connection, *, at: datetime) -> Leftovers:
    """Look once, at the instant `at`."""
    row = await connection.fetchrow(_LOOK, at)
    assert row is not None  # a query without FROM has one
    return Leftovers(*row)
