"""GET /metrics: what happened is counted, under labels that no client can multiply."""

from __future__ import annotations

import asyncio

from prometheus_client.parser import text_string_to_metric_families

from tests.contract.agents import after, answers, closes, says
from tests.contract.database import Database
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, NOBODY, POLLY, World, world

Samples = dict[tuple[str, frozenset[str]], float]


async def scrape(it: World) -> Samples:
    """Every sample, by its name and the values of its labels."""
    async with it.http.get(it.base + "/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain")
        families = text_string_to_metric_families(await response.text())
        return {
            (sample.name, frozenset(sample.labels.values())): sample.value
            for each in families
            for sample in each.samples
        }


def key(name: str, *labels: str) -> tuple[str, frozenset[str]]:
    return (f"broker_{name}", frozenset(labels))


def test_requests_are_counted_by_route_and_status(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            for workspace in (ANN, BOB):
                await it.get(f"/workspaces/{workspace}/activity")
            await it.get(f"/workspaces/{ANN}/activity?since_id={NOBODY}")
            await it.get("/made/up")
            async with it.http.request("DELETE", it.base + "/workspaces/x/activity"):
                pass
            samples = await scrape(it)
            route = "/workspaces/{id}/activity"
            assert samples[key("http_requests_total", "GET", route, "200")] == 2
            assert samples[key("http_requests_total", "GET", route, "410")] == 1
            assert samples[key("http_requests_total", "other", "404")] == 1
            assert samples[key("http_requests_total", "other", "405")] == 1
            assert samples[key("http_request_seconds_count", route)] == 3

    in_virtual_time(database, play())


def test_delegations_and_attempts_are_counted(database: Database) -> None:
    async def play() -> None:
        behaviours = (says("done"), answers(b"{}", status="500 X"), closes)
        async with world(database, *behaviours) as it:
            for status in ("completed", "failed", "failed"):
                assert await it.settled((await it.delegate())[1]["delegation_id"]) == status
            it.bob.stop()
            assert await it.settled((await it.delegate())[1]["delegation_id"]) == "failed"
            await it.settled((await it.delegate(target=POLLY))[1]["delegation_id"], "queued")
            samples = await scrape(it)
            assert samples[key("delegations_accepted_total")] == 5
            assert samples[key("delegations_ended_total", "completed")] == 1
            assert samples[key("delegations_ended_total", "failed")] == 3
            assert samples[key("delegations_ended_total", "queued")] == 1
            assert samples[key("delivery_attempts_total", "2xx")] == 1
            assert samples[key("delivery_attempts_total", "5xx")] == 1
            assert samples[key("delivery_attempts_total", "unknown")] == 1
            assert samples[key("delivery_attempts_total", "not_delivered")] == 2  # one attempt and its retry
            assert samples[key("executions_running")] == 0

    in_virtual_time(database, play())


def test_what_goes_on_now_is_shown(database: Database) -> None:
    async def play() -> None:
        async def waits(_: object) -> None:
            await asyncio.sleep(3600)

        async with world(database, waits) as it:
            await it.delegate()
            await it.bob.contacted.wait()
            async with it.http.ws_connect(it.base + "/ws"):
                samples = await scrape(it)
            assert samples[key("executions_running")] == 1
            assert samples[key("watchers")] == 1

    in_virtual_time(database, play())


def test_database_retries_are_counted(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(5, says("done"))) as it:
            _, body = await it.delegate()
            await it.bob.contacted.wait()
            assert (await scrape(it))[key("database_retries_total")] == 0
            it.wire.refusing = True
            it.wire.break_all()
            await asyncio.sleep(60)
            it.wire.heal()
            assert await it.settled(body["delegation_id"]) == "completed"
            assert (await scrape(it))[key("database_retries_total")] > 0

    in_virtual_time(database, play())


def test_two_brokers_in_one_process_count_apart(database: Database) -> None:
    async def play() -> None:
        async with world(database) as one, world(database) as other:
            await one.get("/health")
            assert key("http_requests_total", "GET", "/health", "200") in await scrape(one)
            assert key("http_requests_total", "GET", "/health", "200") not in await scrape(other)

    in_virtual_time(database, play())
