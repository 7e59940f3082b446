"""Which addresses the broker may talk to, and their lookup (INV-17).

Every address that a name resolves to is checked. The connector resolves through the same object again when it
connects, so a name cannot be harmless when checked and internal when used.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

_SHARED = ipaddress.ip_network("100.64.0.0/10")


class UnsafeTarget(OSError):
    """The URL, or an address behind it, is not one that the broker contacts."""


class TargetResolver(AbstractResolver):
    """Resolves names to allowed addresses. `allow_loopback` admits loopback and private ones."""

    def __init__(self, *, allow_loopback: bool) -> None:
        self._allow_loopback = allow_loopback

    async def check(self, url: str) -> None:
        """Raise `UnsafeTarget` if the URL may not be contacted, `OSError` if its host is not found."""
        try:
            parsed = URL(url)
            host, port = parsed.raw_host, parsed.port
        except ValueError:
            raise UnsafeTarget("not a URL") from None
        if parsed.scheme not in ("http", "https") or not host or port is None:
            raise UnsafeTarget("not an http or https URL with a host")
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            await self.resolve(host, port, socket.AF_UNSPEC)
        else:
            self._admit(address)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        except UnicodeError:
            raise UnsafeTarget("not a host name") from None
        results: list[ResolveResult] = []
        for found_family, _, proto, _, sockaddr in found:
            address = str(sockaddr[0])
            self._admit(ipaddress.ip_address(address.partition("%")[0]))
            results.append(
                ResolveResult(
                    hostname=host,
                    host=address,
                    port=port,
                    family=found_family,
                    proto=proto,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
        return results

    async def close(self) -> None:
        """Nothing is held."""

    def _admit(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
        plain = getattr(address, "ipv4_mapped", None) or address
        if plain.is_link_local or plain.is_multicast or plain.is_unspecified:
            raise UnsafeTarget(f"{plain} is no agent's address")
        if not self._allow_loopback and (not plain.is_global or plain in _SHARED):
            raise UnsafeTarget(f"{plain} is not publicly routable")
