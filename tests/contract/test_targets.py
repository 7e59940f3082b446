"""Which addresses the broker contacts: a table of addresses and of names (INV-17)."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from reference_impl.targets import TargetResolver, UnsafeTarget

PUBLIC = "93.184.216.34"
# Host in a URL -> is it contacted: in production, with loopback allowed.
HOSTS: dict[str, tuple[bool, bool]] = {
    PUBLIC: (True, True),
    "[2606:2800:220:1:248:1893:25c8:1946]": (True, True),
    "127.0.0.1": (False, True),
    "127.8.9.10": (False, True),
    "[::1]": (False, True),
    "10.1.2.3": (False, True),
    "172.16.0.1": (False, True),
    "172.32.0.1": (True, True),
    "192.168.1.1": (False, True),
    "[fd12:3456::1]": (False, True),
    "[fc00::1]": (False, True),
    "198.18.0.1": (False, True),
    "0.0.0.0": (False, False),
    "[::]": (False, False),
    "169.254.169.254": (False, False),
    "169.254.0.1": (False, False),
    "[fe80::1]": (False, False),
    "[fd00:ec2::254]": (False, False),
    "100.64.0.1": (False, False),
    "100.127.255.255": (False, False),
    "100.128.0.1": (True, True),
    "192.0.2.1": (False, False),
    "198.51.100.1": (False, False),
    "203.0.113.1": (False, False),
    "[2001:db8::1]": (False, False),
    "224.0.0.1": (False, False),
    "[ff02::1]": (False, False),
    "255.255.255.255": (False, False),
    "240.0.0.1": (False, False),
    "[::ffff:127.0.0.1]": (False, True),
    "[::ffff:169.254.169.254]": (False, False),
    f"[::ffff:{PUBLIC}]": (True, True),
    "[64:ff9b::169.254.169.254]": (False, False),
    "[64:ff9b::10.0.0.1]": (False, True),
    f"[64:ff9b::{PUBLIC}]": (True, True),
    "[2002:a9fe:a9fe::1]": (False, False),
    "[2002:7f00:1::1]": (False, True),
    "[::127.0.0.1]": (False, True),
    "[::169.254.169.254]": (False, False),
    # What the C library reads as an IPv4 address.
    "2130706433": (False, True),
    "2852039166": (False, False),
    "0x7f.1": (False, True),
    "0177.0.0.1": (False, True),
    "127.1": (False, True),
    "good@127.0.0.1": (False, True),
    "localhost": (False, True),
}


async def verdict(url: str, *, allow_loopback: bool) -> bool:
    try:
        await TargetResolver(allow_loopback=allow_loopback).check(url)
    except UnsafeTarget:
        return False
    return True


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("allow_loopback", [False, True])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_addresses(host: str, allow_loopback: bool, scheme: str) -> None:
    contacted = asyncio.run(verdict(f"{scheme}://{host}:8080/a2a", allow_loopback=allow_loopback))
    assert contacted == HOSTS[host][allow_loopback]


@pytest.mark.parametrize(
    "url", ["", "http://", "http:///path", "ftp://93.184.216.34/", "file:///etc/passwd", "//93.184.216.34/", "http://["]
)
def test_only_http_and_https_with_a_host(url: str) -> None:
    assert not asyncio.run(verdict(url, allow_loopback=True))


@pytest.mark.parametrize(
    ("addresses", "contacted"),
    [
        ([PUBLIC], True),
        ([PUBLIC, "8.8.8.8"], True),
        ([PUBLIC, "127.0.0.1"], False),
        (["10.0.0.1", PUBLIC], False),
        ([PUBLIC, "::ffff:10.0.0.1"], False),
        ([PUBLIC, "fe80::1%1"], False),
    ],
)
def test_every_address_of_a_name_counts(addresses: list[str], contacted: bool) -> None:
    async def play() -> None:
        async def lookup(_host: str, port: int, **_: Any) -> list[Any]:
            family = {True: socket.AF_INET6, False: socket.AF_INET}
            return [(family[":" in each], socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

        asyncio.get_running_loop().getaddrinfo = lookup  # type: ignore[assignment]
        assert await verdict("http://agent.example/", allow_loopback=False) == contacted

    asyncio.run(play())


def test_a_name_that_is_not_found_is_refused() -> None:
    async def play() -> None:
        async def lookup(*_: Any, **__: Any) -> list[Any]:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")

        asyncio.get_running_loop().getaddrinfo = lookup  # type: ignore[assignment]
        with pytest.raises(OSError, match="unknown"):
            await TargetResolver(allow_loopback=True).check("http://agent.example/")

    asyncio.run(play())
