"""Put a known bug into the broker, and a scenario family has to fail: the harness would have caught it.

A green suite over a correct broker (`test_scenarios_hold`) proves nothing about the suite. The first two of these
patches are what the project began with: the execution tied to the request (`H1`, five days of lost delegations), and
the inbox row written apart from the transaction that ends a delegation. Then come the inbox cursor, the gates, and what
MCP tools say.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from reference_impl import executor, inbound, leftovers, outcome, proxy, recovery
from reference_impl.background import Background
from reference_impl.executor import Executor
from reference_impl.http import activity
from reference_impl.http.common import Problem
from reference_impl.mcp import tools
from reference_impl.outcome import Outcomes
from reference_impl.records import SLOT, Delegation, Note, write_notes
from reference_impl.store import UNREACHABLE
from reference_impl.sweeper import Sweeper
from reference_impl.terms import terms_of
from sim.scenario.loading import load_file
from sim.worlds.workshop import Workshop

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

    kept: dict[str, tuple[Note, Note]] = {}

    async def write_one(connection: Any, result: Note, inbox: Note | None) -> None:
        if inbox is not None:
            kept[result.delegation.id] = result, inbox
        await write_notes(connection, result, None)

    async def finish_and_push(self: Any, delegation: Delegation, *arguments: Any, **options: Any) -> Any:
        status = await finish(self, delegation, *arguments, **options)
        if (notes := kept.pop(delegation.id, None)) is not None:
            try:
                await self._store.run(lambda connection: write_notes(connection, *notes))
            except UNREACHABLE:
                logging.getLogger(__name__).warning("inbox push failed")  # best effort, as the original
        return status

    monkeypatch.setattr(outcome, "write_notes", write_one)
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


def let_the_cursor_count_timestamps_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """`H43`: of several rows of one instant, those behind the cursor's row are never given."""
    add = activity._Where.add

    def add_without_seq(self: Any, condition: str, *values: Any) -> None:
        if condition == "(created_at, seq) > ({}, {})":
            condition, values = "created_at > {}", values[:1]
        add(self, condition, *values)

    monkeypatch.setattr(activity._Where, "add", add_without_seq)


def let_writers_overtake_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """`D27`: a row's timestamp is taken when its writer begins, and nobody waits for anybody."""
    slot = "\nslot AS (SELECT $2::uuid AS id, $1::timestamptz AS activity_at)"
    monkeypatch.setattr(inbound, "_INGEST", inbound._INGEST.replace(SLOT, slot))


def look_cursors_up_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cursor is taken from whatever workspace it comes."""
    monkeypatch.setattr(
        activity, "_CURSOR", "SELECT created_at, seq FROM activity_logs WHERE id = $1 OR $2::uuid IS NULL"
    )


def ignore_what_makes_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    """`H44`: a parameter that cannot be understood narrows nothing down."""
    filters = activity._filters

    def lenient(now: datetime) -> dict[str, Any]:
        def ignoring(narrow: Callable[[Any, str], None]) -> Callable[[Any, str], None]:
            def narrow_if_it_can(where: Any, value: str) -> None:
                with contextlib.suppress(Problem):
                    narrow(where, value)

            return narrow_if_it_can

        return {name: ignoring(narrow) for name, narrow in filters(now).items()}

    monkeypatch.setattr(activity, "_filters", lenient)


def let_everybody_communicate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hierarchy is not asked."""

    async def allowed(*_: Any) -> bool:
        return True

    monkeypatch.setattr(proxy, "may_communicate", allowed)


def read_the_mode_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second attempt goes where the first one went."""
    read_mode = proxy.Proxy._read_mode

    async def remembered(self: Any, target: str, message: Any, deadline_s: float) -> tuple[str, str]:
        known = self.__dict__.setdefault("known", {})
        if message.key not in known:
            known[message.key] = await read_mode(self, target, message, deadline_s)
        return known[message.key]  # type: ignore[no-any-return]

    monkeypatch.setattr(proxy.Proxy, "_read_mode", remembered)


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
    monkeypatch.setattr(leftovers, "_LOOK", leftovers._LOOK.replace("AND NOT recorded", ""))


@pytest.mark.parametrize(
    ("bug", "family", "invariants"),
    [
        (tie_execution_to_its_request, "request_cancellation", {"INV-01", "INV-02", "INV-03"}),
        (write_the_inbox_row_apart, "database_blips", {"INV-30", "INV-31"}),
        (tie_execution_to_its_request, "mcp", {"INV-01", "INV-03"}),
        (write_the_outcome_in_the_budget_of_the_call, "mcp", {"INV-03", "INV-61"}),
        (call_it_delivered_when_it_is_sent, "mcp", {"INV-66"}),
        (hide_the_kind_of_failure, "mcp", {"INV-63"}),
        (let_the_cursor_count_timestamps_only, "inbox_cursor", {"INV-90"}),
        (let_writers_overtake_each_other, "inbox_cursor", {"INV-90"}),
        (look_cursors_up_everywhere, "inbox_cursor", {"INV-91"}),
        (ignore_what_makes_no_sense, "inbox_cursor", {"INV-92"}),
        (let_everybody_communicate, "routing_and_access", {"INV-15"}),
        (read_the_mode_once, "routing_and_access", {"INV-10"}),
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
