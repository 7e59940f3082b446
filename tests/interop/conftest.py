"""A database with the broker's schema for the interoperability tests; each world empties it first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import reference_impl


@pytest.fixture(scope="session")
def database(postgres_server: Any) -> tuple[str, str]:
    """The path of the server's socket, and the database's name."""
    schema = Path(reference_impl.__file__).with_name("schema.sql").read_text()
    postgres_server.create_database("interop", schema)
    return postgres_server.socket_path, "interop"
