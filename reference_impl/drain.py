"""Bringing queued messages to their targets once those have capacity again: one at a time a workspace.

A heartbeat with capacity starts a drain of one item; the sweeper starts the same for everybody, so that no item
needs a heartbeat to get on (H49), drops what has expired, and sees to items whose drain is no more. After an
attempt in vain the sweeper leaves the target alone for a while, so that a restart does not use up all attempts
(H56). What may have reached the agent is not sent again. An item and its delegation end in one transaction (D23,
H22, H57, H66).

| what came of the attempt | item | its delegation |
|---|---|---|
| a reply | completed | completed, or failed if the reply is a JSON-RPC error |
| the target has the message, and answers later | completed | still queued: a party reports |
| the target is busy again (D1) | queued, without an attempt used up | still queued |
| refused or not delivered | queued; at the fifth attempt failed | still queued; then failed |
| an error of the agent, or delivery unknown | failed | failed |
| none: the item has expired, or an admin drops it | dropped | failed |
| none: the delegation has ended otherwise | dropped | untouched |
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from reference_impl.attempt import Delivery, ProxyError
from reference_impl.background import Background
from reference_impl.clock import Clock
from reference_impl.config import Config
from reference_impl.executor import outcome_of
from reference_impl.outcome import RESTARTED, Outcome, Outcomes, Queued, failed, is_terminal
from reference_impl.places import let_others_go_first
from reference_impl.proxy import Proxy
from reference_impl.queue import (
    ATTEMPTS_MAX,
    Closing,
    Item,
    Queue,
    claim,
    close,
    give_back,
    mark_sent,
    read_stale,
    read_unattended,
    read_waiting,
)
from reference_impl.records import delegation_from
from reference_impl.store import LATE_PACKET_S, RETRYABLE, Connection, Record, Store, describe
from reference_impl.terms import terms_of

_EXPIRED = "expired in the queue"
_REST_MAX = 8
"""Sweeps that an unreachable agent is left alone at most."""
_VIA, _VIA_DROP = "queue_drain", "queue_drain_drop"
_FIND_DELEGATION = """
SELECT delegation_id, workspace_id, target_id, status, request_body ->> 'task' AS task,
    request_body ->> 'tool' AS tool, created_at
FROM activity_logs
WHERE delegation_id = $1 AND activity_type = 'delegation' AND method = 'delegate'
    AND workspace_id = $2 AND target_id = $3
"""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Returned:
    """The item waits again. `error` is None if the target was busy again."""

    error: str | None


@dataclass(frozen=True, slots=True)
class _Ended:
    """The item is over, and `outcome` is its delegation's. `cause`: its caller is told in words of its own."""

    status: Literal["completed", "failed", "dropped"]
    outcome: Outcome
    error: str | None = None
    cause: ProxyError | None = None


