"""From the command line to a broker that is not ours: its URL, its adapter, what lets us in. Refuses what is wrong."""

from __future__ import annotations

import argparse
import ipaddress
import os
import shlex
import sys
from urllib.parse import urlsplit

from sim.adapter.loading import load_adapter
from sim.adapter.model import Adapter
from sim.exits import Exit, Refused
from sim.scenario.problems import ScenarioError
from sim.worlds.live.foreign import Foreign

_NEED_URL = ("adapter", "database_url", "quiet", "skip_unplayable")


def named(options: argparse.Namespace) -> Foreign | None:
    """The broker that the options name; None: ours. Raises Refused."""
    if options.broker_url is None:
        for name in _NEED_URL:
            if getattr(options, name, None) not in (None, False):
                option = f"--{name.replace('_', '-')}"
                raise Refused(f"{option} is about a broker of your own; name it by --broker-url", Exit.USAGE)
        return None
    if options.postgres != "auto":
        raise Refused(
            "--postgres is where fumble's own broker keeps its rows; name the database of yours by --database-url",
            Exit.USAGE,
        )
    host, port, prefix = _address(options.broker_url)
    adapter = _adapter(options.adapter)
    _check_database(options.database_url, adapter)
    if adapter.command is not None and not _is_loopback(host):
        raise Refused(f"the adapter's `command` starts the broker here, and --broker-url is at {host}", Exit.USAGE)
    if not _is_loopback(host):
        print(
            f"live: the broker is at {host}; the agents stay on 127.0.0.1 of this machine, so something of yours has "
            f"to carry its connections to {adapter.agent_host} here",
            file=sys.stderr,
        )
    return Foreign(
        host,
        port,
        prefix,
        adapter,
        token=_token(adapter),
        database_url=options.database_url or "",
        quiet_s=options.quiet,
        options=_repeated(options),
    )


def _address(url: str) -> tuple[str, int, str]:
    wrong = f"--broker-url {url}: write http://127.0.0.1:8080"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        raise Refused(wrong, Exit.USAGE) from None
    if parts.scheme == "https":
        raise Refused(
            f"--broker-url {url}: fumble cuts connections at single bytes, for which it has to see them; "
            "name the address behind TLS, with http",
            Exit.USAGE,
        )
    if parts.scheme != "http" or host is None or parts.query or parts.fragment or parts.username:
        raise Refused(wrong, Exit.USAGE)
    if ":" in host:
        raise Refused(f"--broker-url {url}: write a name or an IPv4 address", Exit.USAGE)
    return host, port, parts.path.rstrip("/")


def _adapter(path: str | None) -> Adapter:
    if path is None:
        return Adapter()
    try:
        return load_adapter(path)
    except ScenarioError as error:
        raise Refused(f"cannot use the adapter\n{error}", Exit.USAGE) from None


def _check_database(url: str | None, adapter: Adapter) -> None:
    if url is None:
        if adapter.paths.get("list", "") is None:
            raise Refused(
                "fumble has to see how work stands: the adapter says that there is no `list`, so name the broker's "
                "tables by --database-url",
                Exit.USAGE,
            )
        if adapter.database_listen is not None:
            raise Refused(
                "the adapter's `database_listen` begins a way to the broker's database; name that by --database-url",
                Exit.USAGE,
            )
        return
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql") or not parts.hostname:
        raise Refused(
            "--database-url: this is no DSN; write postgresql://user:password@127.0.0.1:5432/name", Exit.USAGE
        )


def _token(adapter: Adapter) -> str:
    if adapter.auth is None:
        return ""
    token = os.environ.get(adapter.auth.env, "")
    if not token or any(char in token for char in "\r\n"):
        raise Refused(
            f"the adapter takes what lets us in from the environment variable {adapter.auth.env}, which is not set; "
            f"set it: export {adapter.auth.env}=...",
            Exit.USAGE,
        )
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _repeated(options: argparse.Namespace) -> str:
    """The options again, without what may hold a password."""
    said = f" --broker-url {shlex.quote(options.broker_url)}"
    if options.adapter is not None:
        said += f" --adapter {shlex.quote(options.adapter)}"
    if options.database_url is not None:
        said += " --database-url DSN"
    if options.quiet is not None:
        said += f" --quiet {options.quiet:g}s"
    return said
