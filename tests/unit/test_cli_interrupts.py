"""However a command is ended, nothing that it started outlives it; and what was played by then is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim import interrupts

from .fumble_process import GOOD, REPOSITORY, Command, fumble, heed_interrupts, started

PROMPT_S = 15.0
"""On a machine that is busy with other tests; all that was asked for takes longer."""
MANY = ("run", "story.yaml", "--seeds", "600", "--jobs", "2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "story.yaml").write_text(GOOD)
    return tmp_path


def strike(command: Command, how: str) -> None:
    if how == "Ctrl-C":
        os.killpg(command.process.pid, signal.SIGINT)  # a terminal tells every process of the group
    elif how == "Ctrl-C twice":
        os.killpg(command.process.pid, signal.SIGINT)
        time.sleep(0.05)
        os.killpg(command.process.pid, signal.SIGINT)
    else:
        command.process.terminate()


@pytest.mark.parametrize("how", ["Ctrl-C", "Ctrl-C twice", "SIGTERM"])
def test_an_interrupt_ends_everything_at_once_and_tells_what_was_played(how: str, folder: Path) -> None:
    with started(MANY, folder=folder) as command:
        assert command.wait_for_progress().startswith("60 of 600 runs")
        processes = [*command.workers(), *command.postgres()]
        assert len(processes) > 5
        struck_s = time.monotonic()
        strike(command, how)
        stdout, stderr = command.process.communicate(timeout=60)
        assert time.monotonic() - struck_s < PROMPT_S
        assert command.process.returncode == 130
        command.assert_nothing_left(*processes, within_s=0.0)
    counts = stdout.splitlines()[-1]
    played = int(counts.split()[0])
    assert 60 <= played < 600 and f"{played} runs of 1 scenario: {played} passed" in counts
    assert stderr.splitlines()[-1] == f"fumble: interrupted after {played} of 600 runs"
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("after_s", "how"),
    [(0.0, "Ctrl-C"), (0.1, "SIGTERM"), (0.3, "Ctrl-C"), (0.6, "SIGTERM"), (0.9, "Ctrl-C"), (1.3, "SIGTERM")],
)
def test_an_interrupt_at_any_time_leaves_nothing(after_s: float, how: str, folder: Path) -> None:
    with started(MANY, folder=folder) as command:
        command.wait_until_it_catches_signals()
        time.sleep(after_s)
        struck_s = time.monotonic()
        strike(command, how)
        _, stderr = command.process.communicate(timeout=60)
        assert time.monotonic() - struck_s < PROMPT_S
        assert command.process.returncode == 130 and "Traceback" not in stderr
        command.assert_nothing_left(within_s=0.0)
    assert "fumble: interrupted" in stderr


BEFORE_THE_FIRST_STEP = """
async def never(): pass

with interrupts.raised():
    try:
        coroutine = never()
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        del coroutine
        print("heard")
"""
AROUND_A_FORK = """
os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGTERM))
with interrupts.raised():
    try:
        if os.fork() == 0: os._exit(0)
        time.sleep(60)
    except KeyboardInterrupt:
        print("heard")
"""
IN_A_FINALISER_OF_A_WORKER = """
class Left:
    def __del__(self): os.kill(os.getpid(), signal.SIGTERM)

interrupts.left_to_parent()
interrupts.by_parent()
try:
    Left()
    time.sleep(60)
except KeyboardInterrupt:
    print("heard")
"""
AGAIN_WHILE_IT_ENDS = """
undisturbed = False
try:
    with interrupts.raised():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM): os.kill(os.getpid(), number)
            undisturbed = True
except KeyboardInterrupt:
    for number in (signal.SIGINT, signal.SIGTERM): os.kill(os.getpid(), number)
    if undisturbed: print("heard")
