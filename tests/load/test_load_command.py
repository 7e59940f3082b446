"""`fumble load` as its user sees it: a few seconds with everything real, and what goes wrong said clearly.

How quick anything is, is not judged here.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sim import cli
from sim.worlds.load import locust
from tests.unit.fumble_process import MARK, REPOSITORY, Command, fumble, started

SCENARIO = """title: A few seconds of everything
workspaces:
  ann: {delivery: poll}
  abe: {delivery: poll}
  bob: {agent: {reply: done}}
  pat: {delivery: poll}
broker: {retry_delay: 500ms}
load:
  duration: 3s
  users:
    - delegator: {count: 2, think: 100ms}
    - mcp_client: {count: 1, think: 300ms, targets: bob}
    - inbox_poller: {think: 300ms}
    - poll_agent: {think: 300ms, targets: pat}
    - canvas: {count: 1, think: 200ms, targets: bob}
    - leaver: {count: 2, think: 100ms, share: 50%}
    - duplicator: {count: 1, think: 200ms}
    - heart: {targets: bob, busy: 1s, free: 1s}
  arrivals:
    - ramp: {from: 5/s, to: 20/s}
"""
RAMP = "- ramp: {from: 5/s, to: 20/s}"
BLIP = """faults:
  - at: 1s
    down: broker-database
    for: 500ms
  - at: 2s
    kill: agent:bob
    restart_after: 500ms
"""
STEPS = "title: t\nworkspaces:\n  ann:\nsteps:\n  - list: {of: ann}\n"
LOCUSTFILE = str(REPOSITORY / "scenarios" / "load" / "locustfile.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the scenario."""
    (tmp_path / "load.yaml").write_text(SCENARIO)
    (tmp_path / "blip.yaml").write_text(SCENARIO + BLIP)
    (tmp_path / "spike.yaml").write_text(SCENARIO.replace(RAMP, "- spike: {rate: 1/s, peak: 9/s, at: 2s, for: 500ms}"))
    (tmp_path / "soak.yaml").write_text(SCENARIO + "  random_faults: {every: 3s, for: 1s}\n")
    (tmp_path / "steps.yaml").write_text(STEPS)
    return tmp_path


def load(folder: Path, *arguments: str, **more: Any) -> Any:
    """The command, and what it said as JSON."""
    done = fumble("load", *arguments, "--locustfile", LOCUSTFILE, "--output", "json", folder=folder, **more)
    return done, json.loads(done.stdout) if done.stdout else None


