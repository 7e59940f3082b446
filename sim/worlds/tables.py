"""What every world writes into the broker's tables before a run, and reads from them during and after it."""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sim.history import Member, Row
from sim.scenario.model import Scenario

_WORKSPACE_IDS = uuid.UUID("7d4c8f0e-6a52-5f0b-9c1e-3b5a2d9e8f10")

FINAL_ROWS = """
SELECT json_build_object(
    'activity_logs', (SELECT coalesce(json_agg(t ORDER BY seq), '[]') FROM activity_logs t),
    'delegations', (SELECT coalesce(json_agg(t ORDER BY created_at, delegation_id), '[]') FROM delegations t),
    'structure_events', (SELECT coalesce(json_agg(t ORDER BY seq), '[]') FROM structure_events t),
    'a2a_queue', (SELECT coalesce(json_agg(t ORDER BY enqueued_at, id), '[]') FROM a2a_queue t),
    'workspaces', (SELECT coalesce(json_agg(t ORDER BY name), '[]') FROM workspaces t))"""
"""One row with one JSON object: every table, with its rows in the order in which they came."""

STATUSES = """
SELECT request_body->>'delegation_id', status FROM activity_logs
WHERE activity_type = 'delegation' AND method = 'delegate'
UNION ALL SELECT id::text, status FROM a2a_queue"""
"""Id and status of every delegation and every item of the queue."""

_TIMES = (
    "created_at",
    "updated_at",
    "deadline",
    "last_heartbeat",
    "enqueued_at",
    "dispatched_at",
    "completed_at",
    "expires_at",
    "last_heartbeat_at",
)


def members_of(scenario: Scenario) -> dict[str, Member]:
    """The workspaces of a scenario, by name, with their ids at the broker."""
    return {
        workspace.name: Member(
            workspace.name,
            _workspace_id(workspace.name),
            workspace.delivery,
            workspace.parent,
            workspace.budget_cents,
        )
        for workspace in scenario.workspaces
    }


def insert_workspaces(members: Mapping[str, Member], agent_url: Callable[[str], str]) -> list[str]:
    """The statement that makes the workspaces known which the broker knows from the start; none for none."""
    known = {name: member for name, member in members.items() if member.delivery != "none"}
    rows = []
    for name, member in known.items():
        parent = known.get(member.parent or "")
        above = "NULL" if parent is None else f"'{parent.workspace_id}'"
        budget = "NULL" if member.budget_cents is None else member.budget_cents
        rows.append(
            f"('{member.workspace_id}', '{name}', 'online', '{member.delivery}', '{agent_url(name)}', "
            f"{above}, {budget})"
        )
    columns = "id, name, status, delivery_mode, url, parent_id, budget_limit"
    return [f"INSERT INTO workspaces ({columns}) VALUES {', '.join(rows)}"] if rows else []


def read_rows(document: str) -> dict[str, Sequence[Row]]:
    """The answer of `FINAL_ROWS`, with its times decoded."""
    tables: dict[str, list[dict[str, Any]]] = json.loads(document)
    for rows in tables.values():
        decode_times(rows)
    return dict(tables)


def decode_times(rows: Sequence[dict[str, Any]]) -> None:
    """Make times of the texts that stand for them in rows of one table, which came as JSON and the same columns."""
    columns = [name for name in _TIMES if name in rows[0]] if rows else []
    for row in rows:
        for name in columns:
            if isinstance(value := row.get(name), str):
                row[name] = datetime.fromisoformat(value)


@functools.cache
def _workspace_id(name: str) -> str:
    """The same id for the same name, in every run."""
    return str(uuid.uuid5(_WORKSPACE_IDS, name))
