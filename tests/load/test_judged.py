"""A load is judged by delegation: what is right passes, each thing that is spoilt is found, and nothing else is."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sim.history import FaultBegan, FaultEnded, Flags, History
from sim.invariants.registry import ALL
from sim.worlds.components.processes import ComponentFailed
from sim.worlds.load import facts, judge, processes
from sim.worlds.load.conclude import Conclusion, conclude
from sim.worlds.load.facts import Fact
from sim.worlds.load.groups import Circumstances, Group, Judged, group_of
from sim.worlds.load.records import SUFFIX
from sim.worlds.load.scope import DUPLICATES, LOSSES, scope_of
from sim.worlds.load.windows import spans_of
from tests.load.synthetic import EPOCH, MEMBERS, Rows, evidence, no_more

COUNT = 60
Spoil = Callable[[str, list[Any]], list[list[Any]]]
"""Given a query and a row, the rows that take its place."""


class SpoiltRows(Rows):
    """The rows of a broker that does one thing wrong."""

    def __init__(self, folder: Path, spoil: Spoil) -> None:
        super().__init__(COUNT, folder)
        self._spoil = spoil

    async def stream(self, query: str) -> AsyncIterator[Sequence[Any]]:
        """What is left of the right answer."""
        async for batch in super().stream(query):
            yield [row for each in batch for row in self._spoil(query, list(each))]


def concluded(folder: Path, spoil: Spoil = lambda query, row: [row], **changes: Any) -> Conclusion:
    """The synthetic load, judged."""
    found, _ = evidence(folder, COUNT)
    return asyncio.run(conclude(dataclasses.replace(found, **changes), SpoiltRows(folder, spoil), no_more))


def test_a_load_in_which_all_is_right(tmp_path: Path) -> None:
    result = concluded(tmp_path)
    assert not result.tally.violations and not result.troubles and not result.broken
    assert result.tally.accepted == COUNT and result.tally.statuses == {"completed": COUNT}
    assert result.tally.not_observed == set()
    assert (result.tally.lost, result.tally.duplicates) == (0, 0)


def test_processes_judge_like_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_HERE_BYTES", 0)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    result = concluded(tmp_path, losing("activity_type", "a2a_receive", method="delegate_result"))
    assert result.tally.violations["INV-31"] == 1 and result.tally.accepted == COUNT


def test_every_invariant_has_a_scope() -> None:
    scopes = {invariant.id: scope_of(invariant.id) for invariant in ALL}
    assert {name for name, scope in scopes.items() if scope == "none"} == {"INV-10", "INV-42", "INV-74"}
    assert scopes.keys() >= LOSSES | DUPLICATES
    assert not LOSSES & DUPLICATES and all(scopes[name] == "delegation" for name in LOSSES | DUPLICATES)


# --- one thing wrong ---------------------------------------------------------------------------------------------


def losing(column: str, value: str, number: int = 7, **also: str) -> Spoil:
    """The rows of delegation `number` with these values are not there."""

    def spoil(query: str, row: list[Any]) -> list[list[Any]]:
        document = json.loads(row[-1])
        wanted = {column: value, **also}
        mine = document.get("delegation_id") == _id(number) and "json_build_object" not in query
        return [] if mine and all(document.get(name) == told for name, told in wanted.items()) else [row]

    return spoil


def changing(number: int, column: str, value: Any, **where: str) -> Spoil:
    """Delegation `number` has another value in the rows that have `where`."""

    def spoil(query: str, row: list[Any]) -> list[list[Any]]:
        document = json.loads(row[-1])
        mine = document.get("delegation_id") == _id(number)
        if mine and column in document and all(document.get(name) == told for name, told in where.items()):
            row[-1] = json.dumps({**document, column: value})
        return [row]

    return spoil


def doubled(number: int, **where: str) -> Spoil:
    """Delegation `number` has rows twice."""

    def spoil(query: str, row: list[Any]) -> list[list[Any]]:
        document = json.loads(row[-1])
        mine = document.get("delegation_id") == _id(number) and "json_build_object" not in query
        return [row, row] if mine and all(document.get(name) == told for name, told in where.items()) else [row]

    return spoil


def _id(number: int) -> str:
    from tests.load.synthetic import works

    return next(work.id for work in works(COUNT) if work.number == number)


INBOX = {"activity_type": "a2a_receive", "method": "delegate_result"}
SPOILT: dict[str, tuple[Spoil, set[str], int, int]] = {
    "an inbox row is lost": (
        losing("method", "delegate_result", activity_type="a2a_receive"),
        {"INV-31", "INV-33"},
        1,
        0,
    ),
    "an inbox row is there twice": (doubled(7, **INBOX), {"INV-31", "INV-33"}, 1, 0),
    "a result row is there twice": (doubled(6, activity_type="delegation", method="delegate_result"), {"INV-30"}, 0, 1),
    "a delegation is still pending": (changing(5, "status", "pending", method="delegate"), {"INV-03"}, 1, 0),
    "a message left no row": (losing("method", "message/send"), {"INV-14"}, 0, 0),
    "the ledger says otherwise": (
        changing(9, "status", "failed", task_preview="[w1-9] write the tests"),
        {"INV-38"},
        0,
        0,
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_spoilt_is_found(tmp_path: Path, what: str) -> None:
    spoil, ids, lost, duplicates = SPOILT[what]
    tally = concluded(tmp_path, spoil).tally
    assert ids <= set(tally.violations), tally.violations
    assert tally.lost >= lost and tally.duplicates >= duplicates
    # It is one delegation's history that is told, and no other's.
    assert len({finding.lines for finding in tally.findings}) == 1 and len(tally.findings[0].lines) > 3


def test_a_delegation_of_which_nothing_is_left_is_lost(tmp_path: Path) -> None:
    def spoil(query: str, row: list[Any]) -> list[list[Any]]:
        return [] if row[0] == _id(3) else [row]

    tally = concluded(tmp_path, spoil).tally
    assert "INV-03" in tally.violations and tally.lost == 1


def test_two_delegations_of_one_key_are_seen_together(tmp_path: Path) -> None:
    """The second answer names another delegation, which was carried out as well: only the key joins the two."""
    found, _ = evidence(tmp_path, COUNT)
    records = tmp_path / f"w1{SUFFIX}"
    answers = [json.loads(line) for line in records.read_text().splitlines()]
    for record in answers:
        if record[:2] == ["o", "w1-10-again"]:
            record[3], record[4] = 202, {"delegation_id": _id(11), "status": "delegated"}
    kept = [each for each in answers if not str(each[1]).startswith("w1-11")]
    records.write_text("\n".join(map(json.dumps, kept)) + "\n")

    def spoil(query: str, row: list[Any]) -> list[list[Any]]:
        if row[0] == _id(11) and len(row) == 5:  # the delegate row: its caller and its key are those of the tenth
            ten = MEMBERS["caller2"].workspace_id
            document = {**json.loads(row[4]), "source_id": ten, "idempotency_key": "key-10"}
            row[1], row[2], row[4] = ten, "key-10", json.dumps(document)
        return [row]

    tally = asyncio.run(conclude(found, SpoiltRows(tmp_path, spoil), no_more)).tally
    assert tally.violations["INV-50"] == 1 and tally.duplicates == 1


def test_an_unanswered_operation_finds_its_delegation(tmp_path: Path) -> None:
    found, _ = evidence(tmp_path, COUNT)
    records = tmp_path / f"w1{SUFFIX}"
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    for number, record in enumerate(lines):
        if record[:2] == ["o", "w1-8"]:
            lines[number] = ["u", "w1-8", record[2], None, "reset"]
    records.write_text("\n".join(map(json.dumps, lines)) + "\n")
    result = asyncio.run(conclude(found, Rows(COUNT, tmp_path), no_more))
    assert not result.tally.violations and result.tally.groups == concluded_groups(tmp_path)


def test_an_operation_that_never_ended_is_judged_as_unknown(tmp_path: Path) -> None:
    found, operations = evidence(tmp_path, COUNT)
    records = tmp_path / f"w1{SUFFIX}"
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    never_ended = ("w1-8", "w1-9-check0")
    kept = [record for record in lines if record[0] != "o" or record[1] not in never_ended]
    records.write_text("\n".join(map(json.dumps, kept)) + "\n")
    result = asyncio.run(conclude(found, Rows(COUNT, tmp_path), no_more))
    assert not result.tally.violations and result.operations == operations
    assert result.measures.overall.failed == 2


def concluded_groups(folder: Path) -> int:
    """Groups of the load as it should be: the delegations, and one stretch of polls a caller."""
    return COUNT + 8


def test_a_contact_after_a_delivery_is_a_duplicate(tmp_path: Path) -> None:
    found, _ = evidence(tmp_path, COUNT)
    contacts = tmp_path / "agents.contacts"
    lines = contacts.read_text().splitlines()
    identity, _, stages = lines[4].partition("\t")
    again = [[at_s + 9, agent, 99, *more] for at_s, agent, _, *more in json.loads(stages)]
    contacts.write_text("\n".join([*lines, f"{identity}\t{json.dumps(again)}"]) + "\n")
    tally = asyncio.run(conclude(found, Rows(COUNT, tmp_path), no_more)).tally
    assert tally.violations["INV-23"] and tally.duplicates == 1


def test_a_poll_that_skips_a_row_is_found(tmp_path: Path) -> None:
    """Its caller's poller was never given the row, and went on past it (INV-33, INV-90)."""
    found, _ = evidence(tmp_path, COUNT)
    records = tmp_path / f"w1{SUFFIX}"
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    for record in lines:
        if record[0] == "o" and record[1] == "w1-poll-caller3-0":
            del record[4][2]
    records.write_text("\n".join(map(json.dumps, lines)) + "\n")
    tally = asyncio.run(conclude(found, Rows(COUNT, tmp_path), no_more)).tally
    assert tally.violations == {"INV-33": 1, "INV-90": 1} and tally.lost == 1


