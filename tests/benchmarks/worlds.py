"""The scenarios that are played for the clock, and a workshop to play them in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sim.scenario.loading import load_text
from sim.worlds.components.postgres import embedded_postgres
from sim.worlds.workshop import Workshop

WARM_UP_WORLDS = 25
"""Worlds after which backends, caches and imports have settled."""

PUSH = load_text(
    """
title: A push delegation is answered
covers: [INV-01]
workspaces:
  ann: {delivery: poll}
  bob: {delivery: push, agent: {reply: done, after: 3s}}
steps:
  - delegate: {as: d1, from: ann, to: bob, task: write the tests}
expect:
  d1: {answer: 202, status: completed, deliveries: 1, inbox: ok, text: done}
""",
    "push.yaml",
)

RETRY = load_text(
    """
title: The agent restarts, so the delegation is retried after 8 s
covers: [INV-01]
workspaces:
  ann: {delivery: poll}
  bob: {delivery: push, agent: [restarting, reply]}
steps:
  - delegate: {as: d1, from: ann, to: bob, task: write the tests}
expect:
  d1: {answer: 202, status: completed, inbox: ok}
""",
    "retry.yaml",
)


@contextmanager
def workshop(*, core: int | None) -> Iterator[Workshop]:
    """A workshop with an embedded server of its own, on one core."""
    with embedded_postgres() as server:
        yield Workshop(server, "benchmark", core=core)
