"""With --database-url the tables of a broker that is not ours are read: of this run only, and as far as they are there.

The broker that is not ours is ours here, as somebody else would run it: started by an adapter's command, with its
database behind `database_listen`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from reference_impl.config import Config
from sim.worlds.components.live_postgres import LivePostgres
from sim.worlds.components.processes import ComponentFailed, Port
from sim.worlds.live.broker_process import environment_of
from sim.worlds.live.foreign_rows import ForeignRows

from .other_brokers import adapter, played, story

LOST_COMMIT = """
title: The outcome is committed, and the acknowledgement is lost
workspaces:
  ann: {delivery: poll}
  bob: {agent: {reply: done, after: 300ms}}
steps:
  - delegate: {from: ann, to: bob}
faults:
  - on: {link: broker-database, commit: 1}
    toxic: {type: reset_peer}
    for: 1s
expect:
  d1: {answer: 202, status: completed, deliveries: 1, inbox: ok, text: done}
"""
POWER_CUT = """
title: The broker loses its power while the agent works
workspaces:
  ann: {delivery: poll}
  bob: {agent: {reply: done, after: 2s}}
steps:
  - record: {from: ann, to: bob}
  - report: {by: bob, delegation: r1}
  - delegate: {from: ann, to: bob}
faults:
  - on: {link: "broker-agent:bob", request: 1}
    kill: broker
    restart_after: 500ms
expect:
  d1: {answer: 202, status: failed, deliveries: [0, 1], inbox: error}
"""


def test_rows_are_judged_and_the_link_to_the_database_is_struck(
    tmp_path: Path, live_server: LivePostgres, live_database: str
) -> None:
    broker, way = Port(), Port()
    config = Config(
        host="127.0.0.1",
        port=broker.number,
        environment="development",
        allow_loopback=True,
        retry_delay_s=1.0,
        database_url=live_server.dsn_of(
            live_database.rpartition("/")[2].partition("?")[0], address=("127.0.0.1", way.number)
        ),
    )
    told = adapter(
        tmp_path,
        json.dumps(
            {
                "command": [sys.executable, "-m", "reference_impl"],
                "env": environment_of(config),
                "database_listen": f"127.0.0.1:{way.number}",
                "durations": {"retry_delay": "1s", "settle": "30s"},
            }
        ),
    )
    stories = story(tmp_path, "lost_commit", LOST_COMMIT), story(tmp_path, "power_cut", POWER_CUT)
    url = f"http://127.0.0.1:{broker.number}"
    code, runs = played(*stories, "--broker-url", url, "--adapter", told, "--database-url", live_database)
    for port in (broker, way):
        port.release()
    # Which delivery modes it read, only its own queries tell.
    assert [(run["verdict"], run["violations"], run["not_observed"]) for run in runs] == [
        ("passed", [], ["INV-10"])
    ] * 2
    assert code == 0


def rows_of(database: str, *workspaces: str) -> tuple[dict[str, list[dict[str, object]]], dict[str, str]]:
    """What is read of some workspaces: rows by table, statuses."""

    async def read() -> tuple[dict[str, list[dict[str, object]]], dict[str, str]]:
        rows = ForeignRows(database)
        await rows.connect()
        try:
            read = await rows.read(workspaces)
            return {name: [dict(row) for row in those] for name, those in read.items()}, await rows.statuses(workspaces)
        finally:
            await rows.close()

    return asyncio.run(read())


def executed(database: str, *statements: str) -> None:
    """Run statements as the broker's owner."""

    async def execute() -> None:
        session = await asyncpg.connect(database)
        for statement in statements:
            await session.execute(statement)
        await session.close()

    asyncio.run(execute())


def test_rows_of_other_runs_are_left_out(live_database: str) -> None:
    mine, foreign = str(uuid.uuid4()), str(uuid.uuid4())
    for owner in (mine, foreign):
        executed(
            live_database,
            f"INSERT INTO workspaces (id, name) VALUES ('{owner}', 'w')",
            "INSERT INTO activity_logs (id, workspace_id, activity_type, method, status, created_at, request_body) "
            f"VALUES (gen_random_uuid(), '{owner}', 'delegation', 'delegate', 'pending', now(), "
            f"""'{{"delegation_id": "of {owner}"}}')""",
            "INSERT INTO delegations (delegation_id, caller_id, callee_id, task_preview, status, deadline, created_at, "
            f"updated_at) VALUES ('of {owner}', '{uuid.uuid4()}', '{owner}', 't', 'queued', now(), now(), now())",
        )
    rows, statuses = rows_of(live_database, mine)
    assert {name: len(those) for name, those in rows.items()} == {
        "activity_logs": 1,
        "delegations": 1,
        "structure_events": 0,
        "a2a_queue": 0,
        "workspaces": 1,
    }
    assert statuses == {f"of {mine}": "pending"}


def test_a_table_or_column_that_is_missing_is_not_observed(live_database: str) -> None:
    mine = str(uuid.uuid4())
    executed(
        live_database,
        "DROP TABLE a2a_queue CASCADE",
        "ALTER TABLE delegations DROP COLUMN result_preview CASCADE",
        "ALTER TABLE activity_logs DROP COLUMN seq CASCADE",
        f"INSERT INTO workspaces (id, name) VALUES ('{mine}', 'w')",
        *(
            "INSERT INTO activity_logs (id, workspace_id, activity_type, method, summary, created_at) "
            f"VALUES (gen_random_uuid(), '{mine}', 'delegation', 'delegate', '{number}', now() - interval '{number} s')"
            for number in (1, 3, 2)
        ),
    )
    rows, _ = rows_of(live_database, mine)
    assert set(rows) == {"activity_logs", "structure_events", "workspaces"}
    assert [row["summary"] for row in rows["activity_logs"]] == ["3", "2", "1"]
    assert "seq" not in rows["activity_logs"][0]


def test_nothing_can_be_written(live_database: str) -> None:
    async def write() -> None:
        rows = ForeignRows(live_database)
        await rows.connect()
        try:
            await rows._asked().execute("DELETE FROM workspaces")
        finally:
            await rows.close()

    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        asyncio.run(write())


def test_a_database_that_cannot_be_read_is_told_of_without_its_password(live_server: LivePostgres) -> None:
    named = replace(
        live_server,
        dsn=live_server.dsn.replace("@", ":hunter2@") if ":" not in live_server.dsn[13:] else live_server.dsn,
    )
    with pytest.raises(ComponentFailed) as failure:
        asyncio.run(ForeignRows(named.dsn_of("is_not_there")).connect())
    assert "cannot be read" in str(failure.value) and "is_not_there" in str(failure.value)
    assert "hunter2" not in str(failure.value)
