"""Taking on work: store the delegation once, then have it executed.

The trouble is not knowing. The insert may have been committed although the broker never heard so, and a late
packet may commit it even after the broker gave up. Three rules keep that harmless:

* The whole step runs detached from the request, so a client that hangs up cannot stop it half-way.
* What was accepted is executed, row or no row; the next step writes the missing rows.
* What was refused (503, since only the database could have told whether the key is taken) raises a doubt:
  recovery then looks for a row that came to be nevertheless, and executes that.

What an agent has sent by itself is only recorded: it has an id already, so recording it twice is recording it once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg

from reference_impl.clock import Clock
from reference_impl.config import Config
from reference_impl.events import Event, EventFactory, Watchers
from reference_impl.executor import Executor
from reference_impl.metrics import Metrics
from reference_impl.records import Delegation, Step, advance, find, is_stored
from reference_impl.recovery import Recovery
from reference_impl.store import UNREACHABLE, Connection, Store, describe
from reference_impl.text import preview

_EVENT_TASK_BYTES = 100
_KEY_RACES_MAX = 5
_RECORD_PATIENCE_S = 10.0
_log = logging.getLogger(__name__)

# A failed delegation has given its key back (H16); the ledger still knows keys whose activity was pruned.
_FIND_BY_KEY = """
SELECT delegation_id, target_id, status FROM activity_logs
WHERE workspace_id = $1 AND idempotency_key = $2 AND status <> 'failed'
UNION ALL
SELECT delegation_id, callee_id, status FROM delegations
WHERE caller_id = $1 AND idempotency_key = $2 AND status <> 'failed'
LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The broker executes the delegation, which ends with `execution`. `tracked`: its row is known to be stored."""

    delegation_id: str
    tracked: bool
    execution: asyncio.Task[None]


@dataclass(frozen=True, slots=True)
class AlreadyKnown:
    """The idempotency key belongs to this delegation."""

    delegation_id: str
    target: str
    status: str


@dataclass(frozen=True, slots=True)
class SourceUnknown:
    """There is no such workspace to delegate from."""


@dataclass(frozen=True, slots=True)
class KeyUnchecked:
    """The database could not tell whether the idempotency key is taken: nothing is executed (D33)."""


Refused = AlreadyKnown | SourceUnknown | KeyUnchecked
Answer = Accepted | Refused


@dataclass(frozen=True, slots=True)
class _Taken:
    """Nothing stands in the way of the delegation."""

    tracked: bool


@dataclass(frozen=True, slots=True)
class Recorded:
    """The delegation is stored; the agent that sent it sees to it."""


@dataclass(frozen=True, slots=True)
class IdTaken:
    """The id belongs to another delegation, of this workspace or of another."""


class Acceptance:
    """The way in for `POST /workspaces/:id/delegate`, the MCP tools that delegate, and `.../delegations/record`."""

    def __init__(
        self,
        *,
        config: Config,
        store: Store,
        executor: Executor,
        recovery: Recovery,
        events: EventFactory,
        watchers: Watchers,
        metrics: Metrics,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._config = config
        self._store = store
        self._executor = executor
        self._recovery = recovery
        self._events = events
        self._watchers = watchers
        self._metrics = metrics
        self._clock = clock
        self._new_id = new_id

    async def accept(
        self, *, source: str, target: str, task: str, key: str | None = None, tool: str | None = None
    ) -> Answer:
        """Store the delegation and start it, or say why not. Must not run on a request's own task."""
        delegation = Delegation(
            id=self._new_id(), source=source, target=target, task=task, accepted_at=self._clock.now(), tool=tool
        )
        event = self._sent(delegation)
        step = Step(
            delegation=delegation,
            status="pending",
            origins=(),
            event=event,
            row_id=self._new_id(),
            idempotency_key=key,
        )
        # Claimed before the row exists, so that recovery cannot take it for abandoned.
        self._executor.claim(delegation.id)
        found = await self._store_or_find(step)
        match found:
            case _Taken(tracked):
                self._metrics.delegation_accepted()
                if tracked:
                    self._watchers.broadcast(event)
                return Accepted(delegation.id, tracked, self._executor.start(delegation))
            case KeyUnchecked():
                self._recovery.doubt()
        self._executor.release(delegation.id)
        return found

    async def record(
        self, *, delegation_id: str, source: str, target: str, task: str
    ) -> Recorded | IdTaken | SourceUnknown:
        """Store a delegation that the source's agent has already sent. Must not run on a request's own task.

        Raises something of `UNREACHABLE` if the database did not answer in time: asking again is safe.
        """
        delegation = Delegation(
            id=delegation_id, source=source, target=target, task=task, accepted_at=self._clock.now()
        )
        event = self._sent(delegation)
        step = Step(
            delegation=delegation,
            status="dispatched",
            origins=(),
            event=event,
            row_id=self._new_id(),
            recorded=True,
        )

        async def commit(connection: Connection) -> tuple[Recorded | IdTaken | SourceUnknown, bool]:
            # Looked for first: the ledger remembers delegations whose activity was pruned, and they must not
            # begin anew. Looked for again: another request may have come first.
            found = await find(connection, delegation.id)
            if found is None:
                advanced = await advance(connection, step, ledger_s=self._config.ledger_s)
                if advanced.at is None:
                    return SourceUnknown(), False
                found = await find(connection, delegation.id)
            assert found is not None, "a delegate row that kept another from being inserted is there"
            stored, _ = found
            same = (stored.source, stored.target) == (source, target)
            answer = Recorded() if same else IdTaken()
            return answer, await is_stored(connection, event)

        patience_s = asyncio.get_running_loop().time() + _RECORD_PATIENCE_S
        answer, ours = await self._store.persist(commit, deadline_s=patience_s)
        if ours:
            self._watchers.broadcast(event)
        return answer

    def _sent(self, delegation: Delegation) -> Event:
        return self._events.make(
            "DELEGATION_SENT",
            delegation.source,
            {
                "delegation_id": delegation.id,
                "target_id": delegation.target,
                "task_preview": preview(delegation.task, _EVENT_TASK_BYTES),
            },
            target_id=delegation.target,
        )

    async def _store_or_find(self, step: Step) -> _Taken | Refused:
        delegation, key = step.delegation, step.idempotency_key
        try:
            for _ in range(_KEY_RACES_MAX):
                try:
                    advanced = await self._store.run(lambda connection: self._insert(connection, step))
                except asyncpg.UniqueViolationError:
                    if key and (known := await self._find_by_key(delegation.source, key)):
                        return known
                    continue  # the winner has failed meanwhile and freed the key
                return SourceUnknown() if advanced is None else _Taken(tracked=True)
            _log.error("delegation %s: its key is taken, but by nobody", delegation.id)
        except (*UNREACHABLE, asyncpg.PostgresError) as error:
            _log.error("delegation %s cannot be stored: %s", delegation.id, describe(error))
        return KeyUnchecked() if key else _Taken(tracked=False)

    async def _insert(self, connection: Connection, step: Step) -> bool | None:
        advanced = await advance(connection, step, ledger_s=self._config.ledger_s)
        return None if advanced.at is None else advanced.ours

    async def _find_by_key(self, source: str, key: str) -> AlreadyKnown | None:
        row = await self._store.run(lambda connection: connection.fetchrow(_FIND_BY_KEY, source, key))
        if row is None:
            return None
        return AlreadyKnown(row["delegation_id"], str(row["target_id"]), row["status"])