"""


@pytest.mark.parametrize(
    "program", [BEFORE_THE_FIRST_STEP, AROUND_A_FORK, IN_A_FINALISER_OF_A_WORKER, AGAIN_WHILE_IT_ENDS]
)
def test_an_interrupt_at_any_place_is_heard_once_and_not_complained_about(program: str) -> None:
    script = "import os, signal, time\nfrom sim import interrupts\n" + program
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        preexec_fn=heed_interrupts,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "heard\n", "")


def test_an_interrupt_while_a_dataclass_is_made_has_the_exit_code_of_all_others(tmp_path: Path) -> None:
    """Text is executed then, also in what is imported before the command begins."""
    (tmp_path / "importing.py").write_text("import os, signal\nexec('os.kill(os.getpid(), signal.SIGINT)')\n")
    script = "from sim import cli\ncli._COMMANDS = {'doctor': 'importing'}\nraise SystemExit(cli.main(['doctor']))\n"
    (tmp_path / "command.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "-m", "command"],
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{tmp_path}"},
        preexec_fn=heed_interrupts,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (130, "fumble: interrupted\n")


def test_an_interrupted_replay_leaves_nothing(folder: Path) -> None:
    long = GOOD.replace("steps:", "steps:\n" + "  - {inbox: {of: ann}}\n" * 1500)
    (folder / "story.yaml").write_text(long)
    with started(("replay", "story.yaml", "--seed", "1"), folder=folder) as command:
        command.wait_until_it_catches_signals()
        while len(command.postgres()) < 3:
            assert command.process.poll() is None
            time.sleep(0.01)
        processes = command.postgres()
        strike(command, "Ctrl-C")
        _, stderr = command.process.communicate(timeout=60)
        assert (command.process.returncode, stderr) == (130, "fumble: interrupted\n")
        command.assert_nothing_left(*processes, within_s=0.0)


def test_what_was_played_is_valid_json_after_an_interrupt_too(folder: Path) -> None:
    with started((*MANY, "--output", "json", "--junit", "report.xml"), folder=folder) as command:
        command.wait_for_progress()
        strike(command, "Ctrl-C")
        stdout, _ = command.process.communicate(timeout=60)
    assert 60 <= len(json.loads(stdout)["runs"]) < 600
    assert 'seeds_passed" value="' in (folder / "report.xml").read_text()


def test_a_worker_that_dies_is_named_with_its_run(folder: Path) -> None:
    with started(MANY, folder=folder) as command:
        command.wait_for_progress()
        workers, postgres = command.workers(), command.postgres()
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        stdout, stderr = command.process.communicate(timeout=60)
        assert command.process.returncode == 3
        command.assert_nothing_left(*workers, *postgres, within_s=0.0)
    assert "passed        story  " in stdout
    assert "fumble: a worker process was ended by SIGKILL while playing story.yaml, seed " in stderr
    assert "use fewer --jobs" in stderr and "Traceback" not in stderr


def test_nothing_outlives_a_command_that_was_killed(folder: Path) -> None:
    with started(MANY, folder=folder) as command:
        command.wait_for_progress()
        processes = [*command.workers(), *command.postgres()]
        command.process.kill()
        command.process.wait()
        command.assert_nothing_left(*processes, within_s=5.0)


STUCK = """
import os, sys
from sim.worlds import play
async def stuck(self):
    os.write(2, b"stuck\\n")  # in one piece: both workers say it, perhaps at once
    while True: pass
play.Player.play = stuck
from sim.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "SIGKILL"])
def test_a_worker_that_is_stuck_in_a_run_ends_with_its_parent(how: str, folder: Path) -> None:
    with started(MANY, folder=folder, command=(sys.executable, "-c", STUCK)) as command:
        assert command.wait_for_progress() == "stuck\n"
        processes = [*command.workers(), *command.postgres()]
        if how == "SIGKILL":
            command.process.kill()
        else:
            strike(command, how)
        command.process.communicate(timeout=60)
        command.assert_nothing_left(*processes, within_s=5.0 if how == "SIGKILL" else 0.0)


def test_a_postgres_that_dies_is_no_hang(folder: Path) -> None:
    with started(MANY, folder=folder) as command:
        command.wait_for_progress()
        _, postmaster, *_ = postgres = command.postgres()
        os.kill(postmaster, signal.SIGKILL)
        stdout, stderr = command.process.communicate(timeout=60)
        assert command.process.returncode == 3 and "passed        story  " in stdout
        assert "Postgres" in stderr and "Traceback" not in stderr
        command.assert_nothing_left(*postgres, within_s=0.0)


def test_a_reader_that_goes_away_is_no_error_message(folder: Path) -> None:
    ended = fumble(
        "-c",
        'python="$0"; { "$python" -m sim.cli run story.yaml --seeds 1; echo "code $?" >&2; } | true',
        sys.executable,
        folder=folder,
        command=("/bin/bash",),
    )
    assert ended.stderr.splitlines() == ["1 of 1 runs", "code 3"]


@pytest.fixture
def signals_as_before() -> Iterator[None]:
    """After a command was interrupted its process is deaf, and so would be what the tests after this one start."""
    handlers = [(number, signal.getsignal(number)) for number in interrupts.SIGNALS]
    yield
    for number, handler in handlers:
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals_as_before")
def test_signals_that_have_waited_are_one_interrupt() -> None:
    """A second one would come in the middle of the ending that the first has begun."""
    told = []
    with interrupts.raised():
        try:
            try:
                with interrupts.delayed():
                    signal.raise_signal(signal.SIGTERM)
                    signal.raise_signal(signal.SIGINT)
                    told.append("whole")
            except KeyboardInterrupt:
                told.append("interrupted")
                time.sleep(0.01)
                told.append("ended")
        except KeyboardInterrupt:
            told.append("disturbed")
    assert told == ["whole", "interrupted", "ended"]
    assert not signal.sigpending()
