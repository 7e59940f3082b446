"""The live world under load: what the agents see goes to a file, and nothing of ours is in the broker's way.

Delivery-mode reads are not observed: to see them, every byte between broker and database would have to pass through
this process, which would then be what is measured. So INV-10 is not judged under load.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fakes.agent import AgentSaw
from fakes.toxiproxy.proxy import Observer
from sim.history import History
from sim.worlds.components.run_record import RunRecord
from sim.worlds.components.toxiproxy import Toxiproxy
from sim.worlds.live.own_broker import OwnBroker
from sim.worlds.live.world import LiveWorld
from sim.worlds.load.contacts import ContactFile


class LoadWorld(LiveWorld):
    """One world for one load; its time is real."""

    def __init__(self, broker: OwnBroker, *, toxiproxy: Toxiproxy, folder: Path, record: RunRecord) -> None:
        super().__init__(broker, toxiproxy=toxiproxy, folder=folder, time_scale=1.0, record=record)
        self.history = History(self.history.members, self.history.flags)
        self.database = broker
        """What its tables can be asked through."""
        self.contacts = ContactFile(folder / "agents.contacts")

    def database_observer(self) -> Callable[[], Observer] | None:
        """Nothing."""
        return None

    def broker_has_ended(self) -> bool:
        """Whether the broker's process is gone although nobody asked it to."""
        return self.database.ended() is not None

    def _agent_saw(self, saw: AgentSaw, monotonic_s: float) -> None:
        self.contacts.add(self._contact(saw, monotonic_s))
