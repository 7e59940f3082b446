"""Bad input is refused with its documented status, and then nothing has happened: no row, no contact of an agent.

A table of endpoints times a table of spoilings, on one broker that demands tokens, as in production.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from yarl import URL

from reference_impl.http import routes
from reference_impl.http.common import REQUEST_BYTES_MAX
from tests.contract.database import Database
from tests.contract.endpoints import ENDPOINTS, Endpoint
from tests.contract.served import Served
from tests.contract.virtual import stepped
from tests.contract.world import ANN, BOB, NOBODY, POLLY, World

UNSTORABLE, REPLACED = "nul \x00 and half a pair \ud800", "nul � and half a pair �"
NO_UUIDS = ("x", "7", ANN[:-1], ANN + "0", ANN + "\x00", "\ud800", "ａ" * 32)
NO_OBJECTS = (b"", b"{", b"[]", b"null", b"7", b'"text"', b"\x00", b"\xff\xfe", b'{"a":NaN}', b'{"a":1e999}',
              b'{"a":' * 200 + b"1" + b"}" * 200, b'{"a":' + b"9" * 5000 + b"}", b"{'a':1}", b'{"a":1}{')  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bad:
    """A request that is refused. `token`: whose token it shows."""

    path: str
    status: int
    error: Any
    body: bytes | dict[str, Any] | None = None
    token: str | None = ANN
    headers: dict[str, str] = field(default_factory=dict)


def spoilt_bodies(endpoint: Endpoint) -> Iterator[Bad]:
    def bad(status: int, error: Any, body: bytes | dict[str, Any]) -> Bad:
        return Bad(endpoint.path, status, error, body)

    for raw in NO_OBJECTS:
        yield bad(400, endpoint.refusal, raw)
    yield bad(413, "request body too large", b" " * (REQUEST_BYTES_MAX + 1))
    for name, error in endpoint.uuids.items():
        for text in NO_UUIDS:
            yield bad(400, error, {**endpoint.body, name: text})
    for name in (*endpoint.uuids, *endpoint.texts):
        for value in (7, 0.5, True, [], {}, ["a"]):
            yield bad(400, endpoint.refusal, {**endpoint.body, name: value})
    for name in endpoint.numbers:
        for value in ("7", True, [], {}):
            yield bad(400, endpoint.refusal, {**endpoint.body, name: value})
    for name in endpoint.required:
        yield bad(400, endpoint.refusal, {key: value for key, value in endpoint.body.items() if key != name})
        yield from (bad(400, endpoint.refusal, {**endpoint.body, name: nothing}) for nothing in (None, ""))


def spoilt_paths(endpoint: Endpoint) -> Iterator[Bad]:
    if "{id}" in endpoint.path:
        for text in ("x", ANN[:-1], "%00", ANN + "%00", "%ff", "%ed%a0%80"):
            yield Bad(endpoint.path.replace("{id}", text), 404, "workspace not found", endpoint.body)
    if endpoint.guarded:
        yield Bad(endpoint.path, 401, "missing workspace auth token", endpoint.body, None)
        yield Bad(endpoint.path, 401, "invalid workspace auth token", endpoint.body, POLLY)
        yield Bad(endpoint.path.replace("{id}", NOBODY), 401, "invalid workspace auth token", endpoint.body)
    if "{delegation_id}" in endpoint.path:
        for text in (NOBODY, "x", "%00", "%ff"):
            yield Bad(endpoint.path.replace("{delegation_id}", text), 404, "delegation not found", endpoint.body)


DELEGATE, UPDATE, A2A, REGISTER, HEARTBEAT = ENDPOINTS[:5]
DENIED = "access denied: workspaces cannot communicate per hierarchy rules"
GONE = (
    "since_id cursor not found (row may have been pruned or belongs to a different workspace); omit since_id to reset"
)
INBOX = "/workspaces/{id}/activity"
SINGLE = (
    Bad(DELEGATE.path, 400, "self-delegation not permitted", {**DELEGATE.body, "target_id": f"{{{ANN}}}"}),
    Bad(DELEGATE.path, 400, DELEGATE.refusal, {**DELEGATE.body, "task": ""}),
    Bad(DELEGATE.path, 400, DELEGATE.refusal, {**DELEGATE.body, "idempotency_key": "é" * 257}),
    Bad(UPDATE.path, 400, "status must be 'completed' or 'failed'", {"status": "queued"}),
    Bad(UPDATE.path, 400, "status must be 'completed' or 'failed'", {"status": "completed\x00"}),
    Bad(UPDATE.path, 400, "status must be 'completed' or 'failed'", {"status": "\ud800"}),
    Bad(UPDATE.path.replace("{id}", BOB), 401, "invalid workspace auth token", UPDATE.body),
    Bad(A2A.path.replace("{id}", NOBODY), 404, "workspace not found", A2A.body, None),
    Bad(A2A.path.replace("{id}", BOB), 401, "missing caller auth token", A2A.body, None, {"X-Workspace-ID": ANN}),
    Bad(A2A.path.replace("{id}", BOB), 401, "invalid caller auth token", A2A.body, POLLY, {"X-Workspace-ID": ANN}),
    Bad(A2A.path.replace("{id}", BOB), 403, "invalid caller ID", A2A.body, ANN, {"X-Workspace-ID": "system:cron"}),
    Bad(A2A.path.replace("{id}", BOB), 403, "invalid caller ID", A2A.body, ANN, {"X-Workspace-ID": ANN[:-1]}),
    Bad(A2A.path.replace("{id}", BOB), 403, DENIED, A2A.body, None, {"X-Workspace-ID": NOBODY}),
    Bad(REGISTER.path, 401, "missing workspace auth token", {**REGISTER.body, "id": ANN}, None),
    Bad(REGISTER.path, 401, "invalid workspace auth token", {**REGISTER.body, "id": ANN}, POLLY),
    Bad(REGISTER.path, 400, "delivery_mode must be 'push' or 'poll'", {**REGISTER.body, "delivery_mode": "\x00"}),
    Bad(REGISTER.path, 400, "url is not publicly routable", {**REGISTER.body, "delivery_mode": "push", "url": "\0"}),
    Bad(HEARTBEAT.path, 401, "missing workspace auth token", {**HEARTBEAT.body, "workspace_id": ANN}, None),
    Bad(HEARTBEAT.path, 401, "invalid workspace auth token", {**HEARTBEAT.body, "workspace_id": ANN}, POLLY),
    Bad(INBOX + "?since_id={foreign}", 410, GONE),
    Bad(INBOX + f"?since_id={NOBODY}", 410, GONE),
    Bad(INBOX + "?since_id=%00", 410, GONE),
    Bad(INBOX + "?peer_id=%ff", 400, "peer_id must be a UUID"),
    Bad(INBOX + "?source=%00", 400, "source must be 'canvas' or 'agent'"),
    Bad(INBOX + "?since_secs=1e3", 400, "since_secs must be a positive integer"),
    Bad(INBOX + "?before_ts=0001-01-01T00:00:00%2B14:00", 400, "before_ts must be an RFC 3339 timestamp"),
)  # fmt: skip
TABLE = [
    *(bad for endpoint in ENDPOINTS for spoil in (spoilt_bodies, spoilt_paths) for bad in spoil(endpoint)),
    *SINGLE,
]


class Stage:
    """A broker that demands tokens; Ann and Polly have one, and Ann has delegated to Polly."""

    def __init__(self, there: Served) -> None:
        self.there = there
        self.tokens: dict[str, str] = {}
        self.names = {"id": ANN}
        there.run(self._set_up(there.it))

    async def _set_up(self, it: World) -> None:
        for workspace in (ANN, POLLY):
            body = {"id": workspace, "agent_card": {}, "delivery_mode": "poll"}
            self.tokens[workspace] = (await it.post("/registry/register", body))[1]["auth_token"]
        bearer = f"Bearer {self.tokens[ANN]}"
        body = {"target_id": POLLY, "task": "write the tests"}
        _, answer = await it.post(f"/workspaces/{ANN}/delegate", body, Authorization=bearer)
        self.names["delegation_id"] = answer["delegation_id"]
        await it.settled(answer["delegation_id"], "queued")
        self.names["foreign"] = str(
            await it.rows.fetchval("SELECT id FROM activity_logs WHERE workspace_id = $1", POLLY)
        )

    async def ask(self, bad: Bad) -> tuple[int, Any]:
        """What the broker answers; a body asks by POST."""
        it, path = self.there.it, bad.path
        for name, value in self.names.items():
            path = path.replace(f"{{{name}}}", value)
        headers = {**bad.headers, **({"Authorization": f"Bearer {self.tokens[bad.token]}"} if bad.token else {})}
        data = json.dumps(bad.body).encode() if isinstance(bad.body, dict) else bad.body
        method = "GET" if data is None else "POST"
        async with it.http.request(method, URL(it.base + path, encoded=True), data=data, headers=headers) as response:
            return response.status, await response.json()

    async def rows(self) -> list[str]:
        """All that is stored."""
        query = "SELECT json_agg(t ORDER BY t::text)::text FROM {} t"
        return [str(await self.there.it.rows.fetchval(query.format(table))) for table in self.there.it.tables]


@pytest.fixture(scope="module")
def stage(database: Database) -> Iterator[Stage]:
    with stepped(database, environment="production", rate_limit=10**9) as there:
        yield Stage(there)


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: f"{bad.path} {str(bad.body)[:60]} {bad.status}")
def test_bad_input_is_refused_and_leaves_no_trace(stage: Stage, bad: Bad) -> None:
    async def play() -> tuple[tuple[int, Any], list[str], list[str]]:
        before = await stage.rows()
        return await stage.ask(bad), before, await stage.rows()

    (status, answer), before, after = stage.there.run(play())
    assert (status, answer["error"]) == (bad.status, bad.error)
    assert after == before
    assert stage.there.it.bob.requests == []


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_the_unspoilt_request_is_accepted_and_free_text_may_be_any(stage: Stage, endpoint: Endpoint) -> None:
    """Otherwise a refusal would say nothing about what was spoilt."""
    for free in (*((name,) for name in endpoint.free), ()):
        body = {**endpoint.body, **dict.fromkeys(free, UNSTORABLE)}
        status, answer = stage.there.run(stage.ask(Bad(endpoint.path, endpoint.accepted, "", body)))
        assert status == endpoint.accepted, (free, answer)
    assert not endpoint.free or REPLACED in "".join(stage.there.run(stage.rows()))


def test_every_endpoint_with_a_body_is_in_the_table() -> None:
    with_body = {path for path, methods in routes.DOCUMENT["paths"].items() if "requestBody" in methods.get("post", {})}
    assert {endpoint.path for endpoint in ENDPOINTS} == with_body
