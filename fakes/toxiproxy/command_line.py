"""The command line of the server: Toxiproxy's flags, read as Go's `flag` package reads them (`-x` and `--x`)."""

from __future__ import annotations

import difflib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

USAGE = """usage: python -m fakes.toxiproxy [flags]

A fault proxy with the HTTP API of Toxiproxy 2.12. A flag begins with one dash or two; its value follows = or a space.

  -host string       host for the API to listen on (default "localhost")
  -port string       port for the API to listen on (default "8474"; "0" picks one and logs it)
  -config string     JSON file with proxies to create on startup
  -seed int          where all chance comes from: toxicity, jitter, slices (default: drawn, and logged)
  -proxy-metrics     count the bytes of every proxy in GET /metrics
  -runtime-metrics   facts of the process in GET /metrics
  -version           print the version
  -help              print this

LOG_LEVEL sets what is logged to standard output: trace, debug, info, warn, error, fatal, panic, disabled.
SIGTERM and SIGINT stop it. Exit codes: 0 stopped, 3 something is not installed, 4 wrong flag, file or address.

Examples:
  python -m fakes.toxiproxy -config proxies.json -seed 7
  curl -d '{"name": "db", "listen": "127.0.0.1:6432", "upstream": "127.0.0.1:5432"}' localhost:8474/proxies
  curl -d '{"type": "reset_peer", "trigger": {"commit": 2}}' localhost:8474/proxies/db/toxics"""

_BOOLS: Mapping[str, bool] = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


class UsageError(Exception):
    """A command line that cannot be followed; the message says what to write."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the flags say."""

    host: str
    port: str
    config: str
    seed: int
    proxy_metrics: bool
    runtime_metrics: bool
    version: bool
    help: bool


def read_flags(arguments: Sequence[str]) -> Options:
    """The options in `arguments`, the last of two winning. Raises UsageError."""
    options: dict[str, Any] = {
        "host": "localhost",
        "port": "8474",
        "config": "",
        "seed": secrets.randbits(63),
        "proxy-metrics": False,
        "runtime-metrics": False,
        "version": False,
        "help": False,
    }
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.removeprefix("-").removeprefix("-").partition("=")
        name = "help" if name == "h" else name
        if not argument.startswith("-") or name not in options:
            near = difflib.get_close_matches(name, options, 1)
            advice = f"did you mean -{near[0]}?" if near else f"use {', '.join(f'-{each}' for each in options)}"
            raise UsageError(f"unknown argument {argument!r}; {advice}")
        if isinstance(options[name], bool):
            options[name] = _bool(name, value) if equals else True
            continue
        if not equals:
            found = next(rest, None)
            if found is None:
                raise UsageError(f"-{name}: the value is missing; write -{name}=VALUE")
            value = found
        options[name] = _int(name, value) if name == "seed" else value
    return Options(**{name.replace("-", "_"): value for name, value in options.items()})


def _bool(name: str, value: str) -> bool:
    if value not in _BOOLS:
        raise UsageError(f"-{name}: {value!r} is neither true nor false; write -{name} or -{name}=false")
    return _BOOLS[value]


def _int(name: str, value: str) -> int:
    try:
        return int(value, 0)
    except ValueError:
        raise UsageError(f"-{name}: {value!r} is no whole number; write -{name}=7") from None
