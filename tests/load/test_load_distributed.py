"""One load over several machines: workers that join a master, here all of them on loopback."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from tests.load.few_seconds import LOCUSTFILE
from tests.unit.fumble_process import fumble, started


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
