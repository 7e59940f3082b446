"""The live world: broker and agents as processes, Toxiproxy between them, real time.

One `LiveWorld` is made for one run, on a `ScaledLoop`, and torn down after it. Its seconds are the scenario's; the
times that other processes write down are stretched to them when they are read. Which broker it is, ours or another,
it does not know: that is its `UnderTest`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fakes.agent import AgentSaw
from fakes.toxiproxy.proxy import Observer
from fakes.watcher import Event, Watcher
from sim.history import Contact, Final, History, NodeChanged, Row
from sim.scenario.model import AddToxic, Trigger
from sim.worlds import observed
from sim.worlds.components.processes import ComponentFailed
from sim.worlds.components.run_record import RunRecord
from sim.worlds.components.toxiproxy import Toxiproxy
from sim.worlds.dialect import Dialect
from sim.worlds.last_look import NotAsAgreed, get_once, look_last
from sim.worlds.links import BROKER_AGENT, BROKER_DATABASE, CLIENT_BROKER
from sim.worlds.live.agents import LiveAgent
from sim.worlds.live.chains import Chains
from sim.worlds.live.clock import ScaledLoop
from sim.worlds.live.under_test import Machine, UnderTest, starts
from sim.worlds.mode_reads import ModeReadObserver
from sim.worlds.play import Player
from sim.worlds.world import Undo

WATCHING_WITHIN_S = 10.0
ANSWERS_WITHIN_S = 10.0
"""Real time that one question of the last look may take."""


class LiveWorld:
    """One world; the interface `World` over processes."""

    def __init__(
        self,
        broker: UnderTest,
        *,
        toxiproxy: Toxiproxy,
        folder: Path,
        time_scale: float,
        record: RunRecord,
    ) -> None:
        """`folder`: where the processes' logs go. `record`: where it is noted what would outlive us."""
        self._broker = broker
        self._scenario = scenario = broker.scenario
        self._time_scale = time_scale
        self.history = History(broker.members, broker.flags, watches_database=broker.watches_database)
        self._agents = {
            workspace.name: LiveAgent(
                workspace.name,
                behaviours=workspace.agent,
                time_scale=time_scale,
                starts=starts(scenario, f"agent:{workspace.name}"),
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
        self._clients: set[asyncio.Task[None]] = set()
        self._began_s = 0.0
        self._broker_ended = False
        self._agent_gone: ComponentFailed | None = None
        self._trouble: asyncio.Future[None] | None = None

    # --- the run -------------------------------------------------------------------------------------------------

    async def play(self) -> None:
        """Set everything up, let the player play, leave the history behind. Raises ComponentFailed."""
        await self.set_up()
        await self.begin_at(asyncio.get_running_loop().time())
        await self.as_long_as_well(self._player().play())
        self.history.entries.sort(key=lambda entry: entry.at_s)

    async def set_up(self) -> None:
        """Start everything that takes part. Raises ComponentFailed."""
        await self._broker.prepare()
        if self._toxiproxy.is_named:
            self._noted.enter_context(self._record.holding("proxies", f"{self._prefix}* on {self._toxiproxy.address}"))
        ends = {
            CLIENT_BROKER: self._broker.address,
            **{BROKER_AGENT + name: ("127.0.0.1", agent.port) for name, agent in self._agents.items()},
        }
        if self._broker.database is not None:
            ends[BROKER_DATABASE] = self._broker.database
        await self._chains.build(
            self._scenario,
            ends,
            observe=self.database_observer(),
            ports={BROKER_DATABASE: self._broker.database_listen},
        )
        for agent in self._agents.values():
            agent.start()
        for agent in self._agents.values():
            await agent.ready()
        await self._broker.start(self.agent_url, self._chains.entrances.get(BROKER_DATABASE))
        self.history.members = self._broker.members
        if self._scenario.watch is not None:
            await self._start_watching()

    async def begin_at(self, loop_s: float) -> None:
        """Let the run's clock stand at zero when the loop's reads `loop_s`, now or a moment ago."""
        clock = await self._broker.clock()
        self._began_s = loop_s
        ago_s = (asyncio.get_running_loop().time() - loop_s) / self._time_scale
        self.history.epoch = None if clock is None else clock - timedelta(seconds=ago_s)

    async def as_long_as_well(self, playing: Coroutine[Any, Any, None]) -> None:
        """Play until the end, or until something goes wrong within a connection's protocol. Raises ComponentFailed."""
        self._trouble = asyncio.get_running_loop().create_future()
        task = self.start_client(playing)
        await asyncio.wait([task, self._trouble], return_when=asyncio.FIRST_COMPLETED)
        if self._trouble.done():
            self._trouble.result()
        await task

    def database_observer(self) -> Callable[[], Observer] | None:
        """What watches each of the broker's database connections; None: nothing does, and no tap is in the way."""
        return self._mode_reads if self._broker.watches_database else None

    async def close(self) -> None:
        """End everything that was started for the run."""
        for task in self._clients:
            task.cancel()
        if self._clients:
            await asyncio.wait(self._clients)
        for agent in self._agents.values():
            agent.close()
        try:
            await self._broker.close()
        finally:
            await self._chains.close()
        self._noted.close()

    def _player(self) -> Player:
        broker = self._broker
        return Player(self._scenario, self.history, self, dialect=broker.dialect, settling=broker.settling)

    async def _start_watching(self) -> None:
        (host, port), path = self._broker.address, self._broker.dialect.path("events")
        watcher = Watcher(f"http://{host}:{port}{path}", headers=self._broker.dialect.headers, on_event=self._broadcast)
        self.start_client(watcher.run())
        try:
            async with asyncio.timeout(WATCHING_WITHIN_S * self._time_scale):
                await watcher.connected.wait()
        except TimeoutError:
            raise ComponentFailed(f"the broker does not answer at {path}, where its events are watched") from None

    # --- what is observed ----------------------------------------------------------------------------------------

    def _agent_saw(self, saw: AgentSaw, monotonic_s: float) -> None:
        self.history.add(self._contact(saw, monotonic_s))

    def _contact(self, saw: AgentSaw, monotonic_s: float) -> Contact:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ScaledLoop)
        return observed.contact(loop.at(monotonic_s) - self._began_s, saw)

    def _broadcast(self, event: Event) -> None:
        self.history.add(observed.broadcast(self.now_s(), event))

    def _mode_reads(self) -> ModeReadObserver:
        return observed.mode_reads(self.history, self.now_s)

    # --- World ---------------------------------------------------------------------------------------------------

    def now_s(self) -> float:
        """Scenario seconds since the first step."""
        return asyncio.get_running_loop().time() - self._began_s

    def broker_address(self) -> tuple[str, int]:
        """Where clients reach the broker."""
        return self._chains.entrances[CLIENT_BROKER]

    @property
    def dialect(self) -> Dialect:
        """How clients speak to the broker."""
        return self._broker.dialect

    def agent_url(self, workspace: str) -> str:
        """Where the broker reaches a workspace's agent."""
        _, port = self._chains.entrances[BROKER_AGENT + workspace]
        return f"http://{self._broker.agent_host}:{port}/"

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
        """What the broker under test tells."""
        self._see_whether_all_run()
        try:
            return await self._broker.statuses()
        except NotAsAgreed as error:
            raise ComponentFailed(f"the broker: {error}") from None

    async def final(self, callers: Sequence[str]) -> Final:
        """Its rows, if they can be seen; each caller's inbox through its reference poller, and its listing."""
        self._see_whether_all_run()
        dialect, members = self._broker.dialect, self.history.members
        try:
            inbox, listing = await look_last(
                self._get,
                dialect,
                members,
                callers,
                run_s=self.now_s(),
                ask_again_s=self._broker.settling.ask_again_s,
            )
        except NotAsAgreed as error:
            raise ComponentFailed(f"the broker: {error}") from None
        rows = await self._broker.rows()
        stretched = None if rows is None else {table: self._stretched(those) for table, those in rows.items()}
        return Final(self.now_s(), stretched, inbox, listing)

    def agent_gone(self) -> ComponentFailed | None:
        """What to say of an agent that has ended by itself: agents are ours, so this is nothing of the broker's.

        In the history it has lost its power by then.
        """
        for agent in self._agents.values():
            if self._agent_gone is None and (gone := agent.ended(self.now_s())) is not None:
                self._agent_gone = gone
                self.history.add(NodeChanged(self.now_s(), f"agent:{agent.name}", "killed"))
        return self._agent_gone

    def _see_whether_all_run(self) -> None:
        if (gone := self.agent_gone()) is not None:
            raise gone
        if not self._broker_ended and (how := self._broker.ended()) is not None:
            self._broker_ended = True
            self.history.add(NodeChanged(self.now_s(), "broker", "stopped", how))

    async def _get(self, path: str, headers: Mapping[str, str]) -> tuple[int, Any]:
        async with asyncio.timeout(ANSWERS_WITHIN_S * self._time_scale):
            return await get_once(*self.broker_address(), path, headers)

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

    def _machine(self, node: str) -> Machine:
        return self._broker.machine if node == "broker" else self._agents[node.removeprefix("agent:")]
