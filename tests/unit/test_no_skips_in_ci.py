"""The plugin that CI uses: a skipped test fails the run, unless its machine or user is the reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .fumble_process import REPOSITORY

CASES = {  # and pytest's exit code
    "def test_runs(): pass": 0,
    "def test_skips(): pytest.skip('no time today')": 1,
    "@pytest.mark.skipif(True, reason='not now')\ndef test_skips(): pass": 1,
    "pytest.skip('the whole file', allow_module_level=True)": 5,
    "def test_skips(): pytest.skip('this machine does not permit userns')\ndef test_runs(): pass": 0,
    "@pytest.mark.xfail\ndef test_fails(): assert False": 0,
}


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("text", CASES)
def test_a_skip_fails_the_run(text: str, workers: int, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(f"import pytest\n{text}\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.no_skips_in_ci", "--rootdir", tmp_path, tmp_path]
    command += ["-n", str(workers)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert ended.returncode == CASES[text], ended.stdout
    assert ("skipped, which fails a run in CI" in ended.stdout) is (CASES[text] != 0)
