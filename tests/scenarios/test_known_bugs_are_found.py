"""Put a known bug into the broker, and a scenario family has to fail: the harness would have caught it.

A green suite over a correct broker (`test_scenarios_hold`) proves nothing about the suite. These patches are the two
defects that the project began with: the execution tied to the request (`H1`, five days of lost delegations), and the
inbox row written apart from the transaction that ends a delegation.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from reference_impl import recovery
from reference_impl.background import Background
from reference_impl.outcome import Outcomes, write_inbox_row
from reference_impl.records import Delegation
from reference_impl.store import UNREACHABLE
from reference_impl.sweeper import Sweeper
from sim.scenario.loading import load_file
from sim.worlds.simulated import Workshop

ROOT = Path(__file__).parents[2] / "scenarios"
Patch = Callable[[pytest.MonkeyPatch], None]


def tie_execution_to_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """`H1`: what the request starts ends with the task that started it."""
    detach = Background.detach

    def tied(self: Background, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        started = detach(self, work, name=name)
        request = asyncio.current_task()
        if request is not None:
            request.add_done_callback(lambda _: started.cancel())
        return started

    monkeypatch.setattr(Background, "detach", tied)


def write_the_inbox_row_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal transaction commits without the inbox row, which follows on a connection of its own, if it can."""
    finish = Outcomes.finish

    async def keep(self: Any, connection: Any, note: Any) -> None:
        self.kept = note

    async def finish_and_push(self: Any, *arguments: Any, **options: Any) -> Any:
        self.kept = None
        status = await finish(self, *arguments, **options)
        if (note := self.kept) is not None:
            try:
                await self._store.run(lambda connection: write_inbox_row(connection, note))
            except UNREACHABLE:
                logging.getLogger(__name__).warning("inbox push failed")  # best effort, as the original
        return status

    monkeypatch.setattr(Outcomes, "_push_to_inbox", keep)
    monkeypatch.setattr(Outcomes, "finish", finish_and_push)


def let_anybody_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """`D14`: `/update` looks for the delegation by its id alone."""

    class Everybody:
        def __contains__(self, _workspace: object) -> bool:
            return True

    monkeypatch.setattr(Delegation, "parties", Everybody())


def sweep_the_ledger_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The original sweeper: past its deadline the ledger row fails, and nobody is told."""

    async def fail_overdue(self: Any) -> None:
        now = self._clock.now()
        await self._store.run(
            lambda connection: connection.execute(
                "UPDATE delegations SET status = 'failed', error_detail = 'deadline exceeded by sweeper', "
                "updated_at = $1 WHERE status NOT IN ('completed', 'failed') AND deadline <= $1",
                now,
            )
        )

    monkeypatch.setattr(Sweeper, "fail_overdue", fail_overdue)


def never_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """`H63`: the sweeper has stopped, and nobody noticed."""

    async def nothing(self: Any) -> None:
        pass

    monkeypatch.setattr(Sweeper, "fail_overdue", nothing)


def recover_what_was_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start takes for abandoned what the broker never executed."""
    monkeypatch.setattr(recovery, "_OPEN", recovery._OPEN.replace("AND NOT recorded", ""))


@pytest.mark.parametrize(
    ("bug", "family", "invariants"),
    [
        (tie_execution_to_its_request, "request_cancellation", {"INV-01", "INV-02", "INV-03"}),
        (write_the_inbox_row_apart, "database_blips", {"INV-30", "INV-31"}),
        (let_anybody_report, "record_and_update", {"INV-18"}),
        (sweep_the_ledger_alone, "slow_and_silent_agents", {"INV-38"}),
        (never_sweep, "slow_and_silent_agents", {"INV-95"}),
        (recover_what_was_recorded, "broker_crash", {"EXPECT"}),
    ],
)
def test_a_family_fails_when_its_bug_is_put_back(
    workshop: Workshop,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    bug: Patch,
    family: str,
    invariants: set[str],
) -> None:
    caplog.set_level(logging.CRITICAL)
    scenarios = [load_file(file) for file in sorted((ROOT / family).glob("*.yaml"))]
    bug(monkeypatch)
    violated: set[str] = set()
    for scenario in scenarios:
        judgement = workshop.play(scenario, 1).judgement
        if judgement.verdict == "failed":
            violated |= {violation.invariant for violation in judgement.violations}
    assert violated & invariants, f"{family} did not notice; it saw only {sorted(violated)}"
