"""Where the loads of the tests are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.load.few_seconds import write_loads


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the loads of a few seconds."""
    write_loads(tmp_path)
    return tmp_path
