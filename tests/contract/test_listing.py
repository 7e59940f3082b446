"""GET /workspaces/:id/delegations: one entry a delegation, whichever of the tables still knows it (H8, H9, D18)."""

from __future__ import annotations

from tests.contract.agents import after, answers, says
from tests.contract.database import Database
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, POLLY, world

ALWAYS = {"delegation_id", "source_id", "target_id", "summary", "status", "created_at"}
OF_THE_LEDGER = {"updated_at", "deadline", "_ledger"}
OF_THE_ROW = {"id", "type"}


def test_a_workspace_without_delegations_has_an_empty_list(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            assert await it.get(f"/workspaces/{ANN}/delegations") == (200, [])

    in_virtual_time(database, play())


def test_the_list_is_the_union_of_both_tables(database: Database) -> None:
    async def play() -> None:
        async with world(database, says("one"), answers(b"", status="500 Oops"), after(60, says("x"))) as it:
            ids = []
            for wait in ("completed", "failed", "dispatched"):
                _, body = await it.delegate()
                ids.append(body["delegation_id"])
                await it.settled(body["delegation_id"], wait)
            await it.rows.execute("DELETE FROM activity_logs WHERE delegation_id = $1", ids[0])
            await it.rows.execute("DELETE FROM delegations WHERE delegation_id = $1", ids[1])
            status, listed = await it.get(f"/workspaces/{ANN}/delegations")
            assert status == 200
            assert [entry["delegation_id"] for entry in listed] == ids[::-1]
            open_, failed, completed = listed
            # The three have what their tables have; what is NULL is left out, and drops no entry.
            assert open_.keys() == ALWAYS | OF_THE_LEDGER | OF_THE_ROW
            assert failed.keys() == ALWAYS | OF_THE_ROW | {"error"}
            assert completed.keys() == ALWAYS | OF_THE_LEDGER | {"response_preview"}
            assert (open_["status"], open_["_ledger"], open_["type"]) == ("dispatched", True, "delegation")
            assert (failed["status"], failed["error"]) == ("failed", "Internal Server Error")
            assert (completed["status"], completed["response_preview"]) == ("completed", "one")
            assert {(entry["source_id"], entry["target_id"]) for entry in listed} == {(ANN, BOB)}
            assert {entry["summary"] for entry in listed} == {"write the tests"}
            assert (await it.get(f"/workspaces/{BOB}/delegations")) == (200, [])

    in_virtual_time(database, play())


def test_an_entry_has_the_state_of_the_ledger(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            _, polled = await it.delegate(target=POLLY)
            await it.settled(polled["delegation_id"], "queued")
            (entry,) = (await it.get(f"/workspaces/{ANN}/delegations"))[1]
            assert entry["status"] == "queued"
            await it.rows.execute("UPDATE delegations SET status = 'stuck', error_detail = 'no heartbeat for 700s', "
                                  "last_heartbeat = '2026-01-01Z'")  # fmt: skip
            (entry,) = (await it.get(f"/workspaces/{ANN}/delegations"))[1]
            assert (entry["status"], entry["error"]) == ("stuck", "no heartbeat for 700s")
            assert entry["last_heartbeat"] == "2026-01-01T00:00:00+00:00"

    in_virtual_time(database, play())


def test_long_texts_are_cut_on_rune_boundaries(database: Database) -> None:
    async def play() -> None:
        async with world(database, says("é" * 400)) as it:
            _, body = await it.delegate(task="x" + "é" * 4000)
            await it.settled(body["delegation_id"])
            (entry,) = (await it.get(f"/workspaces/{ANN}/delegations"))[1]
            assert entry["summary"] == "x" + "é" * 99
            assert entry["response_preview"] == "é" * 150
            await it.rows.execute("DELETE FROM delegations")
            (bare,) = (await it.get(f"/workspaces/{ANN}/delegations"))[1]
            assert (bare["summary"], bare["response_preview"]) == (entry["summary"], entry["response_preview"])

    in_virtual_time(database, play())


def test_the_newest_fifty_are_listed_newest_first(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            ids = [f"d-{number:02}" for number in range(53)]
            for delegation_id in ids:
                order = {"target_id": BOB, "task": "t", "delegation_id": delegation_id}
                assert (await it.post(f"/workspaces/{ANN}/delegations/record", order))[0] == 202
            _, listed = await it.get(f"/workspaces/{ANN}/delegations")
            assert [entry["delegation_id"] for entry in listed] == ids[:2:-1]

    in_virtual_time(database, play())
