"""Finding delegations that nobody executes, and seeing to them (INV-03).

Before the broker listens, everything that its predecessor left open is such a delegation: `pending` was never
sent, so it is executed; `dispatched` may have been, so it fails as unknown. (What agents carry out by themselves and
only recorded here is nobody's to recover: they report it, or its deadline ends it.) Later there is one way to them: a
request was refused (503), and a late packet brings its row about after all. Whoever refuses raises a doubt; a
patrol then looks at once, and now and again for as long as the packet may still arrive.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from reference_impl.executor import Executor
from reference_impl.outcome import RESTARTED, Outcomes, failed
from reference_impl.records import delegation_from
from reference_impl.store import LATE_PACKET_S, Store

IS_OPEN = """
activity_type = 'delegation' AND method = 'delegate' AND status IN ('pending', 'dispatched')
    AND NOT recorded AND delegation_id IS NOT NULL
"""
"""Of a row of `activity_logs`: its delegation is to be executed here."""

_OPEN = f"""
SELECT delegation_id, workspace_id, target_id, status, request_body ->> 'task' AS task,
    request_body ->> 'tool' AS tool, created_at
FROM activity_logs WHERE {IS_OPEN} ORDER BY created_at, seq
"""
_log = logging.getLogger(__name__)


class Recovery:
    """Brings abandoned delegations to an end."""

    def __init__(self, *, store: Store, executor: Executor, outcomes: Outcomes, patrol_interval_s: float) -> None:
        self._store = store
        self._executor = executor
        self._outcomes = outcomes
        self._patrol_interval_s = patrol_interval_s
        self._doubt = asyncio.Event()

    async def recover(self) -> None:
        """See to every open delegation that this process does not execute."""
        rows = await self._store.persist(lambda connection: connection.fetch(_OPEN))
        for row in rows:
            delegation = delegation_from(row)
            # Asked anew for each: it may have been finished while the rows before it were seen to. Should one
            # have ended since the query, its status no longer allows what is begun here.
            if self._executor.has(delegation.id):
                continue
            _log.warning("delegation %s was left %s: recovering it", delegation.id, row["status"])
            if row["status"] == "pending":
                self._executor.start(delegation)
            else:
                await self._outcomes.finish(delegation, failed(RESTARTED))

    def doubt(self) -> None:
        """Ask for a patrol: a delegation may have been stored that nobody executes."""
        self._doubt.set()

    async def patrol(self) -> None:
        """Recover while there is doubt, for as long as the broker runs."""
        loop = asyncio.get_running_loop()
        while True:
            await self._doubt.wait()
            self._doubt.clear()
            over_s = loop.time() + LATE_PACKET_S
            while loop.time() < over_s and not self._doubt.is_set():
                await self._look()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._patrol_interval_s):
                        await self._doubt.wait()

    async def _look(self) -> None:
        try:
            await self.recover()
        except Exception:
            _log.exception("recovery failed; it is tried again in %.0f s", self._patrol_interval_s)
