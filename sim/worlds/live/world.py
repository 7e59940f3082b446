"""The live world: broker and agents as processes, Toxiproxy between them, a Postgres of its own, real time.

One `LiveWorld` is made for one run, on a `ScaledLoop`, and torn down after it. Its seconds are the scenario's; the
times that other processes write down are stretched to them when they are read.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from fakes.agent import AgentSaw
from fakes.watcher import Event, Watcher
from reference_impl.config import Config
from sim.history import Broadcast, Contact, Final, History, ModeRead, Row
from sim.scenario.model import AddToxic, Kill, Scenario, Stop, Trigger
from sim.worlds.broker_settings import configured, flags_of
from sim.worlds.components import live_postgres
from sim.worlds.components.live_postgres import LivePostgres
from sim.worlds.components.processes import ComponentFailed, Port
from sim.worlds.components.run_record import RunRecord
from sim.worlds.components.toxiproxy import Toxiproxy
from sim.worlds.last_look import get_once, look_last
from sim.worlds.links import BROKER_AGENT, BROKER_DATABASE, CLIENT_BROKER
from sim.worlds.live.agents import LiveAgent
from sim.worlds.live.broker_process import LiveBroker, environment_of, hurried
from sim.worlds.live.chains import Chains
from sim.worlds.live.clock import ScaledLoop
from sim.worlds.mode_reads import ModeReadObserver
from sim.worlds.play import Player
from sim.worlds.tables import FINAL_ROWS, STATUSES, insert_workspaces, members_of, read_rows
from sim.worlds.world import Undo

WATCHING_WITHIN_S = 10.0


class LiveWorld:
    """One world; the interface `World` over processes."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        postgres: LivePostgres,
        toxiproxy: Toxiproxy,
        folder: Path,
        time_scale: float,
        record: RunRecord,
    ) -> None:
        """`folder`: where the processes' logs go. `record`: where it is noted what would outlive us."""
        self._scenario = scenario
        self._postgres = postgres
        self._folder = folder
        self._time_scale = time_scale
        self._port = Port()
        self._config = configured(
            Config(host="127.0.0.1", port=self._port.number, environment="development", allow_loopback=True), scenario
        )
        members = members_of(scenario)
        flags = flags_of(self._config)
        # What a process takes to close is no setting, so it does not hurry.
        flags = replace(flags, closing_s=flags.closing_s * time_scale)
        self.history = History(members, flags, watches_database=True)
        self._agents = {
            workspace.name: LiveAgent(
                workspace.name,
                behaviours=workspace.agent,
                time_scale=time_scale,
                starts=_starts(scenario, f"agent:{workspace.name}"),
                folder=folder,
                observe=self._agent_saw,
            )
            for workspace in scenario.workspaces
        }
        self._toxiproxy = toxiproxy
        self._prefix = f"fumble-{os.getpid()}-"
        self._chains = Chains(toxiproxy, prefix=self._prefix, time_scale=time_scale)
        self._record = record
        self._noted = ExitStack()
        self._broker: LiveBroker | None = None
        self._database = ""
        self._rows: asyncpg.Connection[asyncpg.Record] | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._began_s = 0.0
        self._trouble: asyncio.Future[None] | None = None

    # --- the run -------------------------------------------------------------------------------------------------

    async def play(self) -> None:
        """Set everything up, let the player play, leave the history behind. Raises ComponentFailed."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ScaledLoop)
        self._database = await live_postgres.create_database(self._postgres)
        if self._postgres.is_named:
            host, port = self._postgres.address
            self._noted.enter_context(self._record.holding("database", f"{self._database} on {host}:{port}"))
        if self._toxiproxy.is_named:
            self._noted.enter_context(self._record.holding("proxies", f"{self._prefix}* on {self._toxiproxy.address}"))
        self._rows = await live_postgres.connect(self._postgres, self._database)
        ends = {
            CLIENT_BROKER: ("127.0.0.1", self._config.port),
            BROKER_DATABASE: self._postgres.address,
            **{BROKER_AGENT + name: ("127.0.0.1", agent.port) for name, agent in self._agents.items()},
        }
        await self._chains.build(self._scenario, ends, observe=self._mode_reads)
        if statement := insert_workspaces(self.history.members, self.agent_url):
            await self._rows.execute(statement)
        for agent in self._agents.values():
            agent.start()
        for agent in self._agents.values():
            await agent.ready()
        url = self._postgres.dsn_of(self._database, address=self._chains.entrances[BROKER_DATABASE])
        config = replace(hurried(self._config, self._time_scale), database_url=url)
        starts = _starts(self._scenario, "broker")
        self._broker = LiveBroker(environment_of(config), port=self._port, starts=starts, folder=self._folder)
        self._broker.start()
        await self._broker.ready()
        if self._scenario.watch is not None:
            await self._start_watching()
        self._began_s = loop.time()
        self.history.epoch = datetime.now(UTC)
        self._trouble = loop.create_future()
        playing = asyncio.ensure_future(Player(self._scenario, self.history, self).play())
        await asyncio.wait([playing, self._trouble], return_when=asyncio.FIRST_COMPLETED)
        if self._trouble.done():
            playing.cancel()
            self._trouble.result()
        await playing
        self.history.entries.sort(key=lambda entry: entry.at_s)

    async def close(self) -> None:
        """End everything that was started for the run."""
        for task in self._clients:
            task.cancel()
        if self._broker is not None:
            self._broker.close()
        for agent in self._agents.values():
            agent.close()
        self._port.release()
        await self._chains.close()
        if self._rows is not None:
            await self._rows.close()
        if self._database:
            await live_postgres.drop_database(self._postgres, self._database)
        self._noted.close()

    async def _start_watching(self) -> None:
        watcher = Watcher(f"http://127.0.0.1:{self._config.port}/ws", on_event=self._broadcast)
        self.start_client(watcher.run())
        try:
            async with asyncio.timeout(WATCHING_WITHIN_S * self._time_scale):
                await watcher.connected.wait()
        except TimeoutError:
            raise ComponentFailed("the broker does not answer at /ws, where its events are watched") from None

    # --- what is observed ----------------------------------------------------------------------------------------

    def _agent_saw(self, saw: AgentSaw, monotonic_s: float) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ScaledLoop)
        self.history.add(
            Contact(
                loop.at(monotonic_s) - self._began_s,
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
        )

    def _broadcast(self, event: Event) -> None:
        self.history.add(
            Broadcast(self.now_s(), str(event.get("event")), str(event.get("workspace_id")), event.get("payload"))
        )

    def _mode_reads(self) -> ModeReadObserver:
        return ModeReadObserver(lambda workspace, mode: self.history.add(ModeRead(self.now_s(), workspace, mode)))

    # --- World ---------------------------------------------------------------------------------------------------

    def now_s(self) -> float:
        """Scenario seconds since the first step."""
        return asyncio.get_running_loop().time() - self._began_s

    def broker_address(self) -> tuple[str, int]:
        """Where clients reach the broker."""
        return self._chains.entrances[CLIENT_BROKER]

    def agent_url(self, workspace: str) -> str:
        """Where the broker reaches a workspace's agent."""
        host, port = self._chains.entrances[BROKER_AGENT + workspace]
        return f"http://{host}:{port}/"

    def start_client(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a client's work."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)
        return task

    def watch(self, trigger: Trigger, strike: Callable[[], None]) -> None:
        """Wait for a link trigger."""
        self._chains.watch(trigger, lambda: self._carefully(strike))

    def add_toxic(self, toxic: AddToxic) -> Undo:
        """Put a toxic on a link."""
        return self._chains.add_toxic(toxic)

    def cut(self, link: str) -> Undo:
        """Take a link down."""
        return self._chains.cut(link)

    def kill(self, node: str) -> None:
        """Power cut."""
        self._machine(node).kill()

    def stop(self, node: str, gone: Callable[[], None]) -> None:
        """SIGTERM."""

        async def leave() -> None:
            if await self._machine(node).leave():
                gone()

        self.start_client(leave())

    def start(self, node: str) -> None:
        """Start the node's program again."""
        self._machine(node).start()

    def pause(self, node: str, duration_s: float) -> None:
        """Stand still."""
        machine = self._machine(node)
        machine.stand_still()
        asyncio.get_running_loop().call_later(duration_s, machine.go_on)

    async def statuses(self) -> Mapping[str, str]:
        """Straight from the database."""
        return {str(row[0]): str(row[1]) for row in await self._ask(STATUSES)}

    async def final(self, callers: Sequence[str]) -> Final:
        """Rows straight from the database; each caller's inbox through its reference poller, and its listing."""
        inbox, listing = await look_last(self._get, self.history.members, callers, run_s=self.now_s())
        (row,) = await self._ask(FINAL_ROWS)
        rows = {table: self._stretched(rows) for table, rows in read_rows(row[0]).items()}
        return Final(self.now_s(), rows, inbox, listing)

    async def _ask(self, query: str) -> list[asyncpg.Record]:
        assert self._rows is not None
        try:
            return await self._rows.fetch(query)
        except (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError) as error:
            raise ComponentFailed(f"Postgres ({self._postgres.what}) is gone: {error}") from None

    async def _get(self, path: str) -> tuple[int, Any]:
        return await get_once(*self.broker_address(), path)

    def _stretched(self, rows: Sequence[Row]) -> list[Row]:
        """Rows whose times are on the scenario's clock."""
        epoch = self.history.epoch
        assert epoch is not None

        def stretch(value: object) -> object:
            return epoch + (value - epoch) * self._time_scale if isinstance(value, datetime) else value

        return [{name: stretch(value) for name, value in row.items()} for row in rows]

    def _carefully(self, strike: Callable[[], None]) -> None:
        """A trigger fires within a connection's protocol, which would swallow what goes wrong."""
        try:
            strike()
        except ComponentFailed as error:
            if self._trouble is not None and not self._trouble.done():
                self._trouble.set_exception(error)

    def _machine(self, node: str) -> LiveBroker | LiveAgent:
        if node == "broker":
            assert self._broker is not None
            return self._broker
        return self._agents[node.removeprefix("agent:")]


def _starts(scenario: Scenario, node: str) -> int:
    """How often a node's program is started: at first, and after each power cut."""
    return 1 + sum(isinstance(fault.do, Kill | Stop) and fault.do.node == node for fault in scenario.faults)
