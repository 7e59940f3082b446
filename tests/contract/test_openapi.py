"""The OpenAPI description: complete, and true of the running broker, as schemathesis finds by trying it.

Real loopback sockets, real Postgres, an agent that answers. The examples are the same in every run.
"""

from __future__ import annotations

from collections.abc import Iterator

import aiohttp.web
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from reference_impl.http import routes
from reference_impl.http.description import EVENT_STREAM
from tests.contract.database import Database
from tests.contract.served import Served, served
from tests.contract.world import ANN, BOB, NOBODY, POLLY

ADMIN = "the-admin-token"
EXAMPLES = 20
"""For each operation, once with valid and once with invalid data."""

LIKELY = st.sampled_from([True] * 7 + [False])
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SCHEMA = schemathesis.openapi.from_dict(routes.DOCUMENT)
OPERATIONS = [result.ok() for result in SCHEMA.get_all_operations()]
# A stream has no end that could be waited for; its own tests read it.
ENDING = [
    operation
    for operation in OPERATIONS
    if EVENT_STREAM not in str(operation.definition.raw["responses"]) and operation.path != "/ws"
]
# Only what takes something can be given something invalid.
TRIALS = [(operation, GenerationMode.POSITIVE) for operation in ENDING] + [
    (operation, GenerationMode.NEGATIVE) for operation in ENDING if [*operation.iter_parameters(), *operation.body]
]


def test_every_route_is_described() -> None:
    app = aiohttp.web.Application()
    routes.add_routes(app)
    there = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert {(operation.method.upper(), operation.path) for operation in OPERATIONS} == there


@pytest.fixture(scope="module")
def broker(database: Database) -> Iterator[Served]:
    unlimited = {"rate_limit": 10**9, "mcp_rate_limit": 10**9}
    with served(database, environment="production", admin_token=ADMIN, **unlimited) as there:
        yield there


@pytest.fixture(scope="module")
def existing(broker: Served) -> dict[str, list[str]]:
    """Values of path parameters that mean something to the broker."""

    async def delegated() -> str:
        body = {"target_id": POLLY, "task": "write the tests"}
        _, answer = await broker.it.post(f"/workspaces/{ANN}/delegate", body, Authorization=f"Bearer {ADMIN}")
        return str(answer["delegation_id"])

    async def queued() -> str:
        await broker.it.rows.execute(
            "INSERT INTO a2a_queue (id, workspace_id, body, enqueued_at) VALUES ($1, $2, '{}', now())", NOBODY, ANN
        )
        return NOBODY

    return {
        "id": [ANN, BOB, POLLY],
        "delegation_id": [broker.run(delegated()) for _ in range(5)],
        "queue_id": [broker.run(queued())],
    }


def test_the_broker_shows_its_description(broker: Served) -> None:
    assert broker.run(broker.it.get("/openapi.json")) == (200, routes.DOCUMENT)


@pytest.mark.parametrize(
    ("operation", "mode"), TRIALS, ids=[f"{operation.label} {mode.value}" for operation, mode in TRIALS]
)
def test_the_description_is_true(
    broker: Served, existing: dict[str, list[str]], operation: APIOperation, mode: GenerationMode
) -> None:
    statuses: set[int] = set()

    @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    def try_it(case: Case, data: st.DataObject) -> None:
        for name in case.path_parameters:
            if data.draw(LIKELY):
                case.path_parameters[name] = data.draw(st.sampled_from(existing[name]))
        if data.draw(LIKELY):
            case.headers["Authorization"] = f"Bearer {ADMIN}"
        statuses.add(case.call_and_validate(broker.it.base, checks=CHECKS, session=session).status_code)

    with requests.Session() as session:
        try_it()
    if mode is GenerationMode.POSITIVE:
        assert min(statuses) < 300, f"nothing came of it, so nothing was tried: {statuses}"
