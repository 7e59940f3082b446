"""Databases with the broker's schema, shared by the contract tests; each world empties its own first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import reference_impl
from tests.contract.virtual import Base, base


@pytest.fixture(scope="session")
def database(postgres_server: Any) -> tuple[str, str]:
    """The path of the server's socket, and the database's name."""
    schema = Path(reference_impl.__file__).with_name("schema.sql").read_text()
    postgres_server.create_database("contract", schema)
    return postgres_server.socket_path, "contract"


@pytest.fixture(scope="session")
def virtual_base(postgres_server: Any) -> Iterator[Base]:
    """What brokers in virtual time share."""
    made = base(postgres_server)
    try:
        yield made
    finally:
        made.backends.close()
        made.database.close()
