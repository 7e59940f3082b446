"""Addresses as Go writes, reads and refuses them: `host:port`, with brackets around IPv6.

A wildcard (`:80`, `0.0.0.0:80`) means all addresses of both families and is shown as `[::]:80`. No address at all means
a free port on loopback; Toxiproxy would open one on every interface of the machine.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket

LOOPBACK = "127.0.0.1"
PORT_MAX = 65535
_WILDCARDS = ("", "0.0.0.0", "::")


class AddressError(Exception):
    """An address that means nothing, in Go's words."""


def joined(host: str, port: int | str) -> str:
    """The address of `host` and `port`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def resolved(address: str) -> tuple[str, int]:
    """Host, as a number or empty, and port. Raises AddressError."""
    if not address:
        return "", 0
    host, port_text = _split(address)
    port = _port(port_text)
    if not host:
        return "", port
    try:
        return str(ipaddress.ip_address(host)), port
    except ValueError:
        return await _looked_up(host), port


def bindable(address: str, host: str, port: int) -> tuple[str, int]:
    """What to bind a listener to for `address`, resolved to `host` and `port`."""
    if not address:
        return LOOPBACK, 0
    if host in _WILDCARDS:
        return "::" if socket.has_dualstack_ipv6() else "0.0.0.0", port
    return host, port


def upstream_of(address: str) -> tuple[str, int | str]:
    """Where to connect. What is no address is found out when somebody connects, as in Toxiproxy."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]") or LOOPBACK, int(port) if port.isdecimal() else port


def refusal(address: str, error: OSError) -> str:
    """Why the system does not let us listen on `address`, in Go's words."""
    # asyncio puts a sentence of its own around the system's words.
    words = os.strerror(error.errno) if error.errno else str(error)
    return f"listen tcp {address}: bind: {words[:1].lower()}{words[1:]}"


def _split(address: str) -> tuple[str, str]:
    if address.startswith("["):
        host, bracket, port = address[1:].partition("]")
        if not bracket:
            raise AddressError(f"address {address}: missing ']' in address")
        if not port.startswith(":"):
            raise AddressError(f"address {address}: missing port in address")
        return host, port[1:]
    host, colon, port = address.rpartition(":")
    if not colon:
        raise AddressError(f"address {address}: missing port in address")
    if ":" in host:
        raise AddressError(f"address {address}: too many colons in address")
    return host, port


def _port(text: str) -> int:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if digits.isdecimal():
        if text.startswith("-") or int(digits) > PORT_MAX:
            raise AddressError(f"address {text}: invalid port")
        return int(digits)
    if not text:
        return 0
    try:
        return socket.getservbyname(text, "tcp")
    except OSError:
        raise AddressError(f"lookup tcp/{text}: unknown port") from None


async def _looked_up(host: str) -> str:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise AddressError(f"lookup {host}: no such host") from None
    # As Go: an address of IPv4, if there is one.
    return str(min(found, key=lambda each: each[0] != socket.AF_INET)[4][0])
