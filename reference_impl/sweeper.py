"""The delegation sweeper: the ledger's deadline ends what nobody else ends; who falls silent is called stuck.

* **Deadline**: six hours after it was accepted an open delegation fails, through the same transaction as any other
  outcome, so its caller is told, and exactly one writer wins (INV-95, H66, H68). What this process executes is left to
  its budget, which is shorter.
* **Stuck**: a target that gave signs of life and then none for a while. Only the ledger says so, nobody is told, and
  it ends nothing: a late reply or report still completes the delegation (INV-96 to INV-98, H64). After a start the
  targets are given one threshold to be heard again: their silence may have been the broker's (H73).

Terminal rows are never touched, and rows that are stuck already are left alone, so a second sweep changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta

from reference_impl.background import every
from reference_impl.clock import Clock
from reference_impl.config import Config
from reference_impl.executor import Executor
from reference_impl.outcome import Outcomes, failed
from reference_impl.records import close_ledger_row, delegation_from
from reference_impl.store import Connection, Record, Store

_OVERDUE = "deadline exceeded by sweeper"
_log = logging.getLogger(__name__)

IS_OVERDUE = "ledger.status IN ('queued', 'dispatched', 'in_progress', 'stuck') AND ledger.deadline <= $1"
"""Of a row `ledger` of `delegations`; `$1` is now."""

# `ended`: why the ledger row has to be closed alone. Its delegate row has gone with its workspace, or has ended while
# the ledger was switched off.
_FIND_OVERDUE = f"""
SELECT ledger.delegation_id, ledger.caller_id AS workspace_id, ledger.callee_id AS target_id, ledger.created_at,
    COALESCE(row.request_body ->> 'task', ledger.task_preview) AS task,
    CASE
        WHEN caller.id IS NULL THEN 'failed'
        WHEN row.status IN ('completed', 'failed') THEN row.status
    END AS ended
FROM delegations AS ledger
LEFT JOIN workspaces AS caller ON caller.id = ledger.caller_id
LEFT JOIN activity_logs AS row
    ON row.delegation_id = ledger.delegation_id AND row.activity_type = 'delegation' AND row.method = 'delegate'
WHERE {IS_OVERDUE}
ORDER BY ledger.deadline, ledger.delegation_id
"""

# A comparison with an unknown heartbeat is never true: who was never heard cannot fall silent.
_MARK_STUCK = """
WITH marked AS (
    UPDATE delegations AS ledger
    SET status = 'stuck', updated_at = $1, error_detail = 'no heartbeat for '
        || floor(extract(epoch FROM $1 - COALESCE(ledger.last_heartbeat, callee.last_heartbeat_at))) || 's'
    FROM workspaces AS callee
    WHERE callee.id = ledger.callee_id AND ledger.status IN ('queued', 'dispatched', 'in_progress')
        AND ledger.deadline > $1
        AND $1 - COALESCE(ledger.last_heartbeat, callee.last_heartbeat_at) > $2::interval
    RETURNING ledger.delegation_id
)
SELECT delegation_id FROM marked ORDER BY delegation_id
"""


class Sweeper:
    """Looks through the ledger every `sweeper_interval_s`; the broker asks for what is overdue before it listens."""

    def __init__(self, *, config: Config, store: Store, executor: Executor, outcomes: Outcomes, clock: Clock) -> None:
        self._interval_s = config.sweeper_interval_s
        self._stuck_after_s = config.stuck_threshold_s
        self._store = store
        self._executor = executor
        self._outcomes = outcomes
        self._clock = clock

    async def run(self) -> None:
        """Sweep for as long as the broker runs, beginning one interval from now."""
        loop = asyncio.get_running_loop()
        heard_from_s = loop.time() + self._stuck_after_s

        async def sweep() -> None:
            await self.fail_overdue()
            if loop.time() >= heard_from_s:
                await self.mark_stuck()

        await every(self._interval_s, sweep, name="the delegation sweeper")

    async def fail_overdue(self) -> None:
        """End what is open past its deadline and is not being executed here."""
        now = self._clock.now()
        for row in await self._store.persist(lambda connection: connection.fetch(_FIND_OVERDUE, now)):
            delegation_id = row["delegation_id"]
            if self._executor.has(delegation_id):
                continue
            _log.warning("delegation %s is past its deadline", delegation_id)
            if row["ended"] is None:
                await self._outcomes.finish(delegation_from(row), failed(_OVERDUE))
            else:
                await self._close(row, now)

    async def mark_stuck(self) -> None:
        """Call stuck in the ledger what is open and whose target has fallen silent."""
        now, silence = self._clock.now(), timedelta(seconds=self._stuck_after_s)
        for row in await self._store.run(lambda connection: connection.fetch(_MARK_STUCK, now, silence)):
            _log.warning("delegation %s is stuck: its target has fallen silent", row["delegation_id"])

    async def _close(self, row: Record, now: datetime) -> None:
        ended = row["ended"]
        error = _OVERDUE if ended == "failed" else None

        async def close(connection: Connection) -> None:
            await close_ledger_row(connection, row["delegation_id"], ended, error=error, at=now)

        await self._store.persist(close)
