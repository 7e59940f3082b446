"""The differential suite: every situation plays on real loopback sockets and on the simulated network, to equal ends.

This is the contract of the network model. Real outcomes are taken once a session; the simulated ones with both ends on
one machine and on two, each with several seeds, because latencies and segmentation may not show.
"""

from __future__ import annotations

import asyncio
import functools
import logging

import pytest

from sim.kernel import Simulation

from . import (
    situations_connect,
    situations_flow_control,
    situations_http,
    situations_http_cuts,
    situations_http_endings,
    situations_protocols,
    situations_proxy,
    situations_sockets,
    situations_streams,
    situations_websockets,
)
from .stage import SITUATIONS, Observations, Stage

# Importing these modules enters their situations.
MODULES = (
    situations_connect,
    situations_flow_control,
    situations_http,
    situations_http_cuts,
    situations_http_endings,
    situations_protocols,
    situations_proxy,
    situations_sockets,
    situations_streams,
    situations_websockets,
)
# Situations end with connections open on purpose; the loop closes them.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
SEEDS = (1, 2, 3)
_REAL_PATIENCE_S = 20.0
_SIMULATED_PATIENCE_S = 600.0


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Situations provoke errors that libraries log; the observations say all that matters."""
    caplog.set_level(logging.CRITICAL + 1)


async def _play(name: str, stage: Stage, patience_s: float) -> Observations:
    async with asyncio.timeout(patience_s):
        return await SITUATIONS[name](stage)


@functools.cache
def real_outcome(name: str) -> Observations:
    """What the situation observes on real sockets, on a fresh loop of asyncio's own."""
    stage = Stage(host="127.0.0.1", listen_host="127.0.0.1", pause_s=0.001, spawn=asyncio.ensure_future)
    return asyncio.run(_play(name, stage, _REAL_PATIENCE_S))


def simulated_outcome(name: str, *, machines: int, seed: int) -> Observations:
    """What the situation observes on the simulated network."""
    with Simulation(seed) as sim:
        if machines == 1:
            stage = Stage(host="127.0.0.1", listen_host="127.0.0.1", pause_s=0.05, spawn=sim.loop.create_task)
        else:
            stage = Stage(host="server", listen_host="0.0.0.0", pause_s=0.05, spawn=sim.node("server").spawn)
        return sim.run(_play(name, stage, _SIMULATED_PATIENCE_S))


def test_there_are_many_situations_and_each_observes_something_or_says_why_not() -> None:
    assert len(SITUATIONS) >= 200
    # A request that never got whole is never handled: nothing is what there is to observe.
    silent = {name for name in SITUATIONS if not real_outcome(name)}
    assert silent == {
        f"request_cut_{point}_by_{how}"
        for point in ("before_anything", "inside_request_line", "inside_headers")
        for how in ("FIN", "RST")
    }


@pytest.mark.parametrize("machines", [1, 2])
@pytest.mark.parametrize("name", SITUATIONS)
def test_situation(name: str, machines: int) -> None:
    expected = real_outcome(name)
    for seed in SEEDS:
        assert simulated_outcome(name, machines=machines, seed=seed) == expected, f"with seed {seed}"
