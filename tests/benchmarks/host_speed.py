"""How quick this host is, beside the one on which the targets in milliseconds and worlds a second were set.

A target of that kind says something about a program only on the host that it was measured on. There, stock aiohttp on
stock asyncio, both ends of one loopback connection on one core, did 6,100 GETs and 4,300 POSTs of a small JSON body in
a second of CPU. The same is asked of this host, in turns with what is measured, in a process of its own, which nothing
of ours has touched. It is much like a world: HTTP, JSON, asyncio, and system calls.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from statistics import median
from time import process_time

from aiohttp import ClientSession, web

from tests.benchmarks.figures import Figure

REFERENCE = (6100.0, 4300.0)
"""GETs and POSTs in a second of CPU."""

_ROOT = Path(__file__).parents[2]
_WARM_UP = 50


def of(cores: Sequence[int], *, requests: int) -> float:
    """The speed of these cores, all busy at once, against the reference: 1 is as quick. `requests` of each kind."""
    program = [sys.executable, "-m", "tests.benchmarks.host_speed", str(requests)]
    running = [subprocess.Popen([*program, str(core)], cwd=_ROOT, stdout=subprocess.PIPE) for core in cores]
    rates = [json.loads(process.communicate()[0]) for process in running]
    each = [sqrt(gets / REFERENCE[0] * posts / REFERENCE[1]) for gets, posts in rates]
    return sum(each) / len(each)


def figure(speeds: Sequence[float]) -> Figure:
    """How quick the host was meanwhile."""
    spread = f"{min(speeds):.2f} to {max(speeds):.2f} meanwhile"
    return Figure("this host's speed, by stock aiohttp", median(speeds), "times", note=spread)


def twice(name: str, here: float, there: float, unit: str, **target: float) -> list[Figure]:
    """A figure as it was measured, and as it would be on a host of the reference's speed."""
    return [Figure(name, here, unit, **target), Figure("  on a host of the reference's speed", there, unit, **target)]


async def _rates(requests: int) -> tuple[float, float]:
    """GETs and POSTs in a second of CPU."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"got": await request.json() if request.can_read_body else None})

    application = web.Application()
    application.router.add_get("/", answer)
    application.router.add_post("/", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    (address,) = runner.addresses
    url = f"http://127.0.0.1:{address[1]}/"
    async with ClientSession() as session:

        async def ask(method: str, body: object, count: int) -> float:
            begun_s = process_time()
            for _ in range(count):
                async with session.request(method, url, json=body) as reply:
                    await reply.json()
            return count / (process_time() - begun_s)

        await ask("POST", {"task": 1}, _WARM_UP)
        rates = await ask("GET", None, requests), await ask("POST", {"task": 1}, requests)
    await runner.cleanup()
    return rates


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(sys.argv[2])})
    print(json.dumps(asyncio.run(_rates(int(sys.argv[1])))))
