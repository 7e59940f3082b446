"""`python -m reference_impl`: the broker as a service, with its settings from flags and the environment."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

import asyncpg

from reference_impl.app import Broker
from reference_impl.command_line import read_flags, usage
from reference_impl.config import Config, ConfigError

_EXIT_FAILED = 1
_EXIT_INVALID = 4


def main(arguments: list[str]) -> int:
    if "--help" in arguments or "-h" in arguments:
        print(usage())
        return 0
    try:
        config = Config.from_environment(os.environ, flags=read_flags(arguments))
    except ConfigError as error:
        return _refuse(error)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(serve(config))
    except ConfigError as error:
        return _refuse(error)
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


def _refuse(error: ConfigError) -> int:
    print(f"reference_impl: {error} (see python -m reference_impl --help)", file=sys.stderr)
    return _EXIT_INVALID


async def serve(config: Config) -> None:
    """Run a broker until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    broker = Broker(config)
    log = logging.getLogger("reference_impl")
    await broker.serve(stopping, on_listening=lambda: log.info("listening on port %d", broker.port))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
