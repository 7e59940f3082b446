"""Postgres and Toxiproxy in containers, through testcontainers, for who has a Docker engine.

Images can be others: FUMBLE_POSTGRES_IMAGE, FUMBLE_TOXIPROXY_IMAGE. Containers carry the label `fumble.owner`, the id
of the process that started them, so that `fumble doctor` finds what a killed run left behind.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sim.worlds.components.processes import ComponentFailed

OWNER_LABEL = "fumble.owner"
POSTGRES_IMAGE = os.environ.get("FUMBLE_POSTGRES_IMAGE", "postgres:18-alpine")
TOXIPROXY_IMAGE = os.environ.get("FUMBLE_TOXIPROXY_IMAGE", "ghcr.io/shopify/toxiproxy:2.12.0")
_INSTALL = "pip install 'fumble[containers]'"
_API_PORT = 8474


@contextmanager
def postgres_container() -> Iterator[tuple[str, str]]:
    """A server for the length of a block: its DSN and its image. Raises ComponentFailed."""
    with _said_clearly("Postgres", POSTGRES_IMAGE):
        from testcontainers.community.postgres import PostgresContainer

        container = PostgresContainer(POSTGRES_IMAGE, driver=None)
        _start(container)
    try:
        yield container.get_connection_url(), POSTGRES_IMAGE
    finally:
        container.stop()


@contextmanager
def toxiproxy_container() -> Iterator[tuple[str, int, str]]:
    """A server on the host's own network, as its proxies take any port: host, port, image. Raises ComponentFailed."""
    with _said_clearly("Toxiproxy", TOXIPROXY_IMAGE):
        from testcontainers.core.container import DockerContainer

        container = DockerContainer(TOXIPROXY_IMAGE).with_kwargs(network_mode="host")
        _start(container)
    try:
        yield "127.0.0.1", _API_PORT, TOXIPROXY_IMAGE
    finally:
        container.stop()


def _start(container: Any) -> None:
    container.with_kwargs(**container._kwargs, labels={OWNER_LABEL: str(os.getpid())})
    container.start()


@contextmanager
def _said_clearly(name: str, image: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ComponentFailed(f"a {name} container needs the Python package {error.name}; fix: {_INSTALL}") from None
    except Exception as error:
        # Of docker.errors, requests or testcontainers, and all of them mean the same to the user.
        said = str(error).partition("\n")[0][:300] or type(error).__name__
        raise ComponentFailed(
            f"the {name} container ({image}) does not start: {said}\n"
            "fix: see that a Docker engine runs (docker info) and has or can pull the image, or use embedded"
        ) from None
