"""What a process shares and a simulation has to own: the clocks, the random sources, `socket.socket`, and the exits.

While a simulation runs, the functions of `time`, `random`, `os.urandom` and `socket` that code under test calls are
replaced, also where a module took them by name (`from time import monotonic`, as aiohttp's connector does: its idle
connections would age in real time). Threads, processes and `time.sleep` raise `NotSimulated`. Everything is put back
when the run ends, on any way out.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sim.kernel.errors import NotSimulated
from sim.kernel.loop import SimLoop
from sim.kernel.network import Network
from sim.kernel.sockets import SimSocket, where

EPOCH_NS = 1_767_225_600_000_000_000
"""Wall-clock time at which every run begins: 2026-01-01 00:00:00 UTC."""

_REAL: dict[str, Callable[..., Any]] = {
    name: getattr(time, name)
    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep")
}
_REAL_URANDOM = os.urandom
_LEAVE_ALONE = sys.stdlib_module_names | {"_pytest", "pytest", "hypothesis", "pluggy", "sim"}
_aliases: list[tuple[Any, str, str]] = []
_modules_seen = 0


def _refuse(what: str, advice: str = "") -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise NotSimulated(what, advice)

    return refuse


_EXITS = [
    (threading.Thread, "start", _refuse("a thread (Thread.start)", "use asyncio tasks or run_in_executor")),
    (subprocess.Popen, "__init__", _refuse("a subprocess (subprocess.Popen)")),
    (socket, "socketpair", _refuse("socket.socketpair")),
]


def _find_aliases() -> list[tuple[Any, str, str]]:
    """Modules that hold a clock or `os.urandom` under a name of their own; looked for again after new imports."""
    global _modules_seen
    if len(sys.modules) != _modules_seen:
        _modules_seen = len(sys.modules)
        names = {id(function): name for name, function in _REAL.items()} | {id(_REAL_URANDOM): "urandom"}
        _aliases.clear()
        for module_name, module in list(sys.modules.items()):
            if module_name.partition(".")[0] in _LEAVE_ALONE:
                continue
            for attribute, value in list(getattr(module, "__dict__", {}).items()):
                if (name := names.get(id(value))) is not None:
                    _aliases.append((module, attribute, name))
    return _aliases


@contextmanager
def simulated_process(loop: SimLoop, network: Network) -> Iterator[None]:
    """Make this process look simulated to the code that runs inside the block."""
    epoch_ns = EPOCH_NS - loop.start_ns
    urandom = loop.streams["application"].randbytes
    fakes: dict[str, Callable[..., Any]] = {
        "time": lambda: (epoch_ns + loop.now_ns) * 1e-9,
        "time_ns": lambda: epoch_ns + loop.now_ns,
        "monotonic": loop.time,
        "monotonic_ns": lambda: loop.now_ns,
        "perf_counter": loop.time,
        "perf_counter_ns": lambda: loop.now_ns,
        "sleep": _refuse("time.sleep", "use asyncio.sleep"),
        "urandom": urandom,
    }
    swaps: list[tuple[Any, str, Any]] = [(time, name, fakes[name]) for name in _REAL]
    swaps += [(module, attribute, fakes[name]) for module, attribute, name in _find_aliases()]
    swaps += [
        (os, "urandom", urandom),
        (random, "_urandom", urandom),
        (socket, "socket", SimSocket),
        (socket, "getaddrinfo", loop.resolve),
        (where, "network", network),
        *_EXITS,
    ]
    before = [(holder, name, holder.__dict__.get(name)) for holder, name, _ in swaps]
    try:
        for holder, name, fake in swaps:
            setattr(holder, name, fake)
        yield
    finally:
        for holder, name, real in before:
            if real is None:
                delattr(holder, name)
            else:
                setattr(holder, name, real)


@contextmanager
def seeded_random(loop: SimLoop) -> Iterator[None]:
    """Let the generator that `random`'s functions share be the simulation's own, for the length of the block."""
    before = random.getstate()
    # Drawn, so that a second run of the same simulation does not repeat the first one's numbers.
    random.seed(loop.streams["application"].getrandbits(64))
    try:
        yield
    finally:
        random.setstate(before)
