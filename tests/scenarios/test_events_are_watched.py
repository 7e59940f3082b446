"""A scenario that watches events: the history has what the broker broadcast, and it is judged."""

from __future__ import annotations

import pytest

from reference_impl.events import Event, Watchers
from sim.history import Broadcast
from sim.scenario.loading import load_text
from sim.worlds.run import Run
from sim.worlds.workshop import Workshop

STORY = load_text(
    """
title: A client watches a push delegation
workspaces:
  ann: {delivery: poll}
  bob: {delivery: push, agent: {reply: done}}
watch: events
steps:
  - delegate: {as: d1, from: ann, to: bob, task: write the tests}
  - wait: 1m
""",
    "watched.yaml",
)


def broadcasts_of(run: Run) -> list[tuple[str, object]]:
    return [(entry.event, entry.payload.get("status")) for entry in run.history.entries if isinstance(entry, Broadcast)]


def test_what_the_broker_broadcasts_is_in_the_history(workshop: Workshop) -> None:
    run = workshop.play(STORY, 1)
    assert broadcasts_of(run) == [
        ("DELEGATION_SENT", None),
        ("DELEGATION_STATUS", "dispatched"),
        ("ACTIVITY_LOGGED", "ok"),
        ("ACTIVITY_LOGGED", "ok"),
        ("DELEGATION_COMPLETE", None),
    ]
    assert run.judgement.verdict == "passed"


def test_an_outcome_that_is_broadcast_twice_is_found(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    broadcast = Watchers.broadcast

    def twice(self: Watchers, event: Event) -> None:
        broadcast(self, event)
        broadcast(self, event)

    monkeypatch.setattr(Watchers, "broadcast", twice)
    judgement = workshop.play(STORY, 1).judgement
    assert judgement.verdict == "failed"
    assert {violation.invariant for violation in judgement.violations} == {"INV-30"}


def test_a_watcher_comes_back_to_a_broker_that_restarts(workshop: Workshop) -> None:
    restarting = load_text(
        """
title: The broker restarts between two delegations
workspaces:
  ann: {delivery: poll}
  bob: {delivery: push, agent: {reply: done}}
watch: events
steps:
  - delegate: {as: d1, from: ann, to: bob, task: write the tests}
  - wait: 1m
  - delegate: {as: d2, from: ann, to: bob, task: run the tests}
faults:
  - {at: 20s, kill: broker, restart_after: 10s}
""",
        "restarting.yaml",
    )
    run = workshop.play(restarting, 1)
    assert [event for event, _ in broadcasts_of(run)].count("DELEGATION_COMPLETE") == 2
    assert run.judgement.verdict == "passed"
