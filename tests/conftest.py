"""Fixtures shared by all tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sim.worlds.components.postgres import EmbeddedPostgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """One embedded server for the whole session, set up for the gateway; started by the first test that asks."""
    from sim.worlds.components.postgres import embedded_postgres

    with embedded_postgres() as server:
        yield server
