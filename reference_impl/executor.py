"""The life of one execution: route, claim, deliver, perhaps once more, and write down how it ended.

An execution is detached from the request that caused it (S1, H1) and has a budget of its own. Its first
contact with the agent is preceded by the commit of `dispatched`; hence a delegation that is still `pending`
was never sent, and one that is `dispatched` without an outcome may have been (that is all recovery needs).

There is at most one retry, and only of what is known not to have been delivered (INV-20 to INV-24).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from reference_impl.attempt import AT_CAPACITY, Delivery, ProxyError, Reply
from reference_impl.background import Background
from reference_impl.config import Config
from reference_impl.events import EventFactory, Watchers
from reference_impl.outcome import Completed, Outcome, Outcomes, Queued, failed
from reference_impl.places import let_others_go_first
from reference_impl.proxy import Proxy
from reference_impl.queue import Queue
from reference_impl.records import Advanced, Delegation, Step, advance, read_status
from reference_impl.reply import read_reply
from reference_impl.store import Connection, Store
from reference_impl.terms import terms_of
from reference_impl.text import dump_json

_BUDGET_EXHAUSTED = "execution budget exhausted"
_log = logging.getLogger(__name__)


class Executor:
    """Executes delegations, each in a detached task of its own."""

    def __init__(
        self,
        *,
        config: Config,
        store: Store,
        proxy: Proxy,
        outcomes: Outcomes,
        events: EventFactory,
        watchers: Watchers,
        background: Background,
        queue: Queue,
        new_id: Callable[[], str],
    ) -> None:
        self._config = config
        self._store = store
        self._proxy = proxy
        self._outcomes = outcomes
        self._events = events
        self._watchers = watchers
        self._background = background
        self._queue = queue
        self._new_id = new_id
        self._claimed: set[str] = set()

    def claim(self, delegation_id: str) -> None:
        """Note that this process takes care of the delegation."""
        self._claimed.add(delegation_id)

    def release(self, delegation_id: str) -> None:
        self._claimed.discard(delegation_id)

    def has(self, delegation_id: str) -> bool:
        return delegation_id in self._claimed

    @property
    def running(self) -> int:
        """How many delegations this process takes care of."""
        return len(self._claimed)

    def start(self, delegation: Delegation) -> asyncio.Task[None]:
        """Begin the execution, detached from the caller: whatever ends the caller does not end it."""
        self.claim(delegation.id)
        return self._background.detach(self.execute(delegation), name=f"execute {delegation.id}")

    async def execute(self, delegation: Delegation) -> None:
        """Carry the delegation to its outcome and write that down, under a budget of the write's own."""
        let_others_go_first()
        deadline_s = asyncio.get_running_loop().time() + terms_of(delegation.tool).budget_s(self._config)
        try:
            try:
                outcome = await self._carry(delegation, deadline_s)
            except Exception as error:
                _log.exception("delegation %s: the broker itself failed", delegation.id)
                outcome = failed(f"internal error: {type(error).__name__}")
            if outcome is not None:
                await self._outcomes.finish(delegation, outcome)
                if isinstance(outcome, Queued):
                    self._queue.stirred.set()
        finally:
            self.release(delegation.id)

    async def _carry(self, delegation: Delegation, deadline_s: float) -> Outcome | None:
        """The outcome, None if somebody else has finished the delegation."""
        loop = asyncio.get_running_loop()
        try:
            body = message_for(delegation)
        except (TypeError, ValueError) as error:
            return failed(f"marshal_error: {error}")
        try:
            return await self._attempt(delegation, body, deadline_s)
        except ProxyError as error:
            last = error
        # Nobody is kept waiting for a retry that could not begin in time.
        if last.delivery is Delivery.NOT_DELIVERED and loop.time() + self._config.retry_delay_s < deadline_s:
            await asyncio.sleep(self._config.retry_delay_s)
            try:
                return await self._attempt(delegation, body, deadline_s)
            except ProxyError as error:
                last = error
        return failed(_BUDGET_EXHAUSTED if loop.time() >= deadline_s else terms_of(delegation.tool).failure(last))

    async def _attempt(self, delegation: Delegation, body: bytes, deadline_s: float) -> Outcome | None:
        """One proxy call. Raises `ProxyError`."""
        route = await self._proxy.route(
            caller=delegation.source,
            target=delegation.target,
            body=body,
            deadline_s=deadline_s,
        )
        if route.busy:
            return Queued(AT_CAPACITY, self._queue.item_for(route.envelope))
        if route.url is not None:
            try:
                mine = await self._mark_dispatched(delegation, deadline_s)
            except TimeoutError:
                return failed(_BUDGET_EXHAUSTED)
            if not mine:
                return None
        return outcome_of(await self._proxy.deliver(route, deadline_s=deadline_s))

    async def _mark_dispatched(self, delegation: Delegation, deadline_s: float) -> bool:
        """Commit `dispatched`. False if the delegation has been finished by somebody else.

        Raises `TimeoutError` at the deadline.
        """
        event = self._events.make(
            "DELEGATION_STATUS",
            delegation.source,
            {"delegation_id": delegation.id, "target_id": delegation.target, "status": "dispatched"},
            target_id=delegation.target,
        )
        step = Step(
            delegation=delegation,
            status="dispatched",
            origins=("pending",),
            event=event,
            row_id=self._new_id(),
        )

        async def commit(connection: Connection) -> tuple[Advanced, str | None]:
            advanced = await advance(connection, step, ledger_s=self._config.ledger_s)
            status = "dispatched" if advanced.ours else await read_status(connection, delegation.id)
            return advanced, status

        advanced, status = await self._store.persist(commit, deadline_s=deadline_s)
        if advanced.ours:
            self._watchers.broadcast(event)
        # Dispatched by an earlier attempt of this execution: no two executions of one delegation run at once.
        return status == "dispatched"


def message_for(delegation: Delegation) -> bytes:
    """The A2A message that carries the task. Its id is the delegation's, so every attempt has the same."""
    message = {
        "kind": "message",
        "role": "user",
        "messageId": delegation.id,
        "parts": [{"kind": "text", "text": delegation.task}],
        "metadata": {"delegation_id": delegation.id},
    }
    return dump_json({"method": "message/send", "params": {"message": message}}).encode()


def outcome_of(reply: Reply) -> Outcome:
    """What a reply means for the delegation that its message carried."""
    if reply.queued is not None:
        return Queued(reply.queued)
    reading = read_reply(reply.body, truncated=reply.truncated)
    if reading.error is not None:
        return failed(reading.error)
    return Completed(reading.text, truncated=reply.truncated)
