"""The load: clients that delegate one after another, an agent that answers them all, and what was measured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import quantiles
from time import perf_counter

import aiohttp
from aiohttp import web

from fakes.agent import Agent, AgentSaw
from sim.scenario.behaviours import Behaviour

CLIENTS = 32
COMPLETE_WITHIN_S = 300


@dataclass(slots=True)
class Accepted:
    """How long the answers to `delegate` took, in seconds."""

    latencies_s: list[float] = field(default_factory=list)

    def percentile_s(self, percent: int) -> float:
        """Below it are `percent` of a hundred answers."""
        return quantiles(self.latencies_s, n=100)[percent - 1]


class CountingAgent:
    """A fake agent that tells when `wanted` requests have reached it whole."""

    def __init__(self, behaviours: Sequence[Behaviour], *, wanted: int = 0) -> None:
        self.reached = asyncio.Event()
        self._wanted = wanted
        self._agent = Agent("bob", behaviours=behaviours, observe=self._saw)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Its URL, for the length of the block."""
        await self._agent.start("127.0.0.1")
        try:
            yield f"http://127.0.0.1:{self._agent.port}/"
        finally:
            await self._agent.stop()

    def _saw(self, saw: AgentSaw) -> None:
        self._wanted -= saw.stage == "delivered"
        if self._wanted == 0:
            self.reached.set()


async def delegate_all(port: int, callers: Sequence[str], targets: Sequence[str], *, count: int) -> Accepted:
    """Have `count` delegations accepted, by `CLIENTS` clients, from all callers to all targets in turn.

    Raises RuntimeError for an answer other than 202.
    """
    accepted = Accepted()
    left = iter(range(count))

    async def client(session: aiohttp.ClientSession) -> None:
        for number in left:
            caller, target = callers[number % len(callers)], targets[number % len(targets)]
            url = f"http://127.0.0.1:{port}/workspaces/{caller}/delegate"
            body = {"target_id": target, "task": "write the tests " * 8}
            begun_s = perf_counter()
            async with session.post(url, json=body) as response:
                answer = await response.read()
            if response.status != web.HTTPAccepted.status_code:
                raise RuntimeError(f"delegate was answered {response.status} {answer.decode(errors='replace')}")
            accepted.latencies_s.append(perf_counter() - begun_s)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(client(session) for _ in range(CLIENTS)))
    return accepted
