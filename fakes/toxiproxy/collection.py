"""All proxies of a server by name, and what the API does to them.

Theory: as in Toxiproxy, what changes the set is done one request after the other, and nothing is rolled back: what a
populate has made before its first failure stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from fakes.toxiproxy.served_proxy import Counters, ServedProxy
from fakes.toxiproxy.triggers import TrafficProtocol


class ProxyExists(Exception):
    """There is a proxy of that name."""


class ProxyNotFound(Exception):
    """There is no proxy of that name."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client asks a proxy to be."""

    name: str
    listen: str
    upstream: str
    enabled: bool = True
    protocol: TrafficProtocol | None = None


class Collection:
    """The proxies; `seed` is what all their chance comes from."""

    def __init__(self, *, seed: int, counters: Counters) -> None:
        self._seed = seed
        self._counters = counters
        self._proxies: dict[str, ServedProxy] = {}
        self._changing = asyncio.Lock()

    @property
    def proxies(self) -> Sequence[ServedProxy]:
        """By name."""
        return [self._proxies[name] for name in sorted(self._proxies)]

    def find(self, name: str) -> ServedProxy:
        """Raises ProxyNotFound."""
        if name not in self._proxies:
            raise ProxyNotFound(name)
        return self._proxies[name]

    async def create(self, wanted: Wanted) -> ServedProxy:
        """Raises ProxyExists, CannotListen."""
        async with self._changing:
            if wanted.name in self._proxies:
                raise ProxyExists(wanted.name)
            return await self._made(wanted)

    async def replace(self, wanted: Wanted) -> ServedProxy:
        """The proxy of that name if it is at these addresses, toxics and all, or else a new one. Raises AddressError,
        CannotListen."""
        async with self._changing:
            existing = self._proxies.get(wanted.name)
            if existing is not None:
                if not await existing.differs(wanted.listen, wanted.upstream):
                    return existing
                await existing.stop()
            return await self._made(wanted)

    async def update(self, name: str, listen: str | None, upstream: str | None, *, enabled: bool | None) -> ServedProxy:
        """Change a proxy; None leaves what is. Raises ProxyNotFound, AddressError, CannotListen."""
        async with self._changing:
            proxy = self.find(name)
            await proxy.update(
                proxy.listen if listen is None else listen,
                proxy.upstream if upstream is None else upstream,
                enabled=proxy.enabled if enabled is None else enabled,
            )
            return proxy

    async def remove(self, name: str) -> None:
        """Raises ProxyNotFound."""
        async with self._changing:
            await self.find(name).stop()
            del self._proxies[name]

    async def reset(self) -> None:
        """Enable every proxy and take all toxics off. Raises CannotListen."""
        async with self._changing:
            for proxy in self.proxies:
                await proxy.start()
                for listed in proxy.toxics:
                    await proxy.remove(listed.toxic.name)

    async def close(self) -> None:
        """Stop every proxy."""
        async with self._changing:
            for proxy in self.proxies:
                await proxy.stop()

    async def _made(self, wanted: Wanted) -> ServedProxy:
        proxy = ServedProxy(
            wanted.name,
            wanted.listen,
            wanted.upstream,
            protocol=wanted.protocol,
            seed=self._seed,
            counters=self._counters,
        )
        if wanted.enabled:
            await proxy.start()
        self._proxies[wanted.name] = proxy
        return proxy
