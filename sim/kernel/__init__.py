"""The simulation kernel: virtual time, a network in memory, nodes that can die, and one seed for all of it.

| module | what lives there |
|---|---|
| `simulation` | `Simulation`, the whole world in one object |
| `loop`, `readiness`, `fences` | the virtual-time event loop: clock, queue, dispatch; what is not simulated |
| `sockets` | `SimSocket`: a non-blocking TCP socket with Linux's semantics |
| `network` | names, handshakes, latency, order, delivery |
| `nodes` | machines and their incarnations: kill, restart, pause |
| `entropy`, `trace` | random streams from one seed; the hash of what was delivered |
| `patches` | clocks, random sources and exits of the process while a run lasts |
| `unfinished` | where tasks wait when a run hangs or ends, and how they are closed |
| `postgres_gateway` | a real Postgres, reached from inside the simulation |

The kernel knows nothing of brokers, scenarios or HTTP.
"""

from sim.kernel.errors import (
    Deadlock,
    HorizonReached,
    Livelock,
    NotSimulated,
    OutsideFailure,
    SimulationHang,
)
from sim.kernel.nodes import Node
from sim.kernel.simulation import Simulation

__all__ = [
    "Deadlock",
    "HorizonReached",
    "Livelock",
    "Node",
    "NotSimulated",
    "OutsideFailure",
    "Simulation",
    "SimulationHang",
]
