"""Which broker that is not ours is played against, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from sim.adapter.model import Adapter


@dataclass(frozen=True, slots=True)
class Foreign:
    """Which broker, and what is known of it. `prefix`: what stands before every path. `token`: what lets clients in.

    `database_url`: where its tables can be read. `quiet_s`: before the adapter's. `options`: what names all this on
    the command line.
    """

    host: str
    port: int
    prefix: str = ""
    adapter: Adapter = field(default_factory=Adapter)
    token: str = ""
    database_url: str = ""
    quiet_s: float | None = None
    options: str = ""
