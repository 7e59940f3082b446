"""What a broker tells of its work where its tables cannot be read: the listings of its callers, looked at often.

A listing holds the newest 50 of a caller, so none of them has all of a load. But a state that is terminal stays
(INV-34): seen once, it is known for good. What was never seen to end, and is not in the last look, is not known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sim.history import Member
from sim.worlds.dialect import Dialect
from sim.worlds.last_look import NotAsAgreed, get_once, read_listing
from sim.worlds.live.under_test import Address

TERMINAL = ("completed", "failed")
_OPEN = ("pending", "dispatched", "in_progress")
_WITHIN_S = 10.0


class Listings:
    """Reads them past all links, and keeps the latest that was told of each delegation."""

    def __init__(
        self, address: Address, dialect: Dialect, members: Mapping[str, Member], callers: Sequence[str]
    ) -> None:
        self._address, self._dialect = address, dialect
        self._members, self._callers = members, callers
        self._told: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self._latest: set[str] = set()

    async def waiting(self) -> tuple[int, int] | None:
        """How many delegations the listings have under way, and how many as queued; None if one was not answered."""
        seen: dict[str, tuple[str, Mapping[str, Any]]] = {}
        for name in self._callers:
            try:
                entries = await read_listing(self._get, self._dialect, self._members[name])
            except NotAsAgreed:
                entries = None
            if entries is None:
                return None
            for entry in entries:
                if identity := entry.get("delegation_id"):
                    seen[str(identity)] = name, {key: entry.get(key) for key in _KEPT}
        self._told.update(seen)
        self._latest = set(seen)
        statuses = [str(entry["status"]) for _, entry in seen.values()]
        return sum(status in _OPEN for status in statuses), statuses.count("queued")

    def known(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Id, caller and entry of each delegation whose state is known at the end."""
        for identity, (caller, entry) in self._told.items():
            if identity in self._latest or entry["status"] in TERMINAL:
                yield identity, caller, entry

    async def _get(self, path: str, headers: Mapping[str, str]) -> tuple[int, Any]:
        async with asyncio.timeout(_WITHIN_S):
            return await get_once(*self._address, path, headers)


_KEPT = ("delegation_id", "status", "source_id", "target_id")
