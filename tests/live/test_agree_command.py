"""`fumble agree` as its user meets it: scenarios at the same time, told in the order in which they were asked for."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from sim.kernel.postgres_gateway import ControlSession
from sim.worlds.components.live_postgres import DATABASE_PREFIX
from sim.worlds.components.postgres import FOR_CLIENTS, embedded_postgres
from tests.unit.fumble_process import GOOD, WRONG, Command, fumble, started

QUICK = ("--toxiproxy", "embedded", "--time-scale", "40", "--seeds", "1")
SLOW = GOOD.replace("expect:", "  - wait: 100s\nexpect:")
ENDLESS = GOOD.replace("expect:", "  - wait: 3h\nexpect:")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {"slow": SLOW, "good": GOOD, "wrong": WRONG, "endless": ENDLESS}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def test_results_come_in_the_order_of_the_command_line(folder: Path) -> None:
    """Also those of a scenario whose expectations fail: what is compared is what came of it, in both worlds."""
    done = fumble(
        *("agree", "slow.yaml", "wrong.yaml", "good.yaml", "--jobs", "3", "--output", "json", "--logs", "logs", *QUICK),
        folder=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)["scenarios"]
    assert [(each["scenario"], each["answer"]) for each in told] == [
        ("slow.yaml", "agrees"),
        ("wrong.yaml", "agrees"),
        ("good.yaml", "agrees"),
    ]
    assert told[0]["live_s"] > max(told[1]["live_s"], told[2]["live_s"]), "the first to be asked for ended last"
    assert done.stderr.splitlines()[0].endswith(", 3 at a time")
    for worker in ("worker-0", "worker-1", "worker-2"):
        assert "listening on port" in (folder / "logs" / worker / "broker.log").read_text()


def brokers_at_once(running: Command, number: int) -> None:
    """Return when so many workers have a broker at the same time."""
    deadline = time.monotonic() + 60
    while sum(running.has_child(worker, "reference_impl") for worker in running.workers()) < number:
        assert time.monotonic() < deadline and running.process.poll() is None
        time.sleep(0.01)


@pytest.mark.parametrize("after_s", [0.0, 0.3, 0.6, 1.0, 1.5])
def test_an_interrupt_while_worlds_are_made_leaves_nothing(folder: Path, after_s: float) -> None:
    with started(("agree", "endless.yaml", "slow.yaml", "--jobs", "2", *QUICK), folder=folder) as running:
        assert running.wait_for_progress().startswith("live: Postgres")
        time.sleep(after_s)
        running.process.terminate()
        _, stderr = running.process.communicate(timeout=60)
        assert (running.process.returncode, stderr) == (130, "fumble: interrupted after 0 of 2 scenarios\n")
        running.assert_nothing_left(within_s=5.0)


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_an_interrupt_ends_all_that_are_under_way(folder: Path, how: str) -> None:
    """The databases are on a server that stays, so it is seen that each world has put its own away."""
    state = {"XDG_STATE_HOME": str(folder / "state")}
    with embedded_postgres(listen_tcp=True, settings=FOR_CLIENTS) as server:
        named = ("--postgres", server.dsn())
        command = ("agree", "endless.yaml", "slow.yaml", "--jobs", "2", *QUICK, *named)
        with started(command, folder=folder, environment=state) as running:
            assert running.wait_for_progress().startswith("live: Postgres")
            brokers_at_once(running, 2)
            assert running.wait_for_progress() == "1 of 2 runs\n"
            if how == "Ctrl-C":
                os.killpg(running.process.pid, signal.SIGINT)  # a terminal tells every process of the group
            else:
                running.process.terminate()
            stdout, stderr = running.process.communicate(timeout=60)
            assert running.process.returncode == 130
            assert stderr.splitlines()[-1] == "fumble: interrupted after 1 of 2 scenarios"
            assert "Traceback" not in stderr and "destroyed" not in stderr
            assert stdout.splitlines()[0].startswith("agrees      slow.yaml")
            assert stdout.splitlines()[-1] == "1 scenarios: 1 agrees"
            running.assert_nothing_left(within_s=5.0)
        session = ControlSession(server.socket_path, "postgres")
        assert session.query(f"SELECT datname FROM pg_database WHERE datname LIKE '{DATABASE_PREFIX}%'") == []
        session.close()
    assert "nothing was left by killed runs" in fumble("doctor", folder=folder, environment=state).stdout
