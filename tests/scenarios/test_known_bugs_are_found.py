"""Put a known bug into the broker, and a scenario family has to fail: the harness would have caught it.

A green suite over a correct broker (`test_scenarios_hold`) proves nothing about the suite. The first two of these
patches are what the project began with: the execution tied to the request (`H1`, five days of lost delegations), and
the inbox row written apart from the transaction that ends a delegation. The others are about what MCP tools say.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reference_impl import executor
from reference_impl.background import Background
from reference_impl.executor import Executor
from reference_impl.mcp import tools
from reference_impl.outcome import Outcomes, write_inbox_row
from reference_impl.records import Delegation
from reference_impl.store import UNREACHABLE
from reference_impl.terms import terms_of
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


def write_the_outcome_in_the_budget_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """`D8`: when the call has used up its time, there is none left to say so."""
    execute = Executor.execute

    async def in_one_budget(self: Any, delegation: Delegation) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(terms_of(delegation.tool).budget_s(self._config)):
                await execute(self, delegation)

    monkeypatch.setattr(Executor, "execute", in_one_budget)


def call_it_delivered_when_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """`H55`, at its worst: delivered is what was dispatched."""
    monkeypatch.setitem(tools._ASYNC_WORDS, "dispatched", "delivered")


def hide_the_kind_of_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """What went wrong is told in the words of an ordinary delegation."""
    monkeypatch.setattr(executor, "terms_of", lambda tool: replace(terms_of(tool), failure=lambda error: error.error))


@pytest.mark.parametrize(
    ("bug", "family", "invariants"),
    [
        (tie_execution_to_its_request, "request_cancellation", {"INV-01", "INV-02", "INV-03"}),
        (write_the_inbox_row_apart, "database_blips", {"INV-30", "INV-31"}),
        (tie_execution_to_its_request, "mcp", {"INV-01", "INV-03"}),
        (write_the_outcome_in_the_budget_of_the_call, "mcp", {"INV-03", "INV-61"}),
        (call_it_delivered_when_it_is_sent, "mcp", {"INV-66"}),
        (hide_the_kind_of_failure, "mcp", {"INV-63"}),
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
