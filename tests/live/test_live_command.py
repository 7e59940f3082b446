"""`fumble live` as its user meets it: verdicts, what takes part, mistakes, interrupts, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.unit.fumble_process import GOOD, NEVER_STRUCK, WRONG, fumble, started

QUICK = ("--toxiproxy", "embedded", "--time-scale", "40")
HARD_PACE = "20"
"""At 40 the broker's five seconds for a piece of work at the database are an eighth of ours: a busy machine needs more
to connect through a proxy and two taps."""

HARD = """title: The agent dies and comes back, the link to another one resets, the database is silent for a while
workspaces:
  ann: {delivery: poll}
  bob: {agent: {reply: back}}
  carol: {agent: {reply: a reply that is long enough to be cut in the middle of it}}
steps:
  - delegate: {as: d1, from: ann, to: bob}
  - delegate: {as: d2, from: ann, to: carol}
faults:
  - at: 0s
    kill: agent:bob
    restart_after: 5s
  - on: {link: broker-agent:carol, response: 1, after_bytes: 100}
    toxic: {type: reset_peer, stream: downstream}
    for: 1s
  # Two of our seconds after the start, at HARD_PACE: what is delegated is on its way by then.
  - at: 40s
    toxic: {link: broker-database, type: timeout, timeout: 0s}
    for: 3s
expect:
  d1: {status: completed, deliveries: 1, inbox: ok, text: back}
  d2: {answer: 202, deliveries: 1}
