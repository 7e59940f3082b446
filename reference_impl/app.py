"""One broker: its parts put together, started in order and stopped in time."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from typing import Any

from aiohttp import web

from reference_impl.acceptance import Acceptance
from reference_impl.activity import ActivityLog
from reference_impl.agent_client import AgentClient
from reference_impl.auth import Guard
from reference_impl.background import Background
from reference_impl.clock import Clock, SystemClock
from reference_impl.config import Config
from reference_impl.drain import Drain
from reference_impl.events import EventFactory, Watchers
from reference_impl.executor import Executor
from reference_impl.http import rate_limit, routes
from reference_impl.http.common import REQUEST_BYTES_MAX, errors_as_json
from reference_impl.http.metrics import counted
from reference_impl.inbound import Inbound
from reference_impl.leftovers import read_leftovers
from reference_impl.liveness import Liveness
from reference_impl.metrics import Metrics
from reference_impl.outcome import Outcomes
from reference_impl.proxy import Proxy
from reference_impl.queue import Queue
from reference_impl.recovery import Recovery
from reference_impl.retention import Retention
from reference_impl.services import SERVICES, Services
from reference_impl.silence import Silence
from reference_impl.store import Store
from reference_impl.sweeper import Sweeper
from reference_impl.targets import TargetResolver


class Broker:
    """A delegation broker on one event loop. `new_id` returns a new UUID as text."""

    def __init__(self, config: Config, *, clock: Clock | None = None, new_id: Callable[[], str] | None = None) -> None:
        self._config = config
        self._clock = clock or SystemClock()
        self._new_id = new_id or (lambda: str(uuid.uuid4()))
        self._background = Background()
        self._watchers = Watchers()
        self._silence = Silence(watchers=self._watchers, usual_s=config.idle_timeout_s)
        self._metrics = Metrics(watchers=lambda: len(self._watchers))
        # What has been opened, to be closed in reverse; empty before `start` and after `stop`.
        self._opened = contextlib.AsyncExitStack()
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port that the broker listens on. Raises `RuntimeError` before `start`."""
        if self._runner is None or not self._runner.addresses:
            raise RuntimeError("the broker does not listen; await start() first")
        return int(self._runner.addresses[0][1])

    async def serve(self, stopping: asyncio.Event, *, on_listening: Callable[[], None] = lambda: None) -> None:
        """Start, and stop when `stopping` is set, even while still starting. Raises what `start` raises."""
        starting = asyncio.ensure_future(self.start())
        waiting = asyncio.ensure_future(stopping.wait())
        try:
            # The database may stay away for long; a signal ends the wait for it too.
            await asyncio.wait([starting, waiting], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                on_listening()
                await waiting
        except (Exception, asyncio.CancelledError):
            await self._give_up(starting, waiting)
            raise
        await self._give_up(starting, waiting)

    async def _give_up(self, starting: asyncio.Future[None], waiting: asyncio.Future[Any]) -> None:
        starting.cancel()
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await starting
        await self.stop()

    async def start(self) -> None:
        """Connect, recover, sweep, then listen. While the database is away, keep trying."""
        config, opened = self._config, self._opened
        store = await Store.open(
            config.database_url,
            timeout_s=config.database_timeout_s,
            size=config.database_pool_size,
            on_retry=self._metrics.database_retried,
        )
        opened.push_async_callback(store.close)
        if config.migrate:
            await store.migrate()
        resolver = TargetResolver(allow_loopback=config.allow_loopback)
        agents = AgentClient(
            resolver=resolver,
            silence=self._silence,
            connect_timeout_s=config.connect_timeout_s,
            on_attempt=self._metrics.attempt_ended,
        )
        opened.push_async_callback(agents.close)
        # Once more at the very end, for what a last request began.
        opened.push_async_callback(self._background.drain, 0)
        services, recovery, sweeper = self._assemble(store, resolver, agents)
        retention = Retention(config=config, store=store, clock=self._clock)
        runner = _runner(services)
        await runner.setup()
        opened.push_async_callback(self._wind_down, runner)
        left = await store.persist(lambda connection: read_leftovers(connection, at=self._clock.now()))
        if left.open:
            await recovery.recover()
        if left.queued:
            await services.drain.recover()
        if left.overdue:
            await sweeper.fail_overdue()
        for name, work in (
            ("patrol", recovery.patrol()),
            ("drain", services.drain.sweep()),
            ("sweeper", sweeper.run()),
            ("retention", retention.run()),
        ):
            opened.push_async_callback(_end, asyncio.create_task(work, name=name))
        # Listening comes last: nobody can ask before everything is in order.
        await web.TCPSite(runner, config.host, config.port).start()
        self._runner = runner

    async def stop(self) -> None:
        """Stop accepting, give running executions their grace, then close whatever happens.

        What is cut off here is what recovery finds at the next start. Stopping again does nothing.
        """
        await self._opened.aclose()

    async def _wind_down(self, runner: web.AppRunner) -> None:
        self._watchers.dismiss()
        await asyncio.gather(runner.cleanup(), self._background.drain(self._config.grace_s))

    def _assemble(
        self, store: Store, resolver: TargetResolver, agents: AgentClient
    ) -> tuple[Services, Recovery, Sweeper]:
        config, clock, new_id = self._config, self._clock, self._new_id
        watchers, background, metrics = self._watchers, self._background, self._metrics
        event_factory = EventFactory(clock, new_id)
        outcomes = Outcomes(
            config=config, store=store, events=event_factory, watchers=watchers, metrics=metrics, new_id=new_id
        )
        held = Queue(store=store, clock=clock, new_id=new_id)
        proxy = Proxy(
            store=store,
            agents=agents,
            resolver=resolver,
            inbound=Inbound(
                store=store,
                background=background,
                events=event_factory,
                watchers=watchers,
                clock=clock,
                patience_s=config.database_timeout_s,
                new_id=new_id,
            ),
            events=event_factory,
            watchers=watchers,
            queue=held,
            connect_timeout_s=config.connect_timeout_s,
            new_id=new_id,
        )
        executor = Executor(
            config=config,
            store=store,
            proxy=proxy,
            outcomes=outcomes,
            events=event_factory,
            watchers=watchers,
            background=background,
            queue=held,
            new_id=new_id,
        )
        drain = Drain(
            config=config,
            store=store,
            queue=held,
            proxy=proxy,
            outcomes=outcomes,
            background=background,
            clock=clock,
            new_id=new_id,
        )
        recovery = Recovery(
            store=store,
            executor=executor,
            outcomes=outcomes,
            patrol_interval_s=config.recovery_interval_s,
        )
        acceptance = Acceptance(
            config=config,
            store=store,
            executor=executor,
            recovery=recovery,
            events=event_factory,
            watchers=watchers,
            metrics=metrics,
            clock=clock,
            new_id=new_id,
        )
        liveness = Liveness(config=config, store=store, events=event_factory, watchers=watchers, background=background)
        self._opened.callback(liveness.stop)
        metrics.executions = lambda: executor.running
        services = Services(
            config=config,
            clock=clock,
            new_id=new_id,
            store=store,
            background=background,
            events=event_factory,
            watchers=watchers,
            guard=Guard(config=config, store=store),
            resolver=resolver,
            proxy=proxy,
            outcomes=outcomes,
            acceptance=acceptance,
            activity=ActivityLog(store=store, events=event_factory, watchers=watchers),
            liveness=liveness,
            silence=self._silence,
            metrics=metrics,
            drain=drain,
        )
        sweeper = Sweeper(config=config, store=store, executor=executor, outcomes=outcomes, clock=clock)
        return services, recovery, sweeper


def _runner(services: Services) -> web.AppRunner:
    app = web.Application(middlewares=[counted, errors_as_json], client_max_size=REQUEST_BYTES_MAX)
    app[SERVICES] = services
    if not services.config.fails_open:
        rate_limit.install(app, services.config)
    routes.add_routes(app)
    # A client that hangs up cancels its handler. What must survive that is detached.
    # aiohttp waits for so long twice: before and after it stops reading what a request still has to send.
    patience_s = services.config.grace_s / 2
    return web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=patience_s)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
