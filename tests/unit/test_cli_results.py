"""What a user is told: exit codes, the table, JSON, JUnit, and one command that plays a failure again."""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from .fumble_process import COMMAND, GOOD, NEVER_STRUCK, REPOSITORY, WRONG, fumble

FIELDS = {"scenario", "seed", "verdict", "trace_hash", "virtual_s", "cpu_ms", "violations", "replay"}


def results(stdout: str) -> list[dict[str, Any]]:
    """The runs of a JSON report, which has to be all of stdout."""
    report = json.loads(stdout)
    assert report["version"] == 1
    assert report["components"].keys() == {"python", "aiohttp", "asyncpg", "postgres"}
    assert all(report["components"].values())
    assert all(run.keys() >= FIELDS for run in report["runs"])
    return list(report["runs"])


@pytest.mark.parametrize(
    ("files", "code", "counts"),
    [
        ({"good": GOOD}, 0, "2 runs of 1 scenario: 2 passed"),
        ({"good": GOOD, "wrong": WRONG}, 1, "4 runs of 2 scenarios: 2 passed, 2 failed"),
        ({"good": GOOD, "never": NEVER_STRUCK}, 2, "4 runs of 2 scenarios: 2 passed, 2 inconclusive"),
        (
            {"good": GOOD, "never": NEVER_STRUCK, "wrong": WRONG},
            1,
            "6 runs of 3 scenarios: 2 passed, 2 failed, 2 inconclusive",
        ),
    ],
)
def test_the_worst_verdict_is_the_exit_code(files: dict[str, str], code: int, counts: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    ended = fumble("run", ".", "--seeds", "2", folder=tmp_path)
    assert ended.returncode == code
    assert ended.stdout.splitlines()[-1].startswith(counts)
    assert [line.split()[1] for line in ended.stdout.splitlines()[: len(files)]] == sorted(files)


def test_progress_goes_to_stderr_and_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / "story.yaml").write_text(WRONG)
    ended = fumble("run", "story.yaml", "--seeds", "1", folder=tmp_path)
    assert ended.stderr == "1 of 1 runs, 1 not passed\n"
    assert "of 1 runs" not in ended.stdout


def test_json_is_one_object_that_says_all(tmp_path: Path) -> None:
    (tmp_path / "story.yaml").write_text(WRONG)
    ended = fumble("run", "story.yaml", "--seeds", "2", "--seed-from", "7", "--output", "json", folder=tmp_path)
    runs = results(ended.stdout)
    assert ended.returncode == 1
    assert [(run["scenario"], run["seed"], run["verdict"]) for run in runs] == [
        ("story", 7, "failed"),
        ("story", 8, "failed"),
    ]
    assert runs[0]["trace_hash"] != runs[1]["trace_hash"]
    assert runs[0]["virtual_s"] > 60 and runs[0]["cpu_ms"] > 0
    (violation,) = runs[0]["violations"]
    assert violation["invariant"] == "EXPECT" and "was expected to end failed" in violation["sentence"]


def test_the_replay_command_of_a_failure_plays_the_same_run(tmp_path: Path) -> None:
    name = "a story; that's odd.yaml"
    (tmp_path / name).write_text(WRONG)
    text = fumble("run", name, "--seeds", "2", folder=tmp_path).stdout
    (command,) = (line.removeprefix("  replay: ") for line in text.splitlines() if line.startswith("  replay: "))
    (first, second) = results(fumble("run", name, "--seeds", "2", "--output", "json", folder=tmp_path).stdout)
    assert command == first["replay"]
    program, *arguments = shlex.split(second["replay"])
    assert program == "fumble"
    replayed = fumble(*arguments, "--output", "json", folder=tmp_path)
    (again,) = results(replayed.stdout)
    assert replayed.returncode == 1
    for what in ("seed", "verdict", "trace_hash", "virtual_s", "violations", "replay"):
        assert again[what] == second[what]


def test_a_replay_shows_the_history(tmp_path: Path) -> None:
    (tmp_path / "story.yaml").write_text(GOOD)
    ended = fumble("replay", "story.yaml", "--seed", "3", folder=tmp_path)
    assert ended.returncode == 0
    assert "ann calls delegate" in ended.stdout.splitlines()[0]
    assert ended.stdout.splitlines()[-1].startswith("1 run of 1 scenario: 1 passed")


