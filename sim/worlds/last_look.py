"""The last look at a broker: each caller's inbox through its reference poller, and its listing, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from fakes.poller import Fetch, Poller
from sim.history import Member, Row
from sim.worlds.http_client import Exchange, Unanswered

TRIES, RETRY_S = 12, 5.0

Look = Mapping[str, Sequence[Row]] | None


async def look_last(
    get: Fetch, members: Mapping[str, Member], callers: Sequence[str], *, run_s: float
) -> tuple[Look, Look]:
    """Inboxes and listings by caller; None for what the broker did not answer even now. `run_s`: the run's length."""
    inbox = {name: await _read_inbox(get, members[name].workspace_id, run_s) for name in callers}
    listing = {name: await _read_listing(get, members[name].workspace_id) for name in callers}
    return _if_all_answered(inbox), _if_all_answered(listing)


async def get_once(host: str, port: int, path: str) -> tuple[int, Any]:
    """One GET on a connection of its own. Raises OSError."""
    try:
        answer = await Exchange().request(host, port, "GET", path, headers={})
    except Unanswered as error:
        raise OSError(error.reason) from error
    return answer.status, answer.body


async def _read_inbox(get: Fetch, workspace_id: str, run_s: float) -> list[Row] | None:
    rows: list[Row] = []
    poller = Poller(get, workspace_id, start_window_s=int(run_s) + 1, on_row=rows.append)
    for _ in range(TRIES):
        if await poller.poll_once():
            return rows
        await asyncio.sleep(RETRY_S)
    return None


async def _read_listing(get: Fetch, workspace_id: str) -> list[Row] | None:
    for _ in range(TRIES):
        with contextlib.suppress(OSError):
            status, body = await get(f"/workspaces/{workspace_id}/delegations")
            if status == 200:
                return list(body)
        await asyncio.sleep(RETRY_S)
    return None


def _if_all_answered(parts: Mapping[str, list[Row] | None]) -> Look:
    answered = {name: part for name, part in parts.items() if part is not None}
    return answered if len(answered) == len(parts) else None
