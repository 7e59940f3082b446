"""What goes wrong in the middle of a load: what could be judged is judged, and nothing of it is green."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.load.few_seconds import LOCUSTFILE
from tests.unit.fumble_process import MARK, Command, started


def disturbed(folder: Path, *arguments: str, strike: Callable[[Command], None]) -> tuple[int, str, str]:
    """The command, struck one second after the load began."""
    logs = folder / "logs"
    words = ("load", *arguments, "--locustfile", LOCUSTFILE, "--logs", str(logs), "--duration", "5s")
    with started(words, folder=folder) as running:
        deadline = time.monotonic() + 60
        while not list(logs.glob("*/started.json")):
            assert time.monotonic() < deadline and running.process.poll() is None
            time.sleep(0.05)
        time.sleep(1.0)
        strike(running)
        stdout, stderr = running.process.communicate(timeout=120)
        running.assert_nothing_left(within_s=1.0)
    assert "Traceback" not in stdout + stderr
    return running.process.returncode, stdout, stderr


def killing(mark: bytes) -> Callable[[Command], None]:
    """Kills the processes of the command whose environment or command line has this in it."""

    def strike(running: Command) -> None:
        found = [pid for pid in processes_of(running) if mark in told_of(pid)]
        assert found
        for pid in found:
            os.kill(pid, signal.SIGKILL)

    return strike


def judged_in(stdout: str) -> int:
    """How many histories were judged."""
    (count,) = re.findall(r"; (\d+) histories judged", stdout)
    return int(count)


def processes_of(running: Command) -> Iterator[int]:
    """All processes that the command started."""
    mark = next(
        each for each in Path(f"/proc/{running.process.pid}/environ").read_bytes().split(b"\0") if MARK.encode() in each
    )
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != running.process.pid and mark in told_of(int(entry)):
            yield int(entry)


def told_of(pid: int) -> bytes:
    """Environment and command line."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_killed_worker_fails_the_load(folder: Path) -> None:
    code, stdout, _ = disturbed(folder, "load.yaml", "--workers", "2", strike=killing(b"FUMBLE_LOAD_WORKER=w2\0"))
    assert code == 1 and "Locust worker 2 was killed by SIGKILL" in stdout
    assert "incomplete: w2.records: it has no end" in stdout and judged_in(stdout) > 10


def test_a_history_file_that_is_cut_in_the_middle_of_a_record_is_judged_as_far_as_it_goes(folder: Path) -> None:
    """The worker's file ends in the middle of a line, as on a full disk or after a crash of the machine."""

    def cut(running: Command) -> None:
        killing(b"FUMBLE_LOAD_WORKER=w2\0")(running)
        (file,) = (folder / "logs").glob("*/w2.records")
        whole = file.read_bytes()
        file.write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 9])

    code, stdout, _ = disturbed(folder, "load.yaml", "--workers", "2", strike=cut)
    assert code == 1 and "PASSED" not in stdout
    assert re.search(r"incomplete: w2\.records: line \d+ is cut in the middle of a record", stdout)
    assert judged_in(stdout) > 10


def test_a_killed_locust_fails_the_load(folder: Path) -> None:
    code, stdout, _ = disturbed(folder, "load.yaml", strike=killing(b"FUMBLE_LOAD_WORKER=w1\0"))
    assert code == 1 and "incomplete: Locust was killed by SIGKILL" in stdout and judged_in(stdout) > 10


def test_a_broker_that_ends_by_itself_is_a_broken_component(folder: Path) -> None:
    code, stdout, stderr = disturbed(folder, "load.yaml", strike=killing(b"reference_impl.__main__"))
    assert code == 3, stdout + stderr
    assert "the broker ended by itself" in stdout and "INCONCLUSIVE" in stdout
    assert "incomplete: the broker" in stdout and judged_in(stdout) > 10


def test_an_agent_that_ends_by_itself_is_a_broken_component(folder: Path) -> None:
    code, stdout, stderr = disturbed(folder, "load.yaml", strike=killing(b"fakes.agent_process"))
    assert code == 3, stdout + stderr
    assert "INCONCLUSIVE" in stdout and judged_in(stdout) > 10
    assert re.search(r"incomplete: agent \w+ was killed by SIGKILL, and no fault did that", stdout)
    assert "did not come to rest" not in stdout


def test_a_load_that_is_interrupted_leaves_nothing(folder: Path) -> None:
    code, _, stderr = disturbed(folder, "load.yaml", strike=lambda running: os.kill(running.process.pid, signal.SIGINT))
    assert code == 130 and "interrupted" in stderr