def test_a_fault_elsewhere_excuses_what_it_always_excuses(tmp_path: Path) -> None:
    """Work that never reached its agent is a violation only if nothing but clients was disturbed (INV-01)."""
    found, _ = evidence(tmp_path, COUNT)
    (tmp_path / "agents.contacts").write_text("")

    def no_rows(query: str, row: list[Any]) -> list[list[Any]]:
        return [row]

    alone = asyncio.run(conclude(found, SpoiltRows(tmp_path, no_rows), no_more)).tally
    assert alone.violations["INV-01"] == COUNT
    faults = [FaultBegan(0.0, "f1", "down", "broker-agent:agent0"), FaultEnded(0.01, "f1")]
    (tmp_path / f"harness{SUFFIX}").unlink()
    disturbed = dataclasses.replace(found, spans=spans_of(faults))
    tally = asyncio.run(conclude(disturbed, SpoiltRows(tmp_path, no_rows), no_more)).tally
    assert "INV-01" not in tally.violations


@pytest.fixture
def one_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that all delegations are neighbours."""
    monkeypatch.setattr(facts, "BUCKETS", 1)


@pytest.mark.usefixtures("one_bucket")
@pytest.mark.parametrize("wrong", [0, 5, COUNT - 1])
def test_a_listing_tells_of_each_delegation(tmp_path: Path, wrong: int) -> None:
    """Those that one listing tells of are judged together: none hides another (INV-34)."""
    found, _ = evidence(tmp_path, COUNT)
    records = tmp_path / f"w1{SUFFIX}"
    *lines, end = [json.loads(line) for line in records.read_text().splitlines()]
    told = [
        {"delegation_id": _id(number), "status": "failed" if number == wrong else "completed"}
        for number in range(COUNT)
    ]
    lines += [["b", "w1-list", 5.0, 5.0, "list", "caller1", {}], ["o", "w1-list", 5.001, 200, told], end]
    records.write_text("\n".join(map(json.dumps, lines)) + "\n")
    tally = asyncio.run(conclude(found, Rows(COUNT, tmp_path), no_more)).tally
    assert tally.violations == {"INV-34": 1}


def several_spoilt(query: str, row: list[Any]) -> list[list[Any]]:
    """A lost row, a doubled event, another status and another owner, each of another delegation."""
    spoils = (
        losing("method", "delegate_result", 7, activity_type="a2a_receive"),
        doubled(8, activity_type="delegation", method="delegate_result"),
        changing(20, "status", "queued", method="delegate"),
        changing(33, "workspace_id", MEMBERS["caller5"].workspace_id, **INBOX),
        losing("method", "message/send", 41),
    )
    rows = [row]
    for spoil in spoils:
        rows = [left for each in rows for left in spoil(query, each)]
    return rows


FAULTS = {
    "nowhere": [],
    "at a client": [FaultBegan(0.01, "f1", "down", "client-broker"), FaultEnded(0.02, "f1")],
    "at an agent": [FaultBegan(0.0, "f1", "down", "broker-agent:agent0"), FaultEnded(0.01, "f1")],
}


@pytest.mark.usefixtures("one_bucket")
@pytest.mark.parametrize("where", FAULTS)
def test_together_is_judged_as_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Whatever is found of a delegation alone is found of it among others, in the same words."""
    told = []
    for together in (1, 3, COUNT):
        monkeypatch.setattr(judge, "TOGETHER", together)
        folder = tmp_path / str(together)
        folder.mkdir()
        tally = concluded(folder, several_spoilt, spans=spans_of(FAULTS[where])).tally
        told.append((tally.violations, tally.lost, tally.statuses, sorted(map(repr, tally.findings))))
    assert told[0] == told[1] == told[2]
    assert {"INV-03", "INV-30", "INV-31", "INV-32", "INV-33", "INV-38"} <= told[0][0].keys()


