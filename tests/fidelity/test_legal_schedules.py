"""Only legal schedules: correct programs (they hold on asyncio's own loop) stay correct with every seed."""

from __future__ import annotations

import asyncio

import pytest

from sim.kernel import Simulation

from . import legal_programs_together
from .legal_programs import PROGRAMS

MODULES = (legal_programs_together,)  # importing it enters its programs

SEEDS = 500
_PATIENCE_S = 20.0


async def _play(name: str) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        await PROGRAMS[name]()


@pytest.mark.parametrize("name", PROGRAMS)
def test_holds_on_asyncios_own_loop(name: str) -> None:
    asyncio.run(_play(name))


@pytest.mark.parametrize("name", PROGRAMS)
def test_holds_with_every_seed(name: str) -> None:
    for seed in range(SEEDS):
        with Simulation(seed) as sim:
            try:
                sim.run(_play(name))
            except BaseException as error:
                error.add_note(f"with seed {seed}")
                raise


@pytest.mark.parametrize("name", ["bytes_arrive_complete_and_in_order", "lines_arrive_in_order_on_each_connection"])
def test_seeds_differ_and_repeat(name: str) -> None:
    def trace(seed: int) -> str:
        with Simulation(seed) as sim:
            sim.run(_play(name))
            return sim.trace_hash()

    traces = [trace(seed) for seed in range(20)]
    assert len(set(traces)) == 20, "programs that always run alike prove nothing"
    assert [trace(seed) for seed in range(20)] == traces


def test_seeds_decide_ties_between_nodes_and_only_those() -> None:
    async def note(seen: list[str], name: str, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        fired = loop.create_future()
        for number in (1, 2):
            loop.call_at(deadline, seen.append, f"{name}{number}")
        loop.call_at(deadline, fired.set_result, None)
        await fired

    async def race(sim: Simulation) -> list[str]:
        seen: list[str] = []
        deadline = asyncio.get_running_loop().time() + 1.0
        tasks = [sim.node(name).spawn(note(seen, name, deadline)) for name in ("a", "b")]
        await asyncio.gather(*tasks)
        return seen

    orders = set()
    for seed in range(50):
        with Simulation(seed) as sim:
            orders.add(tuple(sim.run(race(sim))))
    assert orders == {("a1", "a2", "b1", "b2"), ("b1", "b2", "a1", "a2")}
