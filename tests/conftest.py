"""Fixtures shared by all tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sim.worlds.components.live_postgres import LivePostgres
    from sim.worlds.components.postgres import EmbeddedPostgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """One embedded server for the whole session, set up for the gateway; started by the first test that asks."""
    from sim.worlds.components.postgres import embedded_postgres

    with embedded_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def live_server() -> Iterator[LivePostgres]:
    """A Postgres as a live world has it, for one module."""
    from sim.worlds.components import live_postgres
    from sim.worlds.components.run_record import record_of_this_process

    with live_postgres.obtained("embedded", record=record_of_this_process()) as obtained:
        yield obtained


@pytest.fixture
def live_database(live_server: LivePostgres) -> Iterator[str]:
    """A fresh database there; its DSN."""
    from sim.worlds.components import live_postgres

    name = asyncio.run(live_postgres.create_database(live_server))
    yield live_server.dsn_of(name)
    asyncio.run(live_postgres.drop_database(live_server, name))