def test_junit_has_the_failure(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(WRONG)
    fumble("run", "wrong.yaml", "--seeds", "2", "--junit", "report.xml", folder=tmp_path)
    root = ElementTree.parse(tmp_path / "report.xml").getroot()
    assert root.get("failures") == "1"
    assert [failure.get("type") for failure in root.iter("failure")] == ["EXPECT"]


def test_check_plays_nothing(tmp_path: Path) -> None:
    (tmp_path / "story.yaml").write_text(WRONG)
    ended = fumble("check", ".", folder=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "1 scenario is valid\n", "")


# --- at a terminal ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colour_is_for_a_terminal_that_wants_it(no_color: str, coloured: bool, tmp_path: Path) -> None:
    (tmp_path / "story.yaml").write_text(GOOD)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm", "PYTHONPATH": str(REPOSITORY)}
    subprocess.run(
        [*COMMAND, "run", "story.yaml", "--seeds", "1"],
        cwd=tmp_path, env=environment, stdout=theirs, stderr=subprocess.DEVNULL, check=True, timeout=60,
    )  # fmt: skip
    os.close(theirs)
    text = os.read(ours, 65536).decode()
    os.close(ours)
    assert "passed" in text and ("\x1b[32m" in text) is coloured and ("\x1b" in text) is coloured


# --- at once ---------------------------------------------------------------------------------------------------------

HEAVY = {"asyncio", "aiohttp", "asyncpg", "yaml", "multiprocessing", "reference_impl", "fakes", "reports"}


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("rnu",)])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...], tmp_path: Path) -> None:
    program = (
        "import sys, atexit; atexit.register(lambda: print('imported', *sorted(sys.modules)))\n"
        "from sim.cli import main; main()"
    )
    ended = fumble(*arguments, folder=tmp_path, command=(sys.executable, "-c", program))
    imported = set(ended.stdout.splitlines()[-1].split())
    assert "sim.cli" in imported
    assert not {name.partition(".")[0] for name in imported} & HEAVY


def test_help_says_the_exit_codes(tmp_path: Path) -> None:
    ended = fumble("--help", folder=tmp_path)
    assert ended.returncode == 0 and ended.stderr == ""
    assert "0 passed, 1 failed, 2 inconclusive, 3 internal error" in ended.stdout


# --- a world that hangs ----------------------------------------------------------------------------------------------

HANGING = """
import asyncio, sys
from sim.worlds import play, workshop
workshop.HORIZON_S = 24 * 3600.0
whole = play.Player._settle
async def settle(self):
    seed = self._world._simulation.streams.seed
    if seed == 2:
        self._world._simulation.loop._heap.clear()
        await asyncio.get_running_loop().create_future()
    if seed == 3:
        while True:
            await asyncio.sleep(3600)
    await whole(self)
play.Player._settle = settle
from sim.cli import main
sys.exit(main())
"""


def test_a_world_that_hangs_is_a_failed_run_and_the_others_are_played(tmp_path: Path) -> None:
    (tmp_path / "story.yaml").write_text(GOOD)
    command = (sys.executable, "-c", HANGING)
    arguments = ("run", "story.yaml", "--seeds", "4", "--jobs", "1")
    ended = fumble(*arguments, "--output", "json", folder=tmp_path, command=command)
    runs = results(ended.stdout)
    assert ended.returncode == 1
    assert [run["verdict"] for run in runs] == ["passed", "failed", "failed", "passed"]
    deadlock, horizon = (run["violations"][0] for run in runs[1:3])
    assert deadlock["invariant"] == horizon["invariant"] == "HANG"
    assert deadlock["sentence"].startswith("deadlock at virtual time ")
    assert horizon["sentence"].startswith("the run is not over at its horizon of 86400 virtual seconds")
    assert any(line.endswith(" in settle") for line in deadlock["history"])
    text = fumble(*arguments, folder=tmp_path, command=command).stdout
    assert "  HANG deadlock at virtual time " in text and "  replay: fumble replay story.yaml --seed 2" in text
