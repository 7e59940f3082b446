"""One attempt to bring a message to a workspace, in two stages that callers may put something between.

`route` passes the gates in their order (INV-15): access, budget, message, delivery mode, capacity, URL, safety
of the URL. It contacts nobody. `deliver` then leaves the message for a poll target, or sends it to a push target.

A read that was cancelled or timed out closes its gate: 503, or the cancellation itself where nobody is left to
be answered (S1, H2, D31). Between mode and URL a push target without capacity ends the route: its message goes
into the queue, before any contact (INV-70, D24).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import asyncpg

from reference_impl.access import may_communicate
from reference_impl.agent_client import (
    AgentClient,
    AgentReply,
    DeliveryUnknown,
    NotDelivered,
    ReplyTooLarge,
)
from reference_impl.attempt import AT_CAPACITY, Delivery, ProxyError, Reply, judge
from reference_impl.events import EventFactory, Watchers, store_event
from reference_impl.inbound import Envelope, Inbound, Result
from reference_impl.message import Message, normalise
from reference_impl.queue import Queue
from reference_impl.store import RETRYABLE, Store, Work
from reference_impl.targets import TargetResolver, UnsafeTarget
from reference_impl.text import dump_json

T = TypeVar("T")

SYSTEM_CALLERS = ("webhook:", "system:", "test:", "channel:")
_UNREACHABLE = "failed to reach workspace agent"
_QUEUED = "workspace agent busy — request queued, will dispatch when capacity available"
_RETRY_AFTER_S = 30
_MODE = """
SELECT delivery_mode, name, active_tasks >= max_concurrent_tasks AS busy FROM workspaces WHERE id = $1
"""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a message goes: into the queue if the target is busy, else to the agent at `url`, or, if that is None,
    to where the target polls."""

    envelope: Envelope
    url: str | None
    busy: bool = False


