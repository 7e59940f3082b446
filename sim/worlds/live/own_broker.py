"""Our own broker in a live world: a process with a fresh database, whose tables and queries we know."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from reference_impl.config import Config
from sim.history import Member, Row
from sim.scenario.model import Scenario
from sim.worlds.broker_settings import configured, flags_of
from sim.worlds.components import live_postgres
from sim.worlds.components.live_postgres import LivePostgres
from sim.worlds.components.processes import ComponentFailed, Port
from sim.worlds.components.run_record import RunRecord
from sim.worlds.dialect import Dialect
from sim.worlds.live.broker_process import LiveBroker, environment_of, hurried
from sim.worlds.live.under_test import Address, starts
from sim.worlds.play import Settling
from sim.worlds.tables import FINAL_ROWS, STATUSES, insert_workspaces, members_of, read_rows

_BATCH = 2000


class OwnBroker:
    """The interface `UnderTest` over `python -m reference_impl`."""

    watches_database = True
    agent_host = "127.0.0.1"
    database_listen = 0

    def __init__(
        self, scenario: Scenario, *, postgres: LivePostgres, folder: Path, time_scale: float, record: RunRecord
    ) -> None:
        """`folder`: where its log goes. `record`: where it is noted what would outlive us. Raises UnknownSetting."""
        self.scenario = scenario
        self._postgres = postgres
        self._folder = folder
        self._time_scale = time_scale
        self._record = record
        self._port = Port()
        self._config = configured(
            Config(host="127.0.0.1", port=self._port.number, environment="development", allow_loopback=True), scenario
        )
        self.members: Mapping[str, Member] = members_of(scenario)
        flags = flags_of(self._config)
        # What a process takes to close is no setting, so it does not hurry.
        self.flags = replace(flags, closing_s=flags.closing_s * time_scale)
        self.dialect = Dialect(time_scale=time_scale)
        self.settling = Settling()
        self._noted = ExitStack()
        self._process: LiveBroker | None = None
        self._database = ""
        self._rows: asyncpg.Connection[asyncpg.Record] | None = None

    @property
    def address(self) -> Address:
        """Where it listens."""
        return "127.0.0.1", self._config.port

    @property
    def database(self) -> Address:
        """The server of its database."""
        return self._postgres.address

    @property
    def machine(self) -> LiveBroker:
        """Its process."""
        assert self._process is not None
        return self._process

    async def prepare(self) -> None:
        """Make its database. Raises ComponentFailed."""
        self._database = await live_postgres.create_database(self._postgres)
        if self._postgres.is_named:
            host, port = self._postgres.address
            self._noted.enter_context(self._record.holding("database", f"{self._database} on {host}:{port}"))
        self._rows = await live_postgres.connect(self._postgres, self._database)

    async def start(self, agent_url: Callable[[str], str], database: Address | None) -> None:
        """Put its workspaces into the database, and run it. Raises ComponentFailed."""
        assert self._rows is not None
        for statement in insert_workspaces(self.members, agent_url):
            await self._rows.execute(statement)
        url = self._postgres.dsn_of(self._database, address=database)
        config = replace(hurried(self._config, self._time_scale), database_url=url)
        self._process = LiveBroker(
            environment_of(config), port=self._port, starts=starts(self.scenario, "broker"), folder=self._folder
        )
        self._process.start()
        await self._process.ready()

    async def clock(self) -> datetime:
        """The clock of this machine."""
        return datetime.now(UTC)

    async def statuses(self) -> Mapping[str, str]:
        """Straight from the database. Raises ComponentFailed."""
        return {str(row[0]): str(row[1]) for row in await self.ask(STATUSES)}

    async def rows(self) -> Mapping[str, Sequence[Row]]:
        """Straight from the database. Raises ComponentFailed."""
        (row,) = await self.ask(FINAL_ROWS)
        return read_rows(row[0])

    def ended(self) -> str | None:
        """How its process ended, if nobody had asked it to."""
        return None if self._process is None else self._process.ended()

    async def close(self) -> None:
        """End it and drop its database. Raises ComponentFailed."""
        if self._process is not None:
            self._process.close()
        self._port.release()
        if self._rows is not None:
            await self._rows.close()
        if self._database:
            await live_postgres.drop_database(self._postgres, self._database)
        self._noted.close()

    async def ask(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Rows, straight from the database. Raises ComponentFailed."""
        assert self._rows is not None
        with self._while_postgres_is_there():
            return await self._rows.fetch(query, *arguments)

    async def stream(self, query: str) -> AsyncIterator[Sequence[asyncpg.Record]]:
        """Rows in batches, straight from the database, however many there are. Raises ComponentFailed."""
        assert self._rows is not None
        with self._while_postgres_is_there():
            async with self._rows.transaction():
                cursor = await self._rows.cursor(query)
                while batch := await cursor.fetch(_BATCH):
                    yield batch

    @contextmanager
    def _while_postgres_is_there(self) -> Iterator[None]:
        try:
            yield
        except (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError) as error:
            raise ComponentFailed(f"Postgres ({self._postgres.what}) is gone: {error}") from None


@dataclass(frozen=True, slots=True)
class OwnBrokers:
    """Ours, one a run."""

    postgres: LivePostgres
    options: str = ""

    @property
    def described(self) -> Mapping[str, str]:
        """Its database."""
        return {"postgres": f"{self.postgres.version} ({self.postgres.what})".strip()}

    @property
    def introduced(self) -> str:
        """Its database."""
        return f"Postgres {self.postgres.version} ({self.postgres.what})"

    def for_run(self, scenario: Scenario, *, time_scale: float, folder: Path, record: RunRecord) -> OwnBroker:
        """A broker for one run. Raises UnknownSetting."""
        return OwnBroker(scenario, postgres=self.postgres, folder=folder, time_scale=time_scale, record=record)
