"""A broker that is not ours: reached at a URL, spoken to as its adapter says, seen over HTTP and perhaps its database.

It may have other users, and it keeps what earlier runs left: so each run brings workspaces with ids that were never
used, and everything is asked for by these.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sim.adapter.model import CONTRACT_PATHS
from sim.history import Flags, Member, Row, recorded_id_of
from sim.scenario.load import callers_of
from sim.scenario.model import Operation, Record, Scenario, Step, Together, Wait
from sim.worlds.components.processes import ComponentFailed, listening
from sim.worlds.components.run_record import RunRecord
from sim.worlds.dialect import Dialect
from sim.worlds.last_look import get_once, read_listing
from sim.worlds.live.foreign import Foreign
from sim.worlds.live.foreign_process import ForeignProcess
from sim.worlds.live.foreign_rows import ForeignRows
from sim.worlds.live.foreign_tables import ForeignTables
from sim.worlds.live.foreign_workspaces import create_workspaces
from sim.worlds.live.playable import operations_of
from sim.worlds.live.under_test import Address
from sim.worlds.play import Settling
from sim.worlds.tables import members_of

THERE_WITHIN_S = 5.0
STARTED_WITHIN_S = 30.0
"""If it cannot start before there is a way to its database, which we open."""
ANSWERS_WITHIN_S = 10.0
UNREACHABLE = {"(the broker)": "unreachable"}


class ForeignBroker:
    """The interface `UnderTest` over an adapter."""

    watches_database = False

    def __init__(self, scenario: Scenario, foreign: Foreign, *, folder: Path, time_scale: float) -> None:
        """`folder`: where its log goes, if we start it."""
        adapter = foreign.adapter
        nonce = secrets.token_hex(6)
        self.scenario = _with_new_ids(scenario, nonce)
        self.members: Mapping[str, Member] = {
            name: replace(member, workspace_id=str(uuid.uuid5(uuid.UUID(member.workspace_id), nonce)))
            for name, member in members_of(scenario).items()
        }
        self.flags = _stretched(adapter.flags, time_scale)
        self.dialect = _dialect_of(foreign, time_scale)
        self.agent_host = adapter.agent_host
        quiet_s = adapter.quiet if foreign.quiet_s is None else foreign.quiet_s
        self.settling = Settling(
            quiet_s=quiet_s * time_scale,
            first_look_s=0.25 * time_scale,
            last_look_s=5 * time_scale,
            longest_s=adapter.settle_s * time_scale,
            ask_again_s=0.5 * time_scale,
        )
        self._foreign = foreign
        self._time_scale = time_scale
        self._rows = ForeignRows(foreign.database_url) if foreign.database_url else None
        self._process = ForeignProcess(adapter, self.address, folder=folder) if adapter.command else None
        self._callers = _callers_of(scenario)

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self._foreign.host, self._foreign.port

    @property
    def database(self) -> Address | None:
        """Where its database listens, if it goes there by the way that we offer."""
        if self._rows is None or self._foreign.adapter.database_listen is None:
            return None
        return self._rows.address

    @property
    def database_listen(self) -> int:
        """Where that way begins."""
        return self._foreign.adapter.database_listen or 0

    @property
    def machine(self) -> ForeignProcess:
        """Its process, which is ours to strike if we started it."""
        assert self._process is not None
        return self._process

    @property
    def is_watched(self) -> bool:
        """Whether its process is ours, so that its end is seen."""
        return self._process is not None

    def tables(self) -> ForeignTables | None:
        """Its tables, for queries; None if they cannot be seen. Raises ComponentFailed."""
        return None if self._rows is None else self._rows.tables(self._ids)

    def ended(self) -> str | None:
        """How its process ended, if it is ours and nobody had asked it to."""
        return None if self._process is None else self._process.ended()

    async def prepare(self) -> None:
        """See that its tables can be read. Raises ComponentFailed."""
        if self._rows is not None:
            await self._rows.connect()

    async def start(self, agent_url: Callable[[str], str], database: Address | None) -> None:
        """Run it if that is up to us, and make the workspaces of the run known to it. Raises ComponentFailed."""
        host, port = self.address
        if self._process is not None:
            await self._process.first_start()
        else:
            within_s = THERE_WITHIN_S if self.database is None else STARTED_WITHIN_S
            try:
                await listening("the broker", host, port, within_s=within_s)
            except ComponentFailed as failure:
                raise ComponentFailed(f"{failure}\nfix: start it, or name by --broker-url where it listens") from None
        self.members = await create_workspaces(self._foreign, self.members, self.dialect, agent_url)

    async def clock(self) -> datetime | None:
        """The clock of its database."""
        return None if self._rows is None else await self._rows.clock()

    async def statuses(self) -> Mapping[str, str]:
        """From its tables, or else from the listings of those who delegate, past the links of the run."""
        if self._rows is not None and self._rows.has_delegations:
            return await self._rows.statuses(self._ids)
        found: dict[str, str] = {}
        for name in self._callers:
            entries = await read_listing(self._get, self.dialect, self.members[name])
            if entries is None and self.members[name].delivery == "none":
                continue  # it may not be known yet
            if entries is None:
                return UNREACHABLE
            found.update(
                (str(entry["delegation_id"]), str(entry.get("status")))
                for entry in entries
                if entry.get("delegation_id")
            )
        return found

    async def rows(self) -> Mapping[str, Sequence[Row]] | None:
        """What of its tables is of this run's workspaces. Raises ComponentFailed."""
        return None if self._rows is None else await self._rows.read(self._ids)

    async def close(self) -> None:
        """End what we started. The workspaces stay: only the broker knows how to remove them."""
        if self._process is not None:
            self._process.close()
        if self._rows is not None:
            await self._rows.close()

    @property
    def _ids(self) -> list[str]:
        return [member.workspace_id for member in self.members.values()]

    async def _get(self, path: str, headers: Mapping[str, str]) -> tuple[int, Any]:
        async with asyncio.timeout(ANSWERS_WITHIN_S * self._time_scale):
            return await get_once(*self.address, path, headers)


