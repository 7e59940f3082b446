"""Rate limits: who is counted, what is told, who is let in again, and where nobody is counted.

A machine with two addresses is a real one, as simulated machines have one each.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from reference_impl.http import rate_limit, routes
from reference_impl.http.rate_limit import RateLimit, Standing
from sim.kernel import Simulation
from tests.contract.database import Database
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, World, world

ADMIN = "root-of-all"
PRODUCTION: dict[str, Any] = {"environment": "production", "admin_token": ADMIN}
BEARER = {"Authorization": f"Bearer {ADMIN}"}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
MCP = f"/workspaces/{ANN}/mcp"


async def ask(
    it: World, path: str, *, http: aiohttp.ClientSession | None = None, body: Any = None, **headers: str
) -> aiohttp.ClientResponse:
    """The answer, read to its end."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    method = "GET" if body is None else "POST"
    async with (http or it.http).request(method, it.base + path, json=body, headers=named) as response:
        await response.read()
        return response


def standing(response: aiohttp.ClientResponse) -> tuple[int, str, str]:
    """Status, limit and what is left."""
    headers = response.headers
    assert 0 < int(headers["X-RateLimit-Reset"]) <= 60
    return response.status, headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]


# --- the count, in virtual time ------------------------------------------------------------------------------------


def test_a_minute_begins_with_the_first_request_and_has_so_many() -> None:
    async def play() -> None:
        limit = RateLimit(2)
        await asyncio.sleep(7)
        assert limit.count("ann") == Standing(2, 1, 60, refused=False)
        await asyncio.sleep(30.5)
        assert limit.count("ann") == Standing(2, 0, 30, refused=False)
        assert limit.count("bob") == Standing(2, 1, 60, refused=False)
        assert limit.count("ann") == limit.count("ann") == Standing(2, 0, 30, refused=True)
        await asyncio.sleep(29.25)
        assert limit.count("ann") == Standing(2, 0, 1, refused=True)
        await asyncio.sleep(1)
        assert limit.count("ann") == Standing(2, 1, 60, refused=False)
        assert limit.count("bob") == Standing(2, 0, 30, refused=False)

    with Simulation(1) as simulation:
        simulation.run(play())


def test_who_waits_as_told_is_let_in() -> None:
    async def play() -> None:
        limit = RateLimit(3)
        for _ in range(50):
            await asyncio.sleep(0.37)
            if (told := limit.count("ann")).refused:
                await asyncio.sleep(told.reset_s)
                assert not limit.count("ann").refused

    with Simulation(1) as simulation:
        simulation.run(play())


def test_clients_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "CLIENTS_MAX", 10)

    async def play() -> None:
        limit = RateLimit(1)
        for number in range(10):
            limit.count(number)
            await asyncio.sleep(1)
        assert len(limit) == 10
        assert limit.count(0).refused
        # One more than there is room for: the oldest goes.
        limit.count("eleventh")
        assert len(limit) == 10
        assert not limit.count(0).refused
        assert limit.count("eleventh").refused
        await asyncio.sleep(60)
        limit.count("last")
        assert len(limit) == 1

    with Simulation(1) as simulation:
        simulation.run(play())


# --- the broker ----------------------------------------------------------------------------------------------------


def test_every_answer_tells_what_is_left_and_the_last_is_a_429(database: Database) -> None:
    async def play() -> None:
        async with world(database, rate_limit=4, **PRODUCTION) as it:
            task = {"target_id": BOB, "task": "write the tests"}
            assert standing(await ask(it, "/health")) == (200, "4", "3")
            assert standing(await ask(it, "/no/such/path")) == (404, "4", "2")
            assert standing(await ask(it, f"/workspaces/{ANN}/delegate", body=task)) == (401, "4", "1")
            assert standing(await ask(it, f"/workspaces/{ANN}/delegations", **BEARER)) == (200, "4", "0")
            for _ in range(2):
                refused = await ask(it, f"/workspaces/{ANN}/delegate", body=task, **BEARER)
                assert standing(refused) == (429, "4", "0")
                assert refused.headers["Retry-After"] == refused.headers["X-RateLimit-Reset"]
                wait_s = int(refused.headers["Retry-After"])
                assert await refused.json() == {"error": "rate limit exceeded", "retry_after": wait_s}
            assert await it.rows.fetchval("SELECT count(*) FROM activity_logs") == 0

    in_virtual_time(database, play())


