"""The last look at a broker: each caller's inbox through its reference poller, and its listing, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from fakes.poller import Poller
from sim.history import Member, Row
from sim.worlds.dialect import Dialect
from sim.worlds.http_client import Exchange, Unanswered

TRIES, RETRY_S = 12, 5.0

Look = Mapping[str, Sequence[Row]] | None
Get: TypeAlias = Callable[[str, Mapping[str, str]], Awaitable[tuple[int, Any]]]
"""GET a path with headers: status and decoded body. Raises OSError if no whole answer came."""


async def look_last(
    get: Get,
    dialect: Dialect,
    members: Mapping[str, Member],
    callers: Sequence[str],
    *,
    run_s: float,
    ask_again_s: float = RETRY_S,
) -> tuple[Look, Look]:
    """Inboxes and listings by caller; None for what the broker did not answer even now, or does not have.

    `run_s`: the run's length. Raises NotAsAgreed.
    """
    inbox: Look = None
    if "inbox" in dialect.paths:
        read = {name: await _read_inbox(get, dialect, members[name], run_s, ask_again_s) for name in callers}
        inbox = _if_all_answered(read)
    listing: Look = None
    if "list" in dialect.paths:
        read = {name: await _read_listing(get, dialect, members[name], ask_again_s) for name in callers}
        listing = _if_all_answered(read)
    return inbox, listing


class NotAsAgreed(Exception):
    """A broker answers 200 with something of another shape than the contract's."""


async def get_once(host: str, port: int, path: str, headers: Mapping[str, str]) -> tuple[int, Any]:
    """One GET on a connection of its own. Raises OSError."""
    try:
        answer = await Exchange().request(host, port, "GET", path, headers=headers)
    except Unanswered as error:
        raise OSError(error.reason) from error
    return answer.status, answer.body


async def read_listing(get: Get, dialect: Dialect, member: Member) -> list[Row] | None:
    """The delegations of a workspace, asked for once; None if it was not answered. Raises NotAsAgreed."""
    path = dialect.path("list", workspace=member.workspace_id)
    with contextlib.suppress(OSError):
        status, body = await get(path, dialect.shown_by(member.name))
        return _objects(path, body) if status == 200 else None
    return None


async def _read_inbox(get: Get, dialect: Dialect, member: Member, run_s: float, ask_again_s: float) -> list[Row] | None:
    rows: list[Row] = []

    async def fetch(path: str) -> tuple[int, Any]:
        status, body = await get(path, dialect.shown_by(member.name))
        return status, _objects(path, body, "id") if status == 200 else body

    path = dialect.path("inbox", workspace=member.workspace_id)
    poller = Poller(fetch, member.workspace_id, start_window_s=int(run_s) + 1, path=path, on_row=rows.append)
    for _ in range(TRIES):
        if await poller.poll_once():
            return rows
        await asyncio.sleep(ask_again_s)
    return None


async def _read_listing(get: Get, dialect: Dialect, member: Member, ask_again_s: float) -> list[Row] | None:
    for _ in range(TRIES):
        if (entries := await read_listing(get, dialect, member)) is not None:
            return entries
        await asyncio.sleep(ask_again_s)
    return None


def _objects(path: str, body: Any, *keys: str) -> list[Row]:
    if not isinstance(body, list) or not all(isinstance(row, dict) and row.keys() >= set(keys) for row in body):
        named = f", each with {', '.join(keys)}" if keys else ""
        raise NotAsAgreed(f"GET {path} is answered {str(body)[:120]!r}, which is no list of JSON objects{named}")
    return body


def _if_all_answered(parts: Mapping[str, list[Row] | None]) -> Look:
    answered = {name: part for name, part in parts.items() if part is not None}
    return answered if len(answered) == len(parts) else None