def test_who_is_judged_together_had_the_same_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of one group's time excuses nothing in a group of another time; a nameless request is nobody else's.

    And a listing of the end that tells of one group is not asked about others.
    """
    seen = []

    def judged(groups: Sequence[Group], *_: object) -> Judged:
        seen.append([group.from_s for group in groups])
        return Judged(History({}), (), frozenset(), 0, 0, ())

    monkeypatch.setattr(judge, "judge_groups", judged)
    faults = [FaultBegan(100.0, "f1", "down", "broker"), FaultEnded(101.0, "f1"), FaultBegan(900.0, "f2", "down", "")]
    given = Circumstances(MEMBERS, Flags(), EPOCH, 1000.0, spans_of(faults))
    times_s = (0.0, 10.0, 45.0, 130.0, 300.0, 301.0)
    operations: list[Fact] = [
        ("g", "operation", "", ("op", "send", "a", {}, at_s, at_s, "open", None, None, None)) for at_s in times_s
    ]
    request: Fact = ("", "contact", "", '[[302.0, "agent1", 1, "opened"]]')
    listed: Fact = ("g", "state", "", ("ann", {"delegation_id": "d", "status": "completed"}))
    groups = [group_of([fact], given) for fact in (*operations, request)]
    judge.tally_of([*groups, group_of([operations[-1], listed], given)], given)
    assert seen == [[0.0, 10.0], [45.0, 130.0], [300.0, 301.0], [302.0], [301.0]]
    seen.clear()
    judge.tally_of([group_of([operations[-1], listed], given), groups[-2]], given)
    assert seen == [[301.0], [301.0]]


# --- what is missing ---------------------------------------------------------------------------------------------


def test_a_cut_file_is_judged_and_named(tmp_path: Path) -> None:
    found, operations = evidence(tmp_path, COUNT)
    records = tmp_path / f"w1{SUFFIX}"
    records.write_bytes(records.read_bytes()[:-3000])
    result = asyncio.run(conclude(found, Rows(COUNT, tmp_path), no_more))
    assert 0 < result.operations < operations
    assert any("cut in the middle of a record" in each for each in result.troubles)
    assert any("has no end" in each for each in result.troubles)
    assert result.tally.groups >= COUNT and not result.tally.violations.keys() - {"INV-33"}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    found, _ = evidence(tmp_path, COUNT)
    result = asyncio.run(conclude(dataclasses.replace(found, workers=2), Rows(COUNT, tmp_path), no_more))
    assert result.troubles == ["only 1 of 2 workers wrote down what they did"]


def test_nothing_is_no_pass(tmp_path: Path) -> None:
    found, _ = evidence(tmp_path, 0)
    result = asyncio.run(conclude(found, Rows(0, tmp_path), no_more))
    assert result.troubles == ["no operation was answered"]


def test_an_inbox_that_cannot_be_read_is_named_and_not_judged(tmp_path: Path) -> None:
    async def cannot(*_: object) -> bool:
        return False

    found, _ = evidence(tmp_path, COUNT)
    result = asyncio.run(conclude(found, Rows(COUNT, tmp_path), cannot))
    assert len(result.troubles) == 8 and "could not be read to its end" in result.troubles[0]
    assert not result.tally.violations


def test_a_database_that_is_gone_leaves_what_clients_saw(tmp_path: Path) -> None:
    class Gone(Rows):
        async def stream(self, query: str) -> AsyncIterator[Sequence[Any]]:
            raise ComponentFailed("Postgres is gone")
            yield []

    found, operations = evidence(tmp_path, COUNT)
    result = asyncio.run(conclude(found, Gone(COUNT, tmp_path), no_more))
    assert result.broken == "Postgres is gone" and result.operations == operations
    assert not result.tally.violations, "what was not read cannot be missing"
