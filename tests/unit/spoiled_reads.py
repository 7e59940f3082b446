"""Reads of the inbox with parameters that make no sense, and were not refused; `READS` is the table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sim.history import Invoke, Json, Ok

from .histories import Run


def read(query: str, *, status: int = 200, body: Json = None) -> Run:
    """A run in which `ann` reads its inbox by `query`."""
    run = Run().completed()
    run.entries.append(Invoke(2.0, "i1", "inbox", "ann", {"cursor": None, "query": query, "since": None}))
    run.entries.append(Ok(2.1, "i1", status, [] if body is None else body))
    return run


def _taken(query: str, says: str, status: int = 200) -> tuple[str, Callable[[], Run], str, str]:
    spoiled = partial(read, query, status=status)
    spoiled.__name__ = query  # type: ignore[attr-defined]
    return "INV-92", spoiled, says, "i1"


READS: tuple[tuple[str, Callable[[], Run], str, str], ...] = (
    _taken("since_secs=0", "has since_secs '0' and was answered 200 instead of 400"),
    _taken("since_secs=-5", "has since_secs '-5'"),
    _taken("type=a2a_receive&since_secs=soon", "has since_secs 'soon'"),
    _taken("source=nobody", "has source 'nobody'"),
    _taken("peer_id=bob", "has peer_id 'bob'"),
    _taken("before_ts=yesterday", "has before_ts 'yesterday'"),
    _taken("before_ts=2026-01-01", "has before_ts '2026-01-01'"),
    _taken("before_ts=2026-01-01T00:00:00", "has before_ts '2026-01-01T00:00:00'"),
    _taken("before_ts=2026-02-30T00:00:00Z", "has before_ts '2026-02-30T00:00:00Z'"),
    _taken("since_secs=x&since_secs=60", "has since_secs 'x'"),
    _taken("source=nobody", "and was answered 500 instead of 400", 500),
)
