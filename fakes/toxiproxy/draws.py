"""Where a proxy's chance comes from.

Theory: one generator for all connections repeats only where the order of all events does, as on a simulated loop. On
real sockets connections race, so there each connection and stream has a generator of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeAlias

from fakes.toxiproxy.toxics import Stream, Toxic

Draws: TypeAlias = Callable[[int, Stream], random.Random]
"""The generator for the nth connection and one of its streams."""


def always(source: random.Random) -> Draws:
    """The same generator for all."""
    return lambda connection, stream: source


class Drawing:
    """The generators of one connection, made when they are needed."""

    __slots__ = ("_draws", "_made", "_number")

    def __init__(self, draws: Draws, number: int) -> None:
        self._draws = draws
        self._number = number
        self._made: dict[Stream, random.Random] = {}

    def of(self, toxic: Toxic) -> random.Random:
        """The generator of the stream that a toxic acts on."""
        if toxic.stream not in self._made:
            self._made[toxic.stream] = self._draws(self._number, toxic.stream)
        return self._made[toxic.stream]

    def strikes(self, toxic: Toxic) -> bool:
        """Whether a toxic strikes this connection; drawn at each call."""
        return self.of(toxic).random() < toxic.toxicity
