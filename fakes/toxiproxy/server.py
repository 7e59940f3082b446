"""The server as a whole: proxies from a file, the API on its address, and the end of both.

Theory: what cannot be started is told in one sentence and ends the server, unlike the original, which logs it and
stays, without its proxies or even without its API.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from fakes.toxiproxy.addresses import AddressError, bindable, joined, resolved
from fakes.toxiproxy.api import VERSION, Api
from fakes.toxiproxy.collection import Collection, Wanted
from fakes.toxiproxy.command_line import Options
from fakes.toxiproxy.go_json_reader import GoJsonError, read
from fakes.toxiproxy.metrics import Metrics, Traffic
from fakes.toxiproxy.requests import Refused, proxies_in
from fakes.toxiproxy.served_proxy import CannotListen

_log = logging.getLogger(__name__)


class CannotServe(Exception):
    """The server cannot be started as asked; the message has cause, place and fix."""


async def serve(options: Options, listed: Sequence[Wanted]) -> None:
    """Run, with the `listed` proxies, until SIGTERM or SIGINT. Raises CannotServe."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    traffic = Traffic()
    collection = Collection(seed=options.seed, counters=traffic.of)
    metrics = Metrics(traffic, proxies=options.proxy_metrics, runtime=options.runtime_metrics)
    runner = web.AppRunner(
        Api(collection, metrics).application(), access_log=None, handle_signals=False, shutdown_timeout=1.0
    )
    _log.info("Starting Toxiproxy", extra={"version": VERSION, "seed": options.seed})
    try:
        for wanted in listed:
            await _make(collection, wanted, options.config)
        if listed:
            _log.info("Populated proxies from file", extra={"config": options.config, "proxies": len(listed)})
        await runner.setup()
        await _listen(runner, options.host, options.port)
        await stopping.wait()
        _log.info("Shutdown started")
    finally:
        await collection.close()
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: str) -> None:
    asked = joined(host, port)
    try:
        await web.TCPSite(runner, *bindable(asked, *await resolved(asked))).start()
    except AddressError as error:
        raise CannotServe(f"-host {host} -port {port}: {error}; give a host of this machine and a port") from error
    except OSError as error:
        cure = "give another one with -port" if error.errno == errno.EADDRINUSE else "give others with -host and -port"
        words = os.strerror(error.errno) if error.errno else str(error)
        raise CannotServe(f"cannot listen on {asked}: {words}; {cure}") from error
    address = joined(*runner.addresses[0][:2])
    _log.info("Starting Toxiproxy HTTP server", extra={"address": address})


def read_config(file: str) -> list[Wanted]:
    """The proxies in a file. Raises CannotServe."""
    try:
        body = Path(file).read_bytes()
    except OSError as error:
        raise CannotServe(f"-config {file}: {error.strerror}; give a JSON file with an array of proxies") from error
    try:
        read(body)
        return proxies_in(body)
    except GoJsonError as error:
        before = body.decode("utf-8", "replace")[: error.at]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise CannotServe(f"-config {file}:{line}:{column}: {error}; write an array of proxies in JSON") from error
    except Refused as error:
        example = '[{"name": "db", "listen": "127.0.0.1:6432", "upstream": "127.0.0.1:5432"}]'
        raise CannotServe(f"-config {file}: {error}; write {example}") from error


async def _make(collection: Collection, wanted: Wanted, file: str) -> None:
    try:
        await collection.replace(wanted)
    except (AddressError, CannotListen) as error:
        raise CannotServe(f"-config {file}: proxy {wanted.name!r}: {error}; change its listen address") from error