"""


def test_a_scenario_is_played_over_processes_and_judged(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "hard.yaml").write_text(HARD)
    command = ("live", "good.yaml", "hard.yaml", "--toxiproxy", "embedded", "--time-scale", HARD_PACE)
    done = fumble(*command, "--output", "json", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert [run["verdict"] for run in report["runs"]] == ["passed", "passed"]
    assert all(run["not_observed"] == [] for run in report["runs"])
    assert report["components"]["toxiproxy"].endswith("(embedded)")
    assert report["components"]["time_scale"] == HARD_PACE
    assert "live: Postgres 18" in done.stderr


@pytest.mark.parametrize(("text", "code", "verdict"), [(WRONG, 1, "failed"), (NEVER_STRUCK, 2, "inconclusive")])
def test_what_does_not_pass_is_not_green(tmp_path: Path, text: str, code: int, verdict: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    done = fumble("live", "mine.yaml", *QUICK, "--junit", "junit.xml", folder=tmp_path)
    assert done.returncode == code
    assert verdict in done.stdout
    assert "fumble live mine.yaml" in done.stdout
    assert (tmp_path / "junit.xml").exists()


def test_the_logs_of_all_processes_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    assert fumble("live", "good.yaml", *QUICK, "--logs", "logs", folder=tmp_path).returncode == 0
    assert "listening on port" in (tmp_path / "logs/broker.log").read_text()
    assert {path.name for path in (tmp_path / "logs").iterdir()} >= {"broker.log", "agent-bob.log", "toxiproxy.log"}


def test_a_broker_that_dies_by_itself_is_told_of(tmp_path: Path) -> None:
    """INV-77: nobody in the scenario had asked it to."""
    (tmp_path / "good.yaml").write_text(GOOD)
    log = tmp_path / "logs" / "broker.log"
    command = ["live", "good.yaml", "--toxiproxy", "embedded", "--output", "json", "--logs", "logs"]
    with started(command, folder=tmp_path) as running:
        deadline = time.monotonic() + 30
        while not (log.exists() and "listening on port" in log.read_text()):
            assert time.monotonic() < deadline and running.process.poll() is None
            time.sleep(0.01)
        time.sleep(1.0)  # the quiet time at the end alone is nine times as long
        os.kill(running.child("reference_impl.__main__"), signal.SIGTERM)
        stdout, _ = running.process.communicate(timeout=120)
    assert running.process.returncode == 1
    (run,) = json.loads(stdout)["runs"]
    assert "INV-77" in {violation["invariant"] for violation in run["violations"]}


def test_an_agent_that_dies_by_itself_is_a_broken_component(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    log = tmp_path / "logs" / "broker.log"
    with started(["live", "good.yaml", "--toxiproxy", "embedded", "--logs", "logs"], folder=tmp_path) as running:
        deadline = time.monotonic() + 30
        while not (log.exists() and "listening on port" in log.read_text()):
            assert time.monotonic() < deadline and running.process.poll() is None
            time.sleep(0.01)
        time.sleep(1.0)  # the quiet time at the end alone is nine times as long
        os.kill(running.child("fakes.agent_process"), signal.SIGKILL)
        stdout, stderr = running.process.communicate(timeout=120)
    assert running.process.returncode == 3, stdout + stderr
    assert "was killed by SIGKILL, and no fault did that" in stderr and "passed" not in stdout


# --- mistakes ------------------------------------------------------------------------------------------------------


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A server that is no Toxiproxy."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_toxiproxy_that_answers_500_is_named(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    with answering(500, b"out of order") as url:
        done = fumble("live", "good.yaml", "--toxiproxy", url, folder=tmp_path)
    assert done.returncode == 3
    assert "Toxiproxy" in done.stderr and "500" in done.stderr and "fix:" in done.stderr


def test_a_toxiproxy_that_hangs_is_named(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = fumble(
            "live", "good.yaml", "--toxiproxy", f"http://127.0.0.1:{silent.getsockname()[1]}", folder=tmp_path
        )
    assert done.returncode == 3
    assert "Toxiproxy" in done.stderr and "fix:" in done.stderr


def test_a_database_that_is_no_postgres_is_named(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    with answering(200, b"hello") as url:
        dsn = url.replace("http://", "postgresql://me:secret@") + "/postgres"
        done = fumble("live", "good.yaml", "--toxiproxy", "embedded", "--postgres", dsn, folder=tmp_path)
    assert done.returncode == 3
    assert "Postgres (as named" in done.stderr and "fix:" in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--toxiproxy", "no-such-program"), 3, "no program no-such-program"),
        (("--toxiproxy", "http://[half"), 3, "write http://127.0.0.1:8474"),
        (("--postgres", "localhost"), 3, "write postgresql://user:password@host:5432/postgres"),
        (("--time-scale", "0.5"), 4, "not a number from 1 to 100"),
        (("--time-scale", "fast"), 4, "not a number from 1 to 100"),
        (("--logs", "good.yaml/logs"), 4, "--logs"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    done = fumble("live", "good.yaml", *arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr


# --- interrupts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_everything(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    command = ["live", "good.yaml", "--toxiproxy", "embedded", "--time-scale", "1"]
    with started(command, folder=tmp_path, environment=state) as running:
        assert "live: Postgres" in running.wait_for_progress()
        time.sleep(1.0)  # anywhere between the start of the first process and the quiet time
        running.process.send_signal(number)
        _, stderr = running.process.communicate(timeout=60)
        assert running.process.returncode == 130
        assert stderr.splitlines()[-1] == "fumble: interrupted after 0 of 1 runs"
        assert "destroyed" not in stderr and "Traceback" not in stderr
        running.assert_nothing_left(within_s=5.0)
    assert "nothing was left by killed runs" in fumble("doctor", folder=tmp_path, environment=state).stdout


def test_a_killed_run_leaves_no_process_and_doctor_names_its_folder(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    command = ["live", "good.yaml", "--toxiproxy", "embedded", "--time-scale", "1"]
    with started(command, folder=tmp_path, environment=state) as running:
        assert "live: Postgres" in running.wait_for_progress()
        time.sleep(1.0)
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.communicate()
        (folder,) = (path for path in running.temporary.iterdir() if path.name.startswith("fumble-live-"))
        told = fumble("doctor", folder=tmp_path, environment=state)
        assert f"left by a run that was killed: folder {folder}" in told.stdout
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        running.assert_nothing_left(within_s=10.0)
