"""The live world under load: what the agents see goes to a file, and nothing of ours is in the broker's way.

Delivery-mode reads are not observed: to see them, every byte between broker and database would have to pass through
this process, which would then be what is measured. So INV-10 is not judged under load.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fakes.agent import AgentSaw
from fakes.toxiproxy.proxy import Observer
from sim.history import History
from sim.scenario.load import Load, callers_of
from sim.worlds.components.processes import ComponentFailed, listening
from sim.worlds.components.run_record import RunRecord
from sim.worlds.components.toxiproxy import Toxiproxy
from sim.worlds.live.foreign_broker import ForeignBroker
from sim.worlds.live.foreign_tables import ForeignTables
from sim.worlds.live.own_broker import OwnBroker
from sim.worlds.live.world import LiveWorld
from sim.worlds.load.contacts import ContactFile
from sim.worlds.load.listings import Listings

QUIET_AFTER_RETRY_S = 3.0
"""Beside the retry delay: what is still to come, comes in this time."""
GONE_AFTER = 3
"""So many looks in a row at which nobody listens: a broker that is not ours to start will not come back."""
_LOOK_WITHIN_S = 1.0
_OPEN = """
SELECT (SELECT count(*) FROM activity_logs WHERE activity_type = 'delegation' AND method = 'delegate'
        AND status IN ('pending', 'dispatched') AND NOT recorded)::int,
       (SELECT count(*) FROM a2a_queue WHERE status = 'queued')::int,
       (SELECT count(*) FROM a2a_queue WHERE status = 'dispatched')::int"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Delegations that are under way, items that wait in the queue, and items that are on their way from it."""

    under_way: int
    queued: int
    on_way: int = 0


class LoadWorld(LiveWorld):
    """One world for one load; its time is real."""

    def __init__(
        self, broker: OwnBroker | ForeignBroker, load: Load, *, toxiproxy: Toxiproxy, folder: Path, record: RunRecord
    ) -> None:
        super().__init__(broker, toxiproxy=toxiproxy, folder=folder, time_scale=1.0, record=record)
        self.history = History(self.history.members, self.history.flags)
        self.contacts = ContactFile(folder / "agents.contacts")
        self.last_contact_s = 0.0
        """When an agent saw anything."""
        self.database: OwnBroker | ForeignTables | None = None
        """What the broker's tables can be asked through; None: they cannot be seen."""
        self.listings: Listings | None = None
        """What tells of its work then."""
        self._under_test = broker
        self._load = load
        self._refused = 0
        self._early: list[tuple[AgentSaw, float]] | None = []
        """What agents saw before it was known when the load began."""

    async def set_up(self) -> None:
        """Start everything that takes part. Raises ComponentFailed."""
        await super().set_up()
        broker = self._under_test
        self.database = broker if isinstance(broker, OwnBroker) else broker.tables()
        if self.database is None:
            callers = callers_of(self._load, {name: each.delivery for name, each in self.history.members.items()})
            self.listings = Listings(broker.address, broker.dialect, self.history.members, callers)

    async def begin_at(self, loop_s: float) -> None:
        """Let the clock stand at zero when the load began; agents may have seen its first requests by now."""
        await super().begin_at(loop_s)
        early, self._early = self._early, None
        for saw, monotonic_s in early or ():
            self._agent_saw(saw, monotonic_s)

    @property
    def has_sequence(self) -> bool:
        """Whether rows say in which order they became visible."""
        return not isinstance(self.database, ForeignTables) or self.database.has_sequence

    @property
    def quiet_s(self) -> float:
        """How long nothing may happen before the load is over."""
        broker = self._under_test
        own_s = self.history.flags.retry_delay_s + QUIET_AFTER_RETRY_S
        return own_s if isinstance(broker, OwnBroker) else broker.settling.quiet_s

    @property
    def settle_s(self) -> float:
        """How long the broker may take to come to rest."""
        return min(self._scenario.settle_s, self._under_test.settling.longest_s)

    def database_observer(self) -> Callable[[], Observer] | None:
        """Nothing."""
        return None

    async def waiting(self) -> Waiting | None:
        """What is not done; None if the broker does not tell. Raises ComponentFailed."""
        await self._look_whether_it_listens()
        if self.database is not None:
            (row,) = await self.database.ask(_OPEN)
            return Waiting(*row)
        assert self.listings is not None
        counts = await self.listings.waiting()
        return None if counts is None else Waiting(*counts)

    def broker_is_gone(self) -> str | None:
        """What to say of a broker that is gone although nobody asked it to end."""
        if self._refused >= GONE_AFTER:
            host, port = self._under_test.address
            return f"the broker does not listen on {host}:{port} any more"
        return None if self._under_test.ended() is None else "the broker ended by itself"

    async def _look_whether_it_listens(self) -> None:
        broker = self._under_test
        if isinstance(broker, OwnBroker) or broker.is_watched:
            return
        try:
            await listening("the broker", *broker.address, within_s=_LOOK_WITHIN_S)
            self._refused = 0
        except ComponentFailed:
            self._refused += 1

    def _agent_saw(self, saw: AgentSaw, monotonic_s: float) -> None:
        if self._early is not None:
            self._early.append((saw, monotonic_s))
            return
        contact = self._contact(saw, monotonic_s)
        self.last_contact_s = max(self.last_contact_s, contact.at_s)
        self.contacts.add(contact)
