"""What every world observes, as it stands in a history: what agents saw, what the broker broadcast, what it read."""

from __future__ import annotations

from collections.abc import Callable

from fakes.agent import AgentSaw
from fakes.watcher import Event
from sim.history import Broadcast, Contact, History, ModeRead
from sim.worlds.mode_reads import ModeReadObserver


def contact(at_s: float, saw: AgentSaw) -> Contact:
    """One stage of one contact with an agent."""
    return Contact(
        at_s,
        saw.agent,
        saw.contact,
        saw.stage,
        saw.message_id,
        saw.delegation_id,
        saw.status,
        saw.body_bytes,
        saw.restarting,
        saw.rpc_error,
        saw.text,
    )


def broadcast(at_s: float, event: Event) -> Broadcast:
    """An event that the broker sent to its watchers."""
    return Broadcast(at_s, str(event.get("event")), str(event.get("workspace_id")), event.get("payload"))


def mode_reads(history: History, now_s: Callable[[], float]) -> ModeReadObserver:
    """What adds to the history which delivery modes are read on one connection to the database."""
    return ModeReadObserver(lambda workspace, mode: history.add(ModeRead(now_s(), workspace, mode)))
