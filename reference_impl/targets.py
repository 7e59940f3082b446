"""Which addresses the broker may talk to, and their lookup (INV-17).

Every address that a name resolves to is checked. The connector resolves through the same object again when it
connects, so a name cannot be harmless when checked and internal when used.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Judged = tuple[_Address, bool]
_HOSTS_KNOWN = 1024

# Nowhere can an agent live here: link-local (with the metadata services of clouds), documentation (TEST-NETs),
# carrier NAT, multicast, unspecified, reserved. `fd00:ec2::254` is a metadata service among private addresses.
_NEVER = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4", "::/128", "2001:db8::/32", "fd00:ec2::254/128", "fe80::/10", "ff00::/8",
    )
)  # fmt: skip
# IPv6 forms that stand for the IPv4 address in their last four bytes: mapped, compatible, translated (NAT64).
_IPV4_WITHIN = tuple(ipaddress.ip_network(network) for network in ("::ffff:0:0/96", "::/96", "64:ff9b::/96"))


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
        literal = _judged(host)
        if literal is None:
            await self.resolve(host, port, socket.AF_UNSPEC)
        else:
            self._admit(literal)

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
            literal = _judged(address.partition("%")[0])
            assert literal is not None, "a name resolves to addresses"
            self._admit(literal)
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

    def _admit(self, literal: _Judged) -> None:
        plain, may_be_ever = literal
        if not may_be_ever:
            raise UnsafeTarget(f"{plain} is no agent's address")
        if not (self._allow_loopback or plain.is_global):
            raise UnsafeTarget(f"{plain} is not publicly routable")


@functools.lru_cache(_HOSTS_KNOWN)
def _judged(host: str) -> _Judged | None:
    """The address that `host` stands for, and whether an agent can live there at all; None for a name."""
    try:
        plain = _meant(ipaddress.ip_address(host))
    except ValueError:
        return None
    return plain, not any(plain in network for network in _NEVER if network.version == plain.version)


def _meant(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 address leads to, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.sixtofour is not None:
        return address.sixtofour
    own = int(address) <= 1  # unspecified and loopback, which are no forms of 0.0.0.0 and 0.0.0.1
    if not own and any(address in network for network in _IPV4_WITHIN):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