class Drain:
    """Carries items of the queue to their ends."""

    def __init__(
        self,
        *,
        config: Config,
        store: Store,
        queue: Queue,
        proxy: Proxy,
        outcomes: Outcomes,
        background: Background,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._config = config
        self._store = store
        self._queue = queue
        self._proxy = proxy
        self._outcomes = outcomes
        self._background = background
        self._clock = clock
        self._new_id = new_id
        self._draining: set[str] = set()
        self._rests_until_s: dict[str, float] = {}

    def start(self, workspace: str) -> None:
        """Drain one item of the workspace, apart from the caller, unless one is being drained."""
        if workspace not in self._draining:
            self._draining.add(workspace)
            self._background.detach(self._drain(workspace), name=f"drain {workspace}")

    async def recover(self) -> None:
        """Before the broker listens: see to what the last one left behind."""
        if await self._attend():
            self._queue.stirred.set()

    async def sweep(self) -> None:
        """Look after the queue for as long as something is in it or may come into it; never ends."""
        loop = asyncio.get_running_loop()
        while True:
            await self._queue.stirred.wait()
            self._queue.stirred.clear()
            over_s = loop.time() + LATE_PACKET_S
            while loop.time() < over_s:
                await asyncio.sleep(self._config.queue_sweep_interval_s)
                try:
                    waiting = await self._attend()
                except Exception:
                    _log.exception("the queue cannot be swept; the next sweep tries again")
                    continue
                for workspace in waiting:
                    if self._rests_until_s.get(workspace, 0.0) <= loop.time():
                        self.start(workspace)
                if waiting or self._draining:
                    over_s = loop.time() + LATE_PACKET_S

    async def drop_stale(self, *, before: datetime, workspace: str | None, reason: str) -> int:
        """Drop the items that have waited since `before`, in one workspace or all. Returns how many."""
        stale = await self._store.run(lambda connection: read_stale(connection, before=before, workspace=workspace))
        return sum([await self._end(item, _dropped(reason), via=_VIA_DROP) for item in stale])

    # One item

    async def _drain(self, workspace: str) -> None:
        let_others_go_first()
        try:
            claim_id, at = self._new_id(), self._clock.now()
            item = await self._store.run(lambda connection: claim(connection, workspace, claim_id=claim_id, at=at))
            if item is not None:
                await self._carry(item)
        except RETRYABLE as error:
            # Should the claim be committed all the same, the sweeper finds an item that nobody carries.
            _log.error("the queue of %s cannot be drained: %s", workspace, describe(error))
            self._queue.stirred.set()
        finally:
            self._draining.discard(workspace)

    async def _carry(self, item: Item) -> None:
        try:
            came = await self._attempt(item)
        except ProxyError as error:
            came = _failure(item, error)
        except Exception as error:
            _log.exception("queue item %s: the broker itself failed", item.id)
            came = _given_up(f"internal error: {type(error).__name__}")
        if isinstance(came, _Returned):
            await self._return(item, came)
        else:
            await self._end(item, came, via=_VIA)

    async def _attempt(self, item: Item) -> _Returned | _Ended:
        """Send the item, if its target is still free and its delegation still open. Raises `ProxyError`."""
        deadline_s = asyncio.get_running_loop().time() + self._config.proxy_ceiling_s
        route = await self._proxy.route(
            caller=item.caller or "", target=item.target, body=item.body.encode(), deadline_s=deadline_s
        )
        if route.busy:
            return _Returned(None)

        async def begin(connection: Connection) -> str | None:
            row = await _find_delegation(connection, item)
            if row is not None and is_terminal(row["status"]):
                return f"the delegation is {row['status']} already"
            return None if await mark_sent(connection, item, at=self._clock.now()) else _EXPIRED

        obstacle = await self._store.persist(begin)
        if obstacle is not None:
            return _dropped(obstacle)
        reply = await self._proxy.deliver(route, deadline_s=deadline_s)
        return _Ended("completed", outcome_of(reply))

    async def _return(self, item: Item, came: _Returned) -> None:
        refund = came.error is None
        if not refund:
            rest_s = self._config.queue_sweep_interval_s * min(2**item.attempts, _REST_MAX)
            self._rests_until_s[item.target] = asyncio.get_running_loop().time() + rest_s
        await self._store.persist(lambda connection: give_back(connection, item, error=came.error, refund=refund))
        self._queue.stirred.set()

    async def _end(self, item: Item, came: _Ended, *, via: str) -> bool:
        """Close the item and finish its delegation, if it has one. False if it was somebody else's already."""
        row = await self._store.persist(lambda connection: _find_delegation(connection, item))
        delegation = None if row is None else delegation_from(row)
        if delegation is not None and came.cause is not None:
            came = _given_up(terms_of(delegation.tool).failure(came.cause))
        closing = Closing(item, came.status, came.error, self._clock.now())
        if delegation is None or isinstance(came.outcome, Queued):
            return await self._store.persist(lambda connection: close(connection, closing))
        await self._outcomes.finish(delegation, came.outcome, via=via, closing=closing)
        # Closing it again tells whether it was closed just now.
        return await self._store.persist(lambda connection: close(connection, closing))

    # What nobody carries

    async def _attend(self) -> list[str]:
        """End what has expired and what lost its drain. Returns the workspaces for which something waits."""
        now = self._clock.now()
        for item in await self._store.persist(lambda connection: read_unattended(connection, at=now)):
            if item.claim_id is None:
                await self._end(item, _dropped(_EXPIRED), via=_VIA_DROP)
            elif item.target in self._draining:
                continue
            elif item.sent:
                await self._end(item, _given_up(RESTARTED), via=_VIA)
            else:
                await self._return(item, _Returned(None))
        return await self._store.persist(read_waiting)


async def _find_delegation(connection: Connection, item: Item) -> Record | None:
    """The delegate row that the item's message names, if caller and target are the delegation's."""
    if item.delegation_id is None or item.caller is None:
        return None
    return await connection.fetchrow(_FIND_DELEGATION, item.delegation_id, item.caller, item.target)


def _failure(item: Item, error: ProxyError) -> _Returned | _Ended:
    nobody_has_it = error.delivery in (Delivery.REFUSED, Delivery.NOT_DELIVERED)
    if nobody_has_it and item.attempts < ATTEMPTS_MAX:
        return _Returned(error.error)
    return _given_up(error.error, error)


def _given_up(reason: str, cause: ProxyError | None = None) -> _Ended:
    return _Ended("failed", failed(reason), reason, cause)


def _dropped(reason: str) -> _Ended:
    return _Ended("dropped", failed(reason), reason)
