"""A database with the broker's schema for the interoperability tests; each world empties it first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sim.worlds.components.postgres import EmbeddedPostgres
from tests.contract.database import Database, contract_database


@pytest.fixture(scope="session")
def database(postgres_server: EmbeddedPostgres) -> Iterator[Database]:
    """On real sockets, on which the SDKs are used."""
    with contract_database(postgres_server, "interop") as made:
        yield made.on_real_sockets()
