"""Activity retention: activity rows are kept for some days, the ledger for good (contract, §3.1.1).

What belongs to an open delegation stays, however old: its rows are its state, and the message that its target has not
read yet is the work itself (H46). Rows go in batches, so that no statement holds many locks for long; and not at
the start, which has better things to do, but soon after it: a broker that is started again and again prunes too.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from reference_impl.background import every
from reference_impl.clock import Clock
from reference_impl.config import Config
from reference_impl.store import Store

_BATCH_ROWS = 500
_FIRST_S = 240.0
_log = logging.getLogger(__name__)

# A row is about a delegation by its id, or as the message that carries it to its target.
_PRUNE = """
DELETE FROM activity_logs
WHERE id IN (
    SELECT old.id FROM activity_logs AS old
    WHERE old.created_at < $1 AND NOT EXISTS (
        SELECT FROM activity_logs AS delegate
        WHERE delegate.delegation_id IN (old.delegation_id, old.message_id)
            AND delegate.activity_type = 'delegation' AND delegate.method = 'delegate'
            AND delegate.status NOT IN ('completed', 'failed')
    )
    ORDER BY old.created_at, old.seq
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
"""


class Retention:
    """Prunes four minutes after the start, then every `activity_cleanup_interval_hours`.

    If those are shorter, the first look comes after them too.
    """

    def __init__(self, *, config: Config, store: Store, clock: Clock, batch_rows: int = _BATCH_ROWS) -> None:
        self._interval_s = config.activity_cleanup_interval_hours * 3600
        self._age = timedelta(days=config.activity_retention_days)
        self._store = store
        self._clock = clock
        self._batch_rows = batch_rows

    async def run(self) -> None:
        """Prune for as long as the broker runs."""
        first_s = min(_FIRST_S, self._interval_s)
        await every(self._interval_s, self.prune, name="activity retention", first_s=first_s)

    async def prune(self) -> int:
        """Delete what is too old; how many rows that were."""
        before = self._clock.now() - self._age
        count, pruned = 0, self._batch_rows
        while pruned == self._batch_rows:
            done = await self._store.run(lambda connection: connection.execute(_PRUNE, before, self._batch_rows))
            pruned = int(done.removeprefix("DELETE "))
            count += pruned
        if count:
            _log.info("pruned %d activity rows of before %s", count, before.isoformat())
        return count
