"""One simulated world: a loop, a network, nodes, and the seed from which all of it follows."""

from __future__ import annotations

import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

from sim.kernel.entropy import Streams
from sim.kernel.loop import SimLoop
from sim.kernel.network import Network
from sim.kernel.nodes import RUNNING, Node
from sim.kernel.patches import seeded_random, simulated_process

T = TypeVar("T")

DEFAULT_HORIZON_S = 30 * 24 * 3600.0
_BOOT_NS = 1_000_000_000_000


class Simulation:
    """A world that plays code in virtual time: same code and same seed, same trace.

    `horizon_s` bounds a run in virtual seconds; reaching it raises `HorizonReached`.
    """

    def __init__(self, seed: int | str, *, horizon_s: float = DEFAULT_HORIZON_S) -> None:
        self.streams = Streams(seed)
        # Not a whole second, because libraries that round deadlines would meet on whole seconds.
        start_ns = _BOOT_NS + self.streams["schedule"].randrange(1_000_000_000)
        self.loop = SimLoop(self.streams, start_ns=start_ns, horizon_ns=int(horizon_s * 1e9))
        self.network = Network(self.loop)
        self._nodes: dict[str, Node] = {}
        self.harness = self.node("harness")

    def node(self, name: str) -> Node:
        """The machine called `name`, made (and named in the simulated DNS) when first asked for."""
        node = self._nodes.get(name)
        if node is None:
            node = self._nodes[name] = Node(self.loop, name, self.network.add_host(name))
        return node

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Play `main` on the node `harness` to its end and return its result.

        Raises what `main` raises; `Deadlock`, `HorizonReached` or `Livelock` when the world hangs.
        """
        collecting = gc.isenabled()
        gc.disable()
        token = RUNNING.set(self.harness.incarnation)
        try:
            with simulated_process(self.loop, self.network), seeded_random(self.loop):
                return self.loop.run_until_complete(main)
        finally:
            RUNNING.reset(token)
            if collecting:
                gc.enable()

    def close(self) -> None:
        """Throw the world away; what still runs in it is dropped."""
        with simulated_process(self.loop, self.network):
            self.loop.discard()

    @property
    def time_s(self) -> float:
        """Virtual seconds since the world began."""
        return self.loop.elapsed_s()

    def trace_hash(self) -> str:
        """Digest of every segment delivered so far and its instant."""
        return self.loop.trace.hexdigest()

    def __enter__(self) -> Simulation:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()
