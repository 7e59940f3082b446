"""The contract tests play in virtual time on a real Postgres, in one simulated process (`virtual`).

Real sockets and real time have only `test_openapi` (schemathesis sends its requests with a library that blocks),
`test_fuzz_smoke` (it is `make fuzz`, whose engine wants a thread of its own), and what starts `python -m
reference_impl` as a process, to send it signals: `test_service` and the last of `test_stopping`. `test_targets` has
neither broker nor database.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sim.worlds.components.postgres import EmbeddedPostgres
from tests.contract.database import Database, contract_database


@pytest.fixture(scope="session")
def database(postgres_server: EmbeddedPostgres) -> Iterator[Database]:
    """One for the session; each world empties it."""
    with contract_database(postgres_server, "contract") as made:
        yield made
