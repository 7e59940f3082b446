"""`fumble load` against a broker that is not ours: what can be seen is judged, and what cannot be is said."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from reference_impl.config import Config
from sim.worlds.components.processes import ComponentFailed, Port
from sim.worlds.live.broker_process import environment_of
from sim.worlds.live.foreign_rows import ForeignRows
from sim.worlds.load import rows as tables
from tests.live.other_brokers import ADAPTER, command_of, other_broker
from tests.unit.fumble_process import REPOSITORY, fumble, started

LOCUSTFILE = str(REPOSITORY / "scenarios" / "load" / "locustfile.py")
SCENARIO = """title: A few seconds against a broker of somebody else
workspaces:
  ann: {delivery: poll}
  abe: {delivery: poll}
  bob: {agent: {reply: done}}
  bea: {agent: {reply: done, after: 20ms}}
load:
  duration: 4s
  users:
    - inbox_poller: {think: 200ms}
    - leaver: {count: 1, think: 100ms, share: 30%}
    - duplicator: {count: 1, think: 200ms}
  arrivals:
    - constant: 15/s
faults:
  - at: 1s
    kill: agent:bea
    restart_after: 1s
"""
EVERYTHING = SCENARIO.replace(
    "  arrivals:", "    - mcp_client: {think: 200ms, targets: bob}\n    - canvas: {think: 200ms}\n  arrivals:"
)
SECRET = "a secret of the test"


def under_load(
    folder: Path, *arguments: str, scenario: str = SCENARIO, adapter: str = ADAPTER, environment: Mapping[str, str] = {}
) -> Any:
    """The command, and what it said as JSON."""
    (folder / "load.yaml").write_text(scenario)
    (folder / "adapter.yml").write_text(adapter)
    words = ("load", "load.yaml", "--locustfile", LOCUSTFILE, "--adapter", "adapter.yml", "--output", "json")
    done = fumble(*words, *arguments, folder=folder, environment=environment)
    return done, json.loads(done.stdout) if done.stdout else None


def test_a_correct_broker_passes_over_http_alone(tmp_path: Path) -> None:
    """It wants a token at registration, and gives each workspace one of its own, which no file may hold."""
    adapter = ADAPTER + "auth: {env: OTHER_BROKER_TOKEN}\n"
    token = {"OTHER_BROKER_TOKEN": SECRET}
    with other_broker(env=token) as url:
        done, report = under_load(
            tmp_path, "--broker-url", url, "--logs", "logs", adapter=adapter, environment={**os.environ, **token}
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert report["verdict"] == "passed" and not report["violations"] and not report["states_unknown"]
    assert report["statuses"]["completed"] > 40 and report["statuses"]["failed"] > 0
    # What only tables can tell; and what clients, agents, inboxes and listings do.
    assert {"INV-10", "INV-30", "INV-31", "INV-75", "INV-90"} <= set(report["not_observed"])
    assert not {"INV-01", "INV-03", "INV-24", "INV-33", "INV-50", "INV-51"} & set(report["not_observed"])
    assert f"--broker-url {url} --adapter adapter.yml" in report["replay"]
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(file.name == "plan.json" for file in written)
    assert not [file for file in written if SECRET.encode() in file.read_bytes()]


def test_a_lost_result_is_found_without_tables(tmp_path: Path) -> None:
    with other_broker("--defect", "silent_failures") as url:
        done, report = under_load(tmp_path, "--broker-url", url)
    assert done.returncode == 1, done.stdout + done.stderr
    assert report["verdict"] == "failed" and set(report["violations"]) == {"INV-33"}
    (lost,) = (gate for gate in report["gates"] if gate["gate"] == "lost")
    assert lost["held"] is False and int(lost["measured"]) == report["violations"]["INV-33"] > 0


def test_more_than_its_listings_hold_is_said_to_be_unknown(tmp_path: Path) -> None:
    """A listing has the newest 50: of a burst of more, some are never seen to end."""
    burst = SCENARIO.replace("constant: 15/s", "spike: {rate: 5/s, peak: 400/s, at: 1s, for: 1s}")
    with other_broker() as url:
        done, report = under_load(tmp_path, "--broker-url", url, scenario=burst)
    assert report["states_unknown"] > 0, done.stdout + done.stderr
    assert {"INV-03", "INV-33"} <= set(report["not_observed"]) and "INV-24" not in report["not_observed"]


def test_a_broker_that_goes_away_is_named(tmp_path: Path) -> None:
    (tmp_path / "load.yaml").write_text(SCENARIO)
    (tmp_path / "adapter.yml").write_text(ADAPTER)
    port = Port()
    broker = subprocess.Popen(command_of(port.number))
    words = ("load", "load.yaml", "--locustfile", LOCUSTFILE, "--adapter", "adapter.yml", "--logs", "logs")
    try:
        url = f"http://127.0.0.1:{port.number}"
        with started((*words, "--broker-url", url, "--duration", "8s"), folder=tmp_path) as running:
            deadline = time.monotonic() + 60
            while not list((tmp_path / "logs").glob("*/started.json")):
                assert time.monotonic() < deadline and running.process.poll() is None
                time.sleep(0.05)
            time.sleep(1.5)
            broker.send_signal(signal.SIGKILL)
            stdout, stderr = running.process.communicate(timeout=120)
            running.assert_nothing_left(within_s=1.0)
    finally:
        broker.kill()
        broker.wait()
        port.release()
    assert running.process.returncode == 3, stdout + stderr
    assert "INCONCLUSIVE" in stdout and f"does not listen on 127.0.0.1:{port.number} any more" in stdout
    assert "Traceback" not in stdout + stderr


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("    - inbox_poller", "    - mcp_client: 1\n    - inbox_poller"), "the users mcp_client need 'mcp'"),
        (("load:", "broker: {retry_delay: 1s}\nload:"), "can be set on fumble's own broker only"),
        (("kill: agent:bea", "kill: broker"), "kill: broker needs the adapter's `command`"),
        (("    kill: agent:bea\n    restart_after: 1s", "    down: broker-database\n    for: 1s"), "out of reach"),
    ],
)
def test_what_it_cannot_be_asked_for_is_refused(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    scenario = SCENARIO.replace(*change)
    assert scenario != SCENARIO
    done, _ = under_load(tmp_path, "--broker-url", "http://127.0.0.1:9", scenario=scenario)
    assert done.returncode == 4 and says in done.stderr, done.stderr


# --- with its tables ---------------------------------------------------------------------------------------------


def test_with_its_tables_everything_is_judged_and_other_runs_are_not_seen(tmp_path: Path, live_database: str) -> None:
    broker = Port()
    config = Config(
        host="127.0.0.1",
        port=broker.number,
        environment="development",
        allow_loopback=True,
        retry_delay_s=0.5,
        database_url=live_database,
    )
    told = {"command": [sys.executable, "-m", "reference_impl"], "env": environment_of(config)}
    adapter = json.dumps({**told, "durations": {"retry_delay": "500ms", "settle": "30s"}})
    arguments = ("--broker-url", f"http://127.0.0.1:{broker.number}", "--database-url", live_database)
    for _ in range(2):
        done, report = under_load(tmp_path, *arguments, scenario=EVERYTHING, adapter=adapter)
        assert done.returncode == 0, done.stdout + done.stderr
        assert report["verdict"] == "passed" and report["not_observed"] == ["INV-10", "INV-42", "INV-74"]
        assert sum(report["statuses"].values()) < 1.2 * report["accepted"] < 400
        assert sum(second["completed"] for second in report["seconds"]) > 40
    broker.release()


MINE, OTHERS = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
POOR = f"""
DROP TABLE IF EXISTS activity_logs, delegations, structure_events, a2a_queue, workspaces CASCADE;
CREATE TABLE activity_logs (id text, workspace_id text, activity_type text, source_id text, target_id text, method text,
    request_body text, response_body text, status text, error_detail text, created_at timestamp);
