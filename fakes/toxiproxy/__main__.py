"""`python -m fakes.toxiproxy`: a drop-in for `toxiproxy-server` 2.12, with its flags."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sys

from fakes.toxiproxy import log
from fakes.toxiproxy.command_line import USAGE, UsageError, read_flags

_EXIT_MISSING = 3
_EXIT_USAGE = 4
_EXIT_INTERRUPTED = 130


def main(arguments: list[str]) -> int:
    try:
        options = read_flags(arguments)
    except UsageError as error:
        return _fail(f"{error} (see python -m fakes.toxiproxy -help)", _EXIT_USAGE)
    if options.help:
        print(USAGE)
        return 0
    try:
        # Not before: -help should not wait for a web framework.
        from fakes.toxiproxy.api import VERSION
        from fakes.toxiproxy.server import CannotServe, read_config, serve
    except ModuleNotFoundError as error:
        fix = f"install it: {sys.executable} -m pip install aiohttp prometheus-client"
        return _fail(f"the Python package {error.name} is missing; {fix}", _EXIT_MISSING)
    if options.version:
        print(f"toxiproxy-server version {VERSION}")
        return 0
    log.set_up(os.environ.get("LOG_LEVEL"))
    _open_many_files()
    try:
        asyncio.run(serve(options, read_config(options.config) if options.config else []))
    except CannotServe as error:
        return _fail(str(error), _EXIT_USAGE)
    return 0


def _open_many_files() -> None:
    """A connection takes two; programs in Go raise this limit by themselves."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _fail(message: str, code: int) -> int:
    print(f"toxiproxy: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:  # before the server was there to end in an orderly way
        sys.exit(_EXIT_INTERRUPTED)