@dataclass(frozen=True, slots=True)
class ForeignBrokers:
    """The same broker in every run, with workspaces of their own."""

    foreign: Foreign

    @property
    def options(self) -> str:
        """What names it on the command line."""
        return self.foreign.options

    @property
    def described(self) -> Mapping[str, str]:
        """Where it is, and whether its tables are read."""
        return {"broker": self._where, "rows": self._seen}

    @property
    def introduced(self) -> str:
        """Where it is, and whether its tables are read."""
        return f"the broker at {self._where} (rows: {self._seen})"

    def for_run(self, scenario: Scenario, *, time_scale: float, folder: Path, record: RunRecord) -> ForeignBroker:
        """The broker, with workspaces that it has never seen; what it keeps of them is not ours to note."""
        return ForeignBroker(scenario, self.foreign, folder=folder, time_scale=time_scale)

    @property
    def _where(self) -> str:
        return f"http://{self.foreign.host}:{self.foreign.port}{self.foreign.prefix}"

    @property
    def _seen(self) -> str:
        return "read from its database" if self.foreign.database_url else "not observed"


def _callers_of(scenario: Scenario) -> list[str]:
    if scenario.load is not None:
        return callers_of(scenario.load, {each.name: each.delivery for each in scenario.workspaces})
    callers = [operation for operation in operations_of(scenario) if hasattr(operation, "source")]
    return list(dict.fromkeys(operation.source for operation in callers))


def _dialect_of(foreign: Foreign, time_scale: float) -> Dialect:
    adapter = foreign.adapter
    paths = {action: adapter.paths.get(action, path) for action, path in CONTRACT_PATHS.items()}
    headers = {}
    if adapter.auth is not None:
        is_bearer = adapter.auth.header.lower() == "authorization"
        headers[adapter.auth.header] = f"Bearer {foreign.token}" if is_bearer else foreign.token
    return Dialect(
        {action: foreign.prefix + path for action, path in paths.items() if path is not None},
        headers,
        token_field=adapter.workspaces.token_in,
        time_scale=time_scale,
    )


def _stretched(flags: Flags, time_scale: float) -> Flags:
    """The broker's own durations in scenario seconds."""
    changes = {name: getattr(flags, name) * time_scale for name in flags.__dataclass_fields__ if name.endswith("_s")}
    return replace(flags, **changes)


def _with_new_ids(scenario: Scenario, nonce: str) -> Scenario:
    """What agents record has ids that the agents make: none may have been used before."""

    def renewed(operation: Operation) -> Operation:
        if not isinstance(operation, Record):
            return operation
        return replace(operation, id=f"{operation.id or recorded_id_of(operation.op)}-{nonce}")

    def step(step: Step) -> Step:
        match step.does:
            case Wait():
                return step
            case Together(operations=operations):
                return replace(step, does=replace(step.does, operations=tuple(map(renewed, operations))))
            case operation:
                return replace(step, does=renewed(operation))

    return replace(scenario, steps=tuple(map(step, scenario.steps)))
