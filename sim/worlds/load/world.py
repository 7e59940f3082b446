"""The live world under load: what the agents see goes to a file, and nothing of ours is in the broker's way.

Delivery-mode reads are not observed: to see them, every byte between broker and database would have to pass through
this process, which would then be what is measured. So INV-10 is not judged under load.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import asyncpg

from fakes.agent import AgentSaw
from fakes.toxiproxy.connection import Observer
from sim.history import History
from sim.scenario.model import Scenario
from sim.worlds.components.live_postgres import LivePostgres
from sim.worlds.components.processes import ComponentFailed
from sim.worlds.components.run_record import RunRecord
from sim.worlds.components.toxiproxy import Toxiproxy
from sim.worlds.live.world import LiveWorld
from sim.worlds.load.contacts import ContactFile

_BATCH = 2000


class LoadWorld(LiveWorld):
    """One world for one load; its time is real."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        postgres: LivePostgres,
        toxiproxy: Toxiproxy,
        folder: Path,
        record: RunRecord,
    ) -> None:
        super().__init__(scenario, postgres=postgres, toxiproxy=toxiproxy, folder=folder, time_scale=1.0, record=record)
        self.history = History(self.history.members, self.history.flags)
        self.contacts = ContactFile(folder / "agents.contacts")

    def database_observer(self) -> Callable[[], Observer] | None:
        """Nothing."""
        return None

    def broker_has_ended(self) -> bool:
        """Whether the broker's process is gone although nobody killed it."""
        return self._broker is not None and self._broker.has_ended()

    async def ask(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Rows, straight from the database. Raises ComponentFailed."""
        assert self._rows is not None
        try:
            return await self._rows.fetch(query, *arguments)
        except (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError) as error:
            raise ComponentFailed(f"Postgres ({self._postgres.what}) is gone: {error}") from None

    async def stream(self, query: str) -> AsyncIterator[Sequence[asyncpg.Record]]:
        """Rows in batches, straight from the database, however many there are. Raises ComponentFailed."""
        assert self._rows is not None
        try:
            async with self._rows.transaction():
                cursor = await self._rows.cursor(query)
                while batch := await cursor.fetch(_BATCH):
                    yield batch
        except (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError) as error:
            raise ComponentFailed(f"Postgres ({self._postgres.what}) is gone: {error}") from None

    def _agent_saw(self, saw: AgentSaw, monotonic_s: float) -> None:
        self.contacts.add(self._contact(saw, monotonic_s))
