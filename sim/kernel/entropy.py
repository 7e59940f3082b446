"""Named random streams, all derived from one seed.

One stream a consumer, so that one more draw of one consumer does not reshuffle the others: a fault plan stays the same
when a segment more crosses the network.
"""

from __future__ import annotations

import hashlib
import random
from typing import Literal, TypeAlias

Stream: TypeAlias = Literal["network", "schedule", "faults", "application"]


def derive(seed: int | str, name: str) -> int:
    """A 64-bit seed for the stream `name` of a run."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest(), "big")


class Streams:
    """The random streams of one run, made when first asked for."""

    def __init__(self, seed: int | str) -> None:
        self.seed = seed
        self._made: dict[str, random.Random] = {}

    def __getitem__(self, name: Stream) -> random.Random:
        stream = self._made.get(name)
        if stream is None:
            stream = self._made[name] = random.Random(derive(self.seed, name))
        return stream
