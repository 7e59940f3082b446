"""The benchmark program itself: every benchmark runs and fills its table. Nothing is said of speed here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.suite import BENCHMARKS

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif("CI" not in os.environ, reason="nothing of the product, and a tenth of all tests: CI runs it")
def test_a_quick_run_measures_every_figure() -> None:
    program = [sys.executable, "-m", "tests.benchmarks", "--quick"]
    ended = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    printed, *tables = ended.stdout.split("\n\n")
    assert printed.startswith("CPython ")
    assert [text.splitlines()[0] for text in tables] == [module.TITLE for module in BENCHMARKS.values()]
    for text in tables:
        figures = text.splitlines()[2:]
        assert figures
        for figure in figures:
            assert re.search(r" -?[\d,]+(\.\d+)?( |$)|not measured: needs ", figure), figure


def test_an_unknown_benchmark_is_refused_with_the_names_of_all() -> None:
    program = [sys.executable, "-m", "tests.benchmarks", "fresh_word"]
    ended = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "fresh_word" in ended.stderr
    assert all(name in ended.stderr for name in BENCHMARKS)