CREATE TABLE delegations (delegation_id text, caller_id text, callee_id text, status text, result_preview text,
    error_detail text, last_heartbeat timestamp, deadline timestamp, created_at timestamp, updated_at timestamp);
CREATE TABLE structure_events (event_type text, workspace_id text, payload json, created_at timestamptz);
CREATE TABLE a2a_queue (id text, workspace_id text, priority int, body text, status text, attempts int,
    enqueued_at timestamp, expires_at timestamp, last_error text);
CREATE TABLE workspaces (id text, name text, last_heartbeat_at timestamp);
INSERT INTO activity_logs SELECT 'row' || n, CASE WHEN n % 2 = 0 THEN '{MINE}' ELSE '{OTHERS}' END, 'delegation', NULL,
    NULL, 'delegate', '{{"delegation_id": "d' || n || '", "task": "it"}}', NULL, 'completed', NULL, '2026-01-01'
    FROM generate_series(1, 10) AS n;
"""
"""What a broker might have that keeps JSON as text and times without a zone, and no order within one instant."""


def test_poor_tables_are_read_like_rich_ones(live_database: str) -> None:
    async def read() -> tuple[list[Any], bool]:
        session = await asyncpg.connect(live_database)
        await session.execute(POOR)
        await session.close()
        seen = ForeignRows(live_database)
        await seen.connect()
        try:
            theirs = seen.tables([MINE])
            return [row async for batch in theirs.stream(tables.DELEGATE_ROWS) for row in batch], theirs.has_sequence
        finally:
            await seen.close()

    rows, has_sequence = asyncio.run(read())
    assert sorted(row[0] for row in rows) == ["d10", "d2", "d4", "d6", "d8"] and not has_sequence
    kept = [json.loads(row[4]) for row in rows]
    assert sorted(row["seq"] for row in kept) == [1, 2, 3, 4, 5]
    assert all(row["created_at"].endswith("+00:00") and row["request_body"]["task"] == "it" for row in kept)


def test_tables_that_lack_something_are_refused_by_name(live_database: str) -> None:
    async def read() -> None:
        session = await asyncpg.connect(live_database)
        await session.execute(POOR + "DROP TABLE a2a_queue; ALTER TABLE workspaces DROP last_heartbeat_at")
        await session.close()
        seen = ForeignRows(live_database)
        await seen.connect()
        try:
            seen.tables([MINE])
        finally:
            await seen.close()

    with pytest.raises(ComponentFailed, match=r"no a2a_queue \(.*; no workspaces \(last_heartbeat_at\)"):
        asyncio.run(read())
