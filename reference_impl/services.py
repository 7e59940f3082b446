"""What the HTTP handlers work with: the parts of one running broker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from reference_impl.acceptance import Acceptance
from reference_impl.activity import ActivityLog
from reference_impl.auth import Guard
from reference_impl.background import Background
from reference_impl.clock import Clock
from reference_impl.config import Config
from reference_impl.drain import Drain
from reference_impl.events import EventFactory, Watchers
from reference_impl.liveness import Liveness
from reference_impl.metrics import Metrics
from reference_impl.outcome import Outcomes
from reference_impl.proxy import Proxy
from reference_impl.silence import Silence
from reference_impl.store import Store
from reference_impl.targets import TargetResolver


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts of one broker."""

    config: Config
    clock: Clock
    new_id: Callable[[], str]
    store: Store
    background: Background
    events: EventFactory
    watchers: Watchers
    guard: Guard
    resolver: TargetResolver
    proxy: Proxy
    outcomes: Outcomes
    acceptance: Acceptance
    activity: ActivityLog
    liveness: Liveness
    silence: Silence
    metrics: Metrics
    drain: Drain


SERVICES = web.AppKey("SERVICES", Services)
