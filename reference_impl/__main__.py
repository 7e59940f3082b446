"""`python -m reference_impl`: the broker as a service, with its settings from the environment."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys

import asyncpg

from reference_impl.app import Broker
from reference_impl.config import Config, ConfigError

_EXIT_FAILED = 1
_EXIT_INVALID = 4
_USAGE = """usage: python -m reference_impl

The reference delegation broker. Settings come from the environment:

{settings}

SIGTERM and SIGINT stop it: it accepts nothing more, gives running executions their grace, and ends.
Exit codes: 0 stopped, 1 could not start, 4 invalid setting or argument."""


def main(arguments: list[str]) -> int:
    if arguments in (["--help"], ["-h"]):
        print(_USAGE.format(settings=Config.describe()))
        return 0
    try:
        if arguments:
            raise ConfigError(f"unexpected argument {arguments[0]!r}; settings come from the environment")
        config = Config.from_environment(os.environ)
    except ConfigError as error:
        print(f"reference_impl: {error} (see python -m reference_impl --help)", file=sys.stderr)
        return _EXIT_INVALID
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(serve(config))
    except OSError as error:
        print(f"reference_impl: cannot listen on {config.host}:{config.port}: {error}", file=sys.stderr)
        return _EXIT_FAILED
    except asyncpg.UndefinedTableError as error:
        print(f"reference_impl: {error}; set BROKER_MIGRATE=1 to create the tables", file=sys.stderr)
        return _EXIT_FAILED
    except asyncpg.PostgresError as error:
        print(f"reference_impl: the database refuses: {error}; check DATABASE_URL", file=sys.stderr)
        return _EXIT_FAILED
    return 0


async def serve(config: Config) -> None:
    """Run a broker until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    broker = Broker(config)
    starting = asyncio.ensure_future(_start(broker))
    waiting = asyncio.ensure_future(stopping.wait())
    try:
        # The database may stay away for long; a signal ends the wait for it too.
        await asyncio.wait([starting, waiting], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await waiting
    finally:
        starting.cancel()
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await starting
        await broker.stop()


async def _start(broker: Broker) -> None:
    await broker.start()
    logging.getLogger("reference_impl").info("listening on port %d", broker.port)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