class Proxy:
    """Brings messages to workspaces."""

    def __init__(
        self,
        *,
        store: Store,
        agents: AgentClient,
        resolver: TargetResolver,
        inbound: Inbound,
        events: EventFactory,
        watchers: Watchers,
        queue: Queue,
        connect_timeout_s: float,
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._agents = agents
        self._resolver = resolver
        self._inbound = inbound
        self._events = events
        self._watchers = watchers
        self._queue = queue
        self._connect_timeout_s = connect_timeout_s
        self._new_id = new_id

    async def route(self, *, caller: str, target: str, body: bytes, deadline_s: float) -> Route:
        """Pass every gate. `caller` is empty for the canvas. Raises `ProxyError`."""
        system = caller.startswith(SYSTEM_CALLERS)
        if caller and caller != target and not system:
            await self._check_access(caller, target, deadline_s)
        await self._check_budget(target, deadline_s)
        try:
            message = normalise(body, self._new_id)
        except ValueError:
            raise ProxyError(400, "invalid JSON") from None
        mode, name, busy = await self._read_mode(target, message, deadline_s)
        source = None if system else caller or None
        envelope = Envelope(source=source, target=target, target_name=name, message=message, from_canvas=not caller)
        if mode == "poll":
            return Route(envelope, None)
        if busy:
            return Route(envelope, None, busy=True)
        url = await self._read_url(target, deadline_s)
        await self._check_url(url, deadline_s)
        return Route(envelope, url)

    async def deliver(self, route: Route, *, deadline_s: float) -> Reply:
        """Bring the message there. Must not run on a request's own task. Raises `ProxyError`."""
        envelope = route.envelope
        summary = f"{envelope.message.method} → {envelope.target_name}"
        note = "(queued: target busy)" if route.busy else "(queued for poll)" if route.url is None else "(ingest)"
        try:
            await self._inbound.ingest(envelope, summary=f"{summary} {note}", deadline_s=deadline_s)
        except (TimeoutError, asyncpg.PostgresError):
            raise ProxyError(503, "message could not be recorded; refusing to dispatch") from None
        if route.busy:
            return await self._enqueue(envelope, deadline_s)
        if route.url is None:
            receipt = {"status": "queued", "delivery_mode": "poll", "method": envelope.message.method}
            return Reply(200, dump_json(receipt).encode(), queued="Delegation queued — target polls")
        return await self._push(route.url, envelope, summary, deadline_s)

    async def _enqueue(self, envelope: Envelope, deadline_s: float) -> Reply:
        try:
            receipt = await self._queue.enqueue(envelope, deadline_s=deadline_s)
        except (TimeoutError, asyncpg.PostgresError):
            _log.exception("a message for %s, which is busy, cannot be queued", envelope.target)
            error = "workspace agent busy — retry after a short backoff"
            raise ProxyError(503, error, busy=True, retry_after=_RETRY_AFTER_S) from None
        answer = {"queued": True, "queue_id": receipt.id, "queue_depth": receipt.depth, "message": _QUEUED}
        return Reply(202, dump_json(answer).encode(), queued=AT_CAPACITY)

    # Gates

    async def _check_access(self, caller: str, target: str, deadline_s: float) -> None:
        try:
            allowed = await self._read(
                "access", lambda connection: may_communicate(connection, caller, target), deadline_s
            )
        except (*RETRYABLE, asyncpg.PostgresError):
            _log.exception("access of %s to %s cannot be checked: denied", caller, target)
            allowed = False
        if not allowed:
            raise ProxyError(403, "access denied: workspaces cannot communicate per hierarchy rules")

    async def _check_budget(self, target: str, deadline_s: float) -> None:
        query = "SELECT budget_limit IS NOT NULL AND monthly_spend >= budget_limit FROM workspaces WHERE id = $1"
        try:
            spent = await self._read("budget", lambda connection: connection.fetchval(query, target), deadline_s)
        except (*RETRYABLE, asyncpg.PostgresError):
            _log.exception("budget of %s cannot be read: not enforced", target)
            return
        if spent:
            raise ProxyError(402, "workspace budget limit exceeded")

    async def _read_mode(self, target: str, message: Message, deadline_s: float) -> tuple[str, str, bool]:
        """The delivery mode, the target's name, and whether it is busy.

        An unknown target is left for the next gate to report. What cannot be read is not busy: the agent
        itself says so if it is.
        """
        try:
            row = await self._store.run(
                lambda connection: connection.fetchrow(_MODE, target),
                timeout_s=_left(deadline_s),
            )
        except TimeoutError:
            raise _mode_unknown() from None
        except (*RETRYABLE, asyncpg.PostgresError) as error:
            await self._announce_fallback(target, message, type(error).__name__, deadline_s)
            return "push", target, False
        if row is None:
            return "push", target, False
        if row["delivery_mode"] not in ("push", "poll"):
            await self._announce_fallback(target, message, "unknown delivery mode", deadline_s)
            return "push", row["name"], row["busy"]
        return row["delivery_mode"], row["name"], row["busy"]

    async def _announce_fallback(self, target: str, message: Message, reason: str, deadline_s: float) -> None:
        """A push although the mode is not known is never silent: no event, no push."""
        _log.error("delivery mode of %s cannot be read (%s): falling back to push", target, reason)
        payload = {"delegation_id": message.delegation_id, "target_id": target, "reason": reason}
        event = self._events.make("DELIVERY_MODE_FALLBACK", target, payload, target_id=target)
        try:
            await self._store.run(lambda connection: store_event(connection, event), timeout_s=_left(deadline_s))
        except (*RETRYABLE, asyncpg.PostgresError):
            raise _mode_unknown() from None
        self._watchers.broadcast(event)

    async def _read_url(self, target: str, deadline_s: float) -> str:
        query = "SELECT url, status FROM workspaces WHERE id = $1"
        try:
            row = await self._read("URL", lambda connection: connection.fetchrow(query, target), deadline_s)
        except (*RETRYABLE, asyncpg.PostgresError):
            raise ProxyError(500, "lookup failed") from None
        if row is None:
            raise ProxyError(404, "workspace not found")
        if not row["url"]:
            raise ProxyError(503, "workspace has no URL", status=row["status"])
        return str(row["url"])

    async def _check_url(self, url: str, deadline_s: float) -> None:
        try:
            async with asyncio.timeout(min(self._connect_timeout_s, _left(deadline_s))):
                await self._resolver.check(url)
        except UnsafeTarget as error:
            raise _unsafe(error) from None
        except OSError:
            raise ProxyError(502, _UNREACHABLE, delivery=Delivery.NOT_DELIVERED) from None

    async def _read(self, gate: str, work: Work[T], deadline_s: float) -> T:
        try:
            return await self._store.run(work, timeout_s=_left(deadline_s))
        except TimeoutError:
            raise ProxyError(503, f"{gate} lookup failed; refusing to dispatch") from None

    # Push

    async def _push(self, url: str, envelope: Envelope, summary: str, deadline_s: float) -> Reply:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        answer: AgentReply | None = None
        failure: ProxyError | None = None
        try:
            answer = await self._agents.send(
                url, envelope.message.body.encode(), workspace=envelope.target, deadline_s=deadline_s
            )
            reply = judge(answer)
        except UnsafeTarget as error:
            failure = _unsafe(error)
        except NotDelivered as error:
            _log.info("%s: %s", envelope.target, error)
            failure = ProxyError(502, _UNREACHABLE, delivery=Delivery.NOT_DELIVERED)
        except DeliveryUnknown as error:
            failure = ProxyError(502, f"delivery_unknown: {error}", delivery=Delivery.UNKNOWN)
        except ReplyTooLarge:
            failure = ProxyError(502, "reply too large", delivery=Delivery.ANSWERED)
        except ProxyError as error:
            failure = error
        if failure is not None and answer is None:
            summary = f"A2A request to {envelope.target_name} failed: {failure.error}"
        await self._inbound.complete(
            envelope,
            Result(
                body=answer.body if answer else None,
                error=failure.error if failure else None,
                summary=summary,
                duration_ms=round((loop.time() - started_s) * 1000),
            ),
        )
        if failure is not None:
            raise failure
        return reply


def _mode_unknown() -> ProxyError:
    return ProxyError(503, "delivery-mode lookup failed; refusing to dispatch to avoid silent misrouting")


def _unsafe(error: UnsafeTarget) -> ProxyError:
    _log.warning("refusing a workspace URL: %s", error)
    return ProxyError(502, "workspace URL is not publicly routable")


def _left(deadline_s: float) -> float:
    return deadline_s - asyncio.get_running_loop().time()
