"""After a load every inbox that was polled is read to its end, with the cursor at which its poller stopped."""

from __future__ import annotations

import time
from typing import Any

from sim.worlds.http_client import Exchange, Unanswered
from sim.worlds.load.records import Recorder
from sim.worlds.load.world import LoadWorld

_TRIES = 5
_WITHIN_S = 30.0


async def read_to_the_end(world: LoadWorld, recorder: Recorder, name: str, cursor: str | None) -> bool:
    """Poll until nothing more comes, and write down every poll; False if the broker does not answer as it should."""
    for _ in range(10_000):
        rows = await _poll(world, recorder, name, cursor)
        if rows is None:
            return False
        if not rows:
            return True
        cursor = str((rows[0] if cursor is None else rows[-1])["id"])
    return False


async def _poll(world: LoadWorld, recorder: Recorder, name: str, cursor: str | None) -> list[dict[str, Any]] | None:
    place = f"since_secs={int(world.now_s()) + 60}" if cursor is None else f"since_id={cursor}"
    dialect, query = world.dialect, f"type=a2a_receive&limit=500&{place}"
    path = dialect.path("inbox", workspace=world.history.members[name].workspace_id, query=query)
    for _ in range(_TRIES):
        op = recorder.next_op()
        recorder.begin(op, "inbox", name, {"since": cursor}, due_s=time.monotonic())
        try:
            answer = await Exchange().request(*world.broker_address(), "GET", path, headers=dialect.shown_by(name))
        except Unanswered as error:
            recorder.unknown(op, error.reason, error.status)
            continue
        rows = answer.body if answer.status == 200 and isinstance(answer.body, list) else None
        recorder.ok(op, answer.status, answer.body if rows is None else [_kept(row) for row in rows])
        if rows is not None:
            return rows
    return None


def _kept(row: dict[str, Any]) -> dict[str, Any]:
    bodies = [row.get("request_body"), row.get("response_body")]
    ids = [body["delegation_id"] for body in bodies if isinstance(body, dict) and body.get("delegation_id")]
    return {
        "id": row.get("id"),
        "workspace_id": row.get("workspace_id"),
        "method": row.get("method"),
        "delegation_id": ids[0] if ids else None,
    }
