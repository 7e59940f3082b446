"""The simulated world: broker, agents, clients and fault proxies as nodes of one `Simulation`, on a real Postgres.

A `Workshop` is what a worker process keeps between worlds (warm backends, a database, imported code); a world is made
and thrown away for each run. A link gets a fault proxy only where the scenario needs one.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg.connection
from aiohttp.http import WebSocketWriter

from fakes.agent import Agent, AgentSaw
from fakes.toxiproxy.proxy import Proxy
from reference_impl.app import Broker
from reference_impl.config import Config
from sim.history import Contact, Final, Flags, History, Member, ModeRead, Row
from sim.invariants.verdict import Judgement, judge
from sim.kernel import Node, Simulation, SimulationHang
from sim.kernel.patches import EPOCH_NS
from sim.kernel.postgres_gateway import Backends, Database, Gateway
from sim.scenario.model import AddToxic, Scenario, Trigger, Workspace
from sim.worlds.links import Links, links_of
from sim.worlds.mode_reads import ModeReadObserver
from sim.worlds.play import Player
from sim.worlds.world import Undo
