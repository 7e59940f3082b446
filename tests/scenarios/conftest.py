"""One workshop for all tests that play scenarios in this process."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from sim.worlds.components.postgres import EmbeddedPostgres
from sim.worlds.workshop import Workshop


@pytest.fixture(scope="session")
def workshop(postgres_server: EmbeddedPostgres) -> Iterator[Workshop]:
    """What a worker process has."""
    try:
        yield Workshop(postgres_server, "scenario_tests")
    finally:
        # A workshop freezes and disables collection for its process, which here has other tests to run.
        gc.unfreeze()
        gc.enable()
