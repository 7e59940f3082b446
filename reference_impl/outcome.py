"""How a delegation ends: the one transaction in which executor, drain, recovery, sweeper and `/update` all end.

Delegate row, ledger, event, result row and inbox row become visible together or not at all, and exactly one
writer succeeds (INV-30, INV-31, INV-34). The commit is tried for as long as the process lives; a commit whose
acknowledgement was lost is recognised on the next try. Watchers hear of it afterwards. A queue item begins and
ends in the same transaction, so it never waits without its result row, nor the row without it (D2, D23).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import asyncpg

from reference_impl.config import Config
from reference_impl.events import EventFactory, Watchers
from reference_impl.metrics import Metrics
from reference_impl.queue import Closing, NewItem, close, insert
from reference_impl.records import (
    OPEN,
    TERMINAL,
    Delegation,
    Note,
    Step,
    advance,
    read_status,
    write_notes,
)
from reference_impl.store import Connection, Store, transaction
from reference_impl.text import clean, dump_json, preview

RESTARTED = "delivery_unknown: broker restarted while the request was in flight"
"""Why that failed which an earlier life of the broker may have sent."""

_EVENT_TEXT_BYTES = 200
_SUMMARY_TEXT_BYTES = 80
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Completed:
    """The agent answered with `text`; `truncated` if the connection was lost before the answer's end."""

    text: str
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """The delegation ended without an answer, because of `detail`."""

    detail: str


@dataclass(frozen=True, slots=True)
class Queued:
    """The message waits: with its target, which will report later, or as `item` in the queue. Not terminal."""

    summary: str
    item: NewItem | None = None


Outcome = Completed | Failed | Queued


@dataclass(frozen=True, slots=True)
class _Effect:
    """What an outcome writes. `inbox` is None if the caller is not told yet."""

    status: str
    origins: tuple[str, ...]
    event_type: str
    event_payload: dict[str, Any]
    result_summary: str
    result_body: dict[str, Any]
    inbox: tuple[str, str] | None  # status, summary
    text: str = ""
    error: str | None = None
    item: NewItem | None = None


def _effect(outcome: Outcome) -> _Effect:
    match outcome:
        case Completed(text, truncated):
            return _Effect(
                status="completed",
                origins=OPEN,
                event_type="DELEGATION_COMPLETE",
                event_payload={"response_preview": preview(text, _EVENT_TEXT_BYTES)},
                result_summary=f"Delegation completed ({preview(text, _SUMMARY_TEXT_BYTES)})",
                result_body={"text": text} | ({"truncated": True} if truncated else {}),
                inbox=("ok", "Delegation result delivered"),
                text=text,
            )
        case Failed(detail):
            return _Effect(
                status="failed",
                origins=OPEN,
                event_type="DELEGATION_FAILED",
                event_payload={"error": detail},
                result_summary="Delegation failed",
                result_body={},
                inbox=("error", "Delegation failed"),
                error=detail,
            )
        case Queued(summary, item):
            return _Effect(
                status="queued",
                origins=("pending", "dispatched"),
                event_type="DELEGATION_STATUS",
                event_payload={"status": "queued"},
                result_summary=summary,
                result_body={"queued": True},
                inbox=None,
                item=item,
            )


class Outcomes:
    """Writes outcomes and announces them."""

    def __init__(
        self,
        *,
        config: Config,
        store: Store,
        events: EventFactory,
        watchers: Watchers,
        metrics: Metrics,
        new_id: Callable[[], str],
    ) -> None:
        self._config = config
        self._store = store
        self._events = events
        self._watchers = watchers
        self._metrics = metrics
        self._new_id = new_id

    async def finish(
        self,
        delegation: Delegation,
        outcome: Outcome,
        *,
        reported: bool = False,
        via: str | None = None,
        closing: Closing | None = None,
    ) -> str | None:
        """Write the outcome, unless somebody has already finished the delegation.

        Returns the status that the delegation now has, None if its workspace is gone. Waits for the database
        for as long as it takes. `reported`: by a party through `/update`, whose event and result row name no
        target. `via`: what the event says about the way. `closing`: the queue item that ends with this, in the
        same transaction; if that is somebody else's by now, so is the outcome.
        """
        effect = _effect(outcome)
        target = None if reported else delegation.target
        named = {} if target is None else {"target_id": target}
        way = {"via": via} if via else {}
        event = self._events.make(
            effect.event_type,
            delegation.source,
            {"delegation_id": delegation.id, **named, **effect.event_payload, **way},
            target_id=delegation.target,
        )
        step = Step(
            delegation=delegation,
            status=effect.status,
            origins=effect.origins,
            event=event,
            row_id=self._new_id(),
            error=effect.error,
            result=effect.text,
        )
        # Drawn once: a second try writes the same rows, not new ones.
        note_ids = (self._new_id(), self._new_id())
        try:
            status, ours = await self._store.persist(
                lambda connection: self._commit(connection, step, effect, note_ids, target, closing)
            )
        except asyncpg.PostgresError:
            # The database is there and refuses: trying again would only be refused again.
            _log.exception("delegation %s: the outcome %s cannot be stored", delegation.id, effect.status)
            return None
        if ours:
            self._metrics.delegation_ended(effect.status)
            self._watchers.broadcast(event)
        return status

    async def _commit(
        self,
        connection: Connection,
        step: Step,
        effect: _Effect,
        note_ids: tuple[str, str],
        target: str | None,
        closing: Closing | None,
    ) -> tuple[str | None, bool]:
        """The transaction. Returns the status now stored, and whether this step is what stored it."""
        async with transaction(connection):
            if closing is not None and not await close(connection, closing):
                return await read_status(connection, step.delegation.id), False
            advanced = await advance(connection, step, ledger_s=self._config.ledger_s)
            if advanced.at is None:
                _log.error("delegation %s: workspace %s is gone", step.delegation.id, step.delegation.source)
                return None, False
            if not advanced.moved:
                return await read_status(connection, step.delegation.id), advanced.ours
            if effect.item is not None:
                await insert(connection, effect.item)
            body = {**effect.result_body, "delegation_id": step.delegation.id}
            result = Note(
                id=note_ids[0],
                delegation=step.delegation,
                target=target,
                status=effect.status,
                summary=effect.result_summary,
                response_body=dump_json(body),
                error=effect.error,
                at=advanced.at,
            )
            # In the same transaction: a result that is stored is a result that is told.
            inbox = None
            if effect.inbox is not None and self._config.result_inbox_push:
                status, summary = effect.inbox
                body = {"text": effect.text, "delegation_id": step.delegation.id}
                inbox = Note(
                    id=note_ids[1],
                    delegation=step.delegation,
                    target=None,
                    status=status,
                    summary=summary,
                    response_body=dump_json(body),
                    error=effect.error,
                    at=advanced.at,
                )
            await write_notes(connection, result, inbox)
            return effect.status, True


def failed(detail: str) -> Failed:
    """A failure always says why (INV-37)."""
    return Failed(clean(detail) or "unknown error")


def is_terminal(status: str | None) -> bool:
    return status in TERMINAL
