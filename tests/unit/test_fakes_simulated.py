"""The same fakes on the simulated loop: nothing of them changes, and a seed is a run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from fakes.agent import Agent, AgentSaw
from fakes.toxiproxy.proxy import Proxy
from fakes.toxiproxy.toxics import Toxic
from fakes.toxiproxy.triggers import NthRequest, NthResponse
from fakes.toxiproxy.window import apply_for
from sim.kernel import Simulation
from sim.scenario.behaviours import Behaviour, Cut, Hang, Partial, Reply, Slow

REQUEST = {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message": {"messageId": "m1"}}}
Check = Callable[[Simulation, Proxy, aiohttp.ClientSession, list[AgentSaw]], Awaitable[None]]


def play(check: Check, *behaviours: Behaviour, seed: int = 1) -> str:
    """Play `check` as the client of an agent behind a proxy, each on a machine of its own; returns the trace's hash."""

    async def main(sim: Simulation) -> None:
        seen: list[AgentSaw] = []
        agent = Agent("bob", behaviours=behaviours or (Reply(),), observe=seen.append)
        await sim.node("bob").spawn(agent.start("bob", 8000))
        proxy = Proxy("link", "link", 9000, "bob", 8000, random=sim.streams["faults"])
        await sim.node("link").spawn(proxy.start())

        async def client() -> None:
            async with aiohttp.ClientSession("http://link:9000") as session:
                await check(sim, proxy, session, seen)

        await sim.node("client").spawn(client())
        await proxy.close()
        await agent.stop()

    with Simulation(seed, horizon_s=3600) as sim:
        sim.run(main(sim))
        return sim.trace_hash()


async def post(session: aiohttp.ClientSession) -> tuple[int | None, bytes, str]:
    status, body = None, bytearray()
    try:
        async with session.post("/", json=REQUEST) as response:
            status = response.status
            async for piece in response.content.iter_any():
                body += piece
    except aiohttp.ClientError as error:
        return status, bytes(body), type(error).__name__
    return status, bytes(body), "ok"


async def everything(sim: Simulation, proxy: Proxy, session: aiohttp.ClientSession, seen: list[AgentSaw]) -> None:
    proxy.add_toxic(Toxic("latency", attributes={"latency": 500, "jitter": 400}))
    proxy.add_toxic(Toxic("slicer", attributes={"average_size": 40, "size_variation": 10, "delay": 1000}))
    proxy.add_toxic(Toxic("reset_peer", toxicity=0.3))
    for _ in range(8):
        await post(session)


def test_a_seed_is_a_run() -> None:
    hashes = [play(everything, Reply(), Slow(), Partial("half"), seed=seed) for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_durations_are_virtual_and_exact() -> None:
    async def check(sim: Simulation, proxy: Proxy, session: aiohttp.ClientSession, seen: list[AgentSaw]) -> None:
        proxy.add_toxic(Toxic("latency", attributes={"latency": 60_000}))
        before_s = sim.time_s
        assert (await post(session))[2] == "ok"
        assert 65 <= sim.time_s - before_s < 65.1

    play(check, Reply(after_s=5))


def test_a_reset_after_so_many_bytes_is_exact_for_every_seed() -> None:
    async def check(sim: Simulation, proxy: Proxy, session: aiohttp.ClientSession, seen: list[AgentSaw]) -> None:
        proxy.watch(NthResponse(1, after_bytes=20), lambda: proxy.add_toxic(Toxic("reset_peer")))
        status, body, error = await post(session)
        assert (status, len(body), error) == (200, 20, "ClientPayloadError")
        assert [each.stage for each in seen] == ["opened", "delivered", "answered"]

    for seed in range(20):
        play(check, seed=seed)


def test_a_reset_at_a_request_keeps_it_from_the_agent_for_every_seed() -> None:
    async def check(sim: Simulation, proxy: Proxy, session: aiohttp.ClientSession, seen: list[AgentSaw]) -> None:
        proxy.watch(NthRequest(1), lambda: proxy.add_toxic(Toxic("reset_peer", "upstream")))
        assert (await post(session))[2] == "ClientOSError"
        assert seen == []

    for seed in range(20):
        play(check, seed=seed)


def test_down_ends_on_the_proxys_own_machine_whoever_asks() -> None:
    async def check(sim: Simulation, proxy: Proxy, session: aiohttp.ClientSession, seen: list[AgentSaw]) -> None:
        assert (await post(session))[2] == "ok"
        apply_for(proxy, Toxic("down"), for_s=10)  # from the client's machine
        assert (await post(session))[2] in ("ServerDisconnectedError", "ClientConnectorError")
        assert (await post(session))[2] == "ClientConnectorError"
        await asyncio.sleep(10)
        assert (await post(session))[2] == "ok"
        assert {socket.owner.node.name for socket in sim.loop.sockets.values() if socket.local[1] == 9000} == {"link"}

    play(check)


def test_a_trigger_calls_back_as_the_machine_that_watches() -> None:
    async def check(sim: Simulation, proxy: Proxy, session: aiohttp.ClientSession, seen: list[AgentSaw]) -> None:
        called: list[str] = []
        proxy.watch(NthRequest(1), lambda: called.append(sim.network.running().node.name))
        await post(session)
        assert called == ["client"]

    play(check)


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (Partial(30), (200, 30, "ClientPayloadError")),
        (Partial("all"), (200, None, "ok")),
        (Partial(30, "close"), (200, 30, "ClientPayloadError")),
        (Cut(), (None, 0, "ClientOSError")),
        (Cut("before_body"), (None, 0, "ClientOSError")),
    ],
)
def test_cuts_of_the_agent_pass_through_the_proxy(
    behaviour: Behaviour, outcome: tuple[int | None, int | None, str]
) -> None:
    async def check(sim: Simulation, proxy: Proxy, session: aiohttp.ClientSession, seen: list[AgentSaw]) -> None:
        status, body, error = await post(session)
        size_bytes = outcome[1] if outcome[1] is not None else len(body)
        assert (status, len(body), error) == (outcome[0], size_bytes, outcome[2])
        assert seen[-1].stage == "cut"

    play(check, behaviour)


def test_an_agent_that_hangs_holds_up_nothing() -> None:
    async def check(sim: Simulation, proxy: Proxy, session: aiohttp.ClientSession, seen: list[AgentSaw]) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(100):
                await post(session)
        assert [each.stage for each in seen] == ["opened", "delivered"]

    play(check, Hang())