def test_each_address_is_counted_apart_whatever_it_says_of_itself(database: Database) -> None:
    async def play() -> None:
        other = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with (
            world(database.on_real_sockets(), rate_limit=1, **PRODUCTION) as it,
            aiohttp.ClientSession(connector=other) as http,
        ):
            assert (await ask(it, "/health")).status == 200
            assert (await ask(it, "/health", X_Forwarded_For="192.0.2.7", **BEARER)).status == 429
            assert (await ask(it, "/health", http=http)).status == 200
            assert (await ask(it, "/health", http=http)).status == 429

    asyncio.run(play())


def test_the_bridge_counts_each_token_apart(database: Database) -> None:
    async def play() -> None:
        async with world(database, rate_limit=100, mcp_rate_limit=2, **PRODUCTION) as it:
            card = {"id": BOB, "url": it.bob.url, "agent_card": {}}
            _, registered = await it.post("/registry/register", card)
            bob = {"Authorization": f"Bearer {registered['auth_token']}"}
            assert standing(await ask(it, MCP, body=PING)) == (401, "100", "98")
            assert standing(await ask(it, MCP, body=PING, **BEARER)) == (200, "2", "1")
            async with it.http.get(f"{it.base}{MCP}/stream", headers=BEARER) as stream:
                assert standing(stream) == (200, "2", "0")
            for path, body in ((MCP, PING), (f"{MCP}/stream", None)):
                refused = await ask(it, path, body=body, **BEARER)
                assert standing(refused) == (429, "2", "0")
                wait_s = int(refused.headers["Retry-After"])
                assert await refused.json() == {"error": "MCP rate limit exceeded", "retry_after": wait_s}
            assert standing(await ask(it, f"/workspaces/{BOB}/mcp", body=PING, **bob)) == (200, "2", "1")
            assert standing(await ask(it, f"/workspaces/{ANN}/delegations", **BEARER)) == (200, "100", "92")

    in_virtual_time(database, play())


@pytest.mark.parametrize(
    ("settings", "statuses"),
    [
        ({"environment": "development"}, [200, 200, 200]),
        ({"environment": "dev"}, [200, 200, 200]),
        ({"environment": "development", "admin_token": ADMIN}, [200, 429, 429]),
        ({"environment": "production"}, [200, 429, 429]),
    ],
)
def test_only_development_without_an_admin_token_is_free(
    database: Database, settings: dict[str, str], statuses: list[int]
) -> None:
    async def play() -> None:
        async with world(database, rate_limit=1, mcp_rate_limit=1, **settings) as it:
            answers = [await ask(it, "/health") for _ in statuses]
            assert [answer.status for answer in answers] == statuses
            limited = 429 in statuses
            assert all(("X-RateLimit-Limit" in answer.headers) is limited for answer in answers)
            if not limited:
                assert [(await ask(it, MCP, body=PING)).status for _ in range(3)] == [200, 200, 200]

    in_virtual_time(database, play())


def test_refusals_are_among_the_metrics(database: Database) -> None:
    async def play() -> None:
        async with world(database.on_real_sockets(), rate_limit=3, **PRODUCTION) as it:
            other = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
            for _ in range(5):
                await ask(it, "/health")
            async with aiohttp.ClientSession(connector=other) as http:
                counted = await (await ask(it, "/metrics", http=http)).text()
            assert 'http_requests_total{method="GET",route="/health",status="429"} 2.0' in counted

    asyncio.run(play())


def test_every_operation_says_that_it_may_be_refused() -> None:
    for path, operations in routes.DOCUMENT["paths"].items():
        for operation in operations.values():
            assert "Retry-After" in operation["responses"]["429"]["headers"], path
