"""The simulated world: broker, agents, clients and fault proxies as nodes of one `Simulation`, on a real Postgres.

A world is made for one run, in a `Workshop`, and thrown away. A link gets a fault proxy only where the scenario needs
one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fakes.agent import Agent, AgentSaw
from fakes.toxiproxy.proxy import Proxy
from fakes.watcher import Event, Watcher
from reference_impl.app import Broker
from sim.history import Final, History, NodeChanged
from sim.kernel import HorizonReached, Node, Simulation
from sim.kernel.postgres_gateway import Gateway
from sim.scenario.model import AddToxic, Scenario, Trigger
from sim.worlds import libraries, observed
from sim.worlds.broker_settings import configured, flags_of
from sim.worlds.dialect import Dialect
from sim.worlds.http_client import Looks
from sim.worlds.last_look import look_last
from sim.worlds.links import BROKER_AGENT, BROKER_DATABASE, CLIENT_BROKER, Links, links_of
from sim.worlds.mode_reads import ModeReadObserver
from sim.worlds.play import Player
from sim.worlds.process import Process
from sim.worlds.tables import FINAL_ROWS, STATUSES, insert_workspaces, members_of, read_rows
from sim.worlds.world import Undo

if TYPE_CHECKING:
    from sim.worlds.workshop import Workshop

BROKER_PORT, DATABASE_PORT, AGENT_PORT, FIRST_LINK_PORT = 8080, 5432, 9000, 20001
BROKER_START_S = 600.0

Address = tuple[str, int]


class SimulatedWorld:
    """One world; the interface `World` over a `Simulation`."""

    def __init__(self, simulation: Simulation, scenario: Scenario, workshop: Workshop) -> None:
        self._simulation = simulation
        self._scenario = scenario
        self._workshop = workshop
        self._config = configured(workshop.config, scenario)
        self._begin_s = 0.0
        members = members_of(scenario)
        self.history = History(members, flags_of(self._config), watches_database=True)
        self._gateway = Gateway(
            workshop.backends, random=simulation.streams["schedule"], database=workshop.database_name
        )
        self._ends: dict[str, Address] = {
            CLIENT_BROKER: ("broker", BROKER_PORT),
            BROKER_DATABASE: ("database", DATABASE_PORT),
            **{BROKER_AGENT + name: (f"agent-{name}", AGENT_PORT) for name in members},
        }
        self._proxied: dict[str, Address] = {
            link: ("links", FIRST_LINK_PORT + number) for number, link in enumerate(links_of(scenario))
        }
        self._links = Links({link: self._proxy(link) for link in self._proxied})
        self._agents = {
            workspace.name: Agent(workspace.name, behaviours=workspace.agent, observe=self._agent_saw)
            for workspace in scenario.workspaces
        }

    # --- the run -------------------------------------------------------------------------------------------------

    async def play(self) -> None:
        """Set everything up, let the player play, leave the history behind."""
        libraries.renew()
        self._workshop.database.reset(*insert_workspaces(self.history.members, self.agent_url))
        node = self._simulation.node
        network = self._simulation.network
        network.install(node("database"), DATABASE_PORT, self._gateway.protocol_factory)
        for name, agent in self._agents.items():
            await node(f"agent-{name}").spawn(agent.start("0.0.0.0", AGENT_PORT))
        if self._proxied:
            await node("links").spawn(self._links.start())
        network.observe(*self._address(BROKER_DATABASE), self._mode_reads)
        try:
            async with asyncio.timeout(BROKER_START_S):
                self._broker = self._start_broker()
                await self._broker.ready()
        except TimeoutError:
            raise HorizonReached(f"the broker did not start within {BROKER_START_S:g} virtual seconds") from None
        if self._scenario.watch is not None:
            watcher = Watcher(f"http://broker:{BROKER_PORT}/ws", on_event=self._broadcast)
            node("watcher").spawn(watcher.run())
            await watcher.connected.wait()
        self._begin_s = self._simulation.time_s
        self.history.epoch = datetime.fromtimestamp(time.time(), UTC)
        await Player(self._scenario, self.history, self).play()

    def close(self) -> None:
        """Give the database sessions back."""
        self._gateway.close()

    def _start_broker(self) -> Process:
        return Process(self._simulation.node("broker"), self._serve, ended_by_itself=self._broker_ended)

    async def _serve(self, stopping: asyncio.Event, listening: Callable[[], None]) -> None:
        config = self._config
        if BROKER_DATABASE in self._proxied:
            host, port = self._proxied[BROKER_DATABASE]
            url = config.database_url.replace(f"@database:{DATABASE_PORT}/", f"@{host}:{port}/")
            config = replace(config, database_url=url)
        broker = Broker(config, clock=_VirtualClock())
        await broker.serve(stopping, on_listening=listening)

    def _broker_ended(self, why: str) -> None:
        self.history.add(NodeChanged(self.now_s(), "broker", "stopped", why))

    def _proxy(self, link: str) -> Proxy:
        _, port = self._proxied[link]
        return Proxy(
            link,
            "0.0.0.0",
            port,
            *self._ends[link],
            random=self._simulation.streams["faults"],
            # The broker's connections to its database are there before the first trigger is.
            protocol="postgres" if link == BROKER_DATABASE else "http",
        )

    def _address(self, link: str) -> Address:
        return self._proxied.get(link) or self._ends[link]

    # --- what is observed ----------------------------------------------------------------------------------------

    def _agent_saw(self, saw: AgentSaw) -> None:
        self.history.add(observed.contact(self.now_s(), saw))

    def _broadcast(self, event: Event) -> None:
        self.history.add(observed.broadcast(self.now_s(), event))

    def _mode_reads(self) -> ModeReadObserver:
        return observed.mode_reads(self.history, self.now_s)

    # --- World ---------------------------------------------------------------------------------------------------

    def now_s(self) -> float:
        """Seconds since the first step."""
        return self._simulation.time_s - self._begin_s

    def broker_address(self) -> Address:
        """Where clients reach the broker."""
        return self._address(CLIENT_BROKER)

    def agent_url(self, workspace: str) -> str:
        """Where the broker reaches a workspace's agent."""
        host, port = self._address(BROKER_AGENT + workspace)
        return f"http://{host}:{port}/"

    def start_client(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a client's work on the clients' machine."""
        return self._simulation.node("clients").spawn(coroutine)

    def watch(self, trigger: Trigger, strike: Callable[[], None]) -> None:
        """Wait for a link trigger."""
        self._links.watch(trigger, strike)

    def add_toxic(self, toxic: AddToxic) -> Undo:
        """Put a toxic on a link."""
        return self._links.add_toxic(toxic)

    def cut(self, link: str) -> Undo:
        """Take a link down."""
        return self._links.cut(link)

    def kill(self, node: str) -> None:
        """Power cut."""
        self._node(node).kill()

    def stop(self, node: str, gone: Callable[[], None]) -> None:
        """SIGTERM."""
        if node == "broker":
            self._broker.stop(gone)
            return
        machine = self._node(node)

        def ended(_: asyncio.Task[None]) -> None:
            machine.kill()
            gone()

        machine.spawn(self._agents[node.removeprefix("agent:")].stop()).add_done_callback(ended)

    def start(self, node: str) -> None:
        """Power on, and start the node's program."""
        machine = self._node(node)
        machine.restart()
        if node == "broker":
            self._broker = self._start_broker()
        else:
            machine.spawn(self._agents[node.removeprefix("agent:")].start("0.0.0.0", AGENT_PORT))

    def pause(self, node: str, duration_s: float) -> None:
        """Stand still."""
        self._node(node).pause(duration_s)

    async def statuses(self) -> Mapping[str, str]:
        """Straight from the database, in no virtual time."""
        return {str(row[0]): str(row[1]) for row in self._workshop.database.query(STATUSES)}

    async def final(self, callers: Sequence[str]) -> Final:
        """Rows straight from the database; each caller's inbox through its reference poller, and its listing."""
        looks = Looks(*self.broker_address())
        inbox, listing = await look_last(
            looks.get, Dialect(), self.history.members, callers, run_s=self._simulation.time_s
        )
        looks.close()
        (row,) = self._workshop.database.query(FINAL_ROWS)
        return Final(self.now_s(), read_rows(row[0] or "{}"), inbox, listing)

    def _node(self, name: str) -> Node:
        return self._simulation.node(name.replace(":", "-"))


class _VirtualClock:
    """The broker's clock: `datetime.now` cannot be replaced from outside, `time.time` can."""

    def now(self) -> datetime:
        """The present virtual instant."""
        return datetime.fromtimestamp(time.time(), UTC)