def test_a_load_with_everything_passes(folder: Path) -> None:
    done, report = load(folder, "load.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert report["verdict"] == "passed" and not report["reasons"] and not report["violations"]
    actions = {each["what"].split()[0]: each["count"] for each in report["actions"]}
    # A person on a canvas sends something by chance.
    assert actions.keys() - {"send"} == {"delegate", "mcp", "check", "inbox", "list", "report", "heartbeat"}
    assert report["accepted"] > 50 and report["judged"] >= report["accepted"] * 0.5
    assert report["not_observed"] == ["INV-10", "INV-42", "INV-74"]
    assert {gate["gate"]: gate["held"] for gate in report["gates"]} == {"lost": True, "duplicates": True}


def test_faults_strike_and_two_workers_share_the_load(folder: Path) -> None:
    done, report = load(folder, "blip.yaml", "--workers", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [band["what"].split(":")[0] for band in report["bands"]][:1] == ["f1"]
    assert len(report["timings"]) >= 3 and report["workers"] == 2


def test_a_gate_that_does_not_hold_fails_the_load(folder: Path) -> None:
    (folder / "strict.yaml").write_text(SCENARIO + "  gates: {p50: 1us}\n")
    done, report = load(folder, "strict.yaml", "--duration", "2s")
    assert done.returncode == 1 and report["verdict"] == "failed"
    assert [gate["held"] for gate in report["gates"]] == [False, True, True]


def test_a_wrong_use_is_refused(folder: Path) -> None:
    for arguments, code, said in (
        (("load", "steps.yaml"), 4, "has steps and no load"),
        (("load", "nothing.yaml"), 4, "no such file"),
        (("load", "load.yaml", "--duration", "3"), 4, "3 has no unit: write 3s"),
        (("load", "load.yaml", "--duration", "0s"), 4, "no time at all"),
        (("load", "blip.yaml", "--duration", "2s"), 4, "strike later, the first at 2 s"),
        (("load", "spike.yaml", "--duration", "2s"), 4, "the spike ends later, at 2.5 s"),
        (("load", "soak.yaml", "--duration", "2s"), 4, "once in each 3 s, so there would be none"),
        (("load", "load.yaml", "--workers", "0"), 4, "not a whole number"),
        (("load", "load.yaml"), 3, "--locustfile"),
        (("run", "load.yaml"), 5, "fumble load"),
        (("live", "load.yaml"), 5, "fumble load"),
    ):
        done = fumble(*arguments, folder=folder)
        assert done.returncode == code and said in done.stderr, (arguments, done.returncode, done.stderr)


def test_run_plays_the_others(folder: Path) -> None:
    done = fumble("run", "steps.yaml", "load.yaml", "--seeds", "1", folder=folder)
    assert done.returncode == 0 and "1 scenarios with a load" in done.stderr and "steps" in done.stdout


def test_without_locust_it_says_how_to_get_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(locust.importlib.util, "find_spec", lambda name: None)
    assert cli.main(["load", str(folder / "load.yaml")]) == 3
    said = capsys.readouterr().err
    assert "load needs Locust, which is not installed for" in said and "pip install 'fumble[load]'" in said


def test_a_locustfile_with_a_mistake_is_shown(folder: Path) -> None:
    (folder / "locustfile.py").write_text("import nonsense_that_is_not_there\n")
    done = fumble("load", "load.yaml", folder=folder)
    assert done.returncode == 3 and "nonsense_that_is_not_there" in done.stderr


def test_users_with_a_mistake_are_no_load(folder: Path) -> None:
    """A user that fails by itself asks for nothing: the load was not what the scenario says."""
    (folder / "mine.py").write_text(
        f"import sys\nsys.path.insert(0, {str(Path(LOCUSTFILE).parent)!r})\nfrom locustfile import *\n"
        "from fumble_users.closed import Canvas\nCanvas.caller = lambda self: 1 / 0\n"
    )
    done = fumble("load", "load.yaml", "--duration", "2s", "--locustfile", "mine.py", folder=folder)
    assert done.returncode == 2 and "failed by itself: ZeroDivisionError" in done.stdout, done.stdout + done.stderr


# --- what goes wrong in the middle -------------------------------------------------------------------------------


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


def test_every_load_of_the_repository_is_in_its_folder() -> None:
    everywhere = {file for file in (REPOSITORY / "scenarios").rglob("*.yaml") if "\nload:\n" in file.read_text()}
    assert everywhere == set((REPOSITORY / "scenarios" / "load").glob("*.yaml")) and len(everywhere) >= 6


def test_locust_is_never_imported_here() -> None:
    assert "gevent" not in sys.modules and "locust" not in sys.modules


def test_workers_from_elsewhere_join_and_hand_over_what_they_did(folder: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    rest = ("--locustfile", LOCUSTFILE)
    lead = ("load", "load.yaml", "--expect", "2", "--workers", "1", "--listen", address, "--output", "json", *rest)
    with started(lead, folder=folder) as leading:
        with started(("load", "load.yaml", "--workers", "2", "--master", address, *rest), folder=folder) as joining:
            stdout, stderr = leading.process.communicate(timeout=120)
            told = joining.process.communicate(timeout=60)
            assert joining.process.returncode == 0, told
            joining.assert_nothing_left(within_s=1.0)
        leading.assert_nothing_left(within_s=1.0)
    assert leading.process.returncode == 0, stdout + stderr
    report = json.loads(stdout)
    assert report["verdict"] == "passed" and report["workers"] == 3


def test_joining_nobody_is_said(folder: Path) -> None:
    done = fumble("load", "load.yaml", "--listen", "127.0.0.1:1", "--locustfile", LOCUSTFILE, folder=folder)
    assert done.returncode == 4 and "--expect" in done.stderr


def test_the_master_s_port_may_be_taken(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = fumble(
            "load", "load.yaml", "--expect", "1", "--listen", address, "--locustfile", LOCUSTFILE, folder=folder
        )
    assert done.returncode == 3, done.stderr
    assert f"--listen {address}: workers cannot be listened for there: Address already in use" in done.stderr
    assert "fix: name an address of this machine and a port that is free" in done.stderr


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
