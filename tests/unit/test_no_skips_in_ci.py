"""The plugin that CI uses: a skipped test fails the run, unless its machine or user is the reason."""

from __future__ import annotations

import os
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
    "def test_skips(): pytest.skip('no Docker engine: dockerd does not start')\ndef test_runs(): pass": 1,
    "@pytest.mark.xfail\ndef test_fails(): assert False": 0,
}


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("text", CASES)
def test_a_skip_fails_the_run(text: str, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FUMBLE_NO_DOCKER", raising=False)
    assert skipping(text, workers, tmp_path) == CASES[text]


def skipping(text: str, workers: int, folder: Path) -> int:
    """The exit code of pytest with the plugin, which says why if it is not 0."""
    (folder / "test_it.py").write_text(f"import pytest\n{text}\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.no_skips_in_ci", "--rootdir", folder, folder]
    command += ["-p", "xdist.plugin", "-n", str(workers)]
    # Others' plugins take longer to load than all that is tested here.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60)
    assert ("skipped, which fails a run in CI" in ended.stdout) is (ended.returncode != 0), ended.stdout
    return ended.returncode


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("no Docker engine: dockerd does not start", 0),
        ("no Docker engine: but for another reason", 1),
        ("no time today: dockerd does not start", 1),
    ],
)
def test_only_the_reason_that_ci_has_told_excuses_a_missing_engine(
    reason: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUMBLE_NO_DOCKER", "dockerd does not start")
    assert skipping(f"def test_skips(): pytest.skip({reason!r})\ndef test_runs(): pass", 0, tmp_path) == code
