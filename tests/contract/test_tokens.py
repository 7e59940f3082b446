"""Tokens: given once, kept as hashes, and what each of them opens (INV-18)."""

from __future__ import annotations

import base64
import hashlib
import json

from tests.contract.database import Database
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, world

CARL = "00000000-0000-4000-8000-00000000000d"
CARD = {"name": "carl"}

TOKEN_CHARS = 43


def test_a_new_agent_registers_once_and_then_needs_its_token(database: Database) -> None:
    async def play() -> None:
        async with world(database, environment="production") as it:
            order = {"id": CARL, "url": it.bob.url, "agent_card": CARD}
            status, first = await it.post("/registry/register", order)
            assert (status, first["status"], first["delivery_mode"]) == (200, "registered", "push")
            token = first["auth_token"]
            assert len(token) == TOKEN_CHARS
            bearer = {"Authorization": f"Bearer {token}"}
            for headers, expected in [
                ({}, (401, {"error": "missing workspace auth token"})),
                ({"Authorization": "Bearer x"}, (401, {"error": "invalid workspace auth token"})),
                (bearer, (200, {"status": "registered", "delivery_mode": "push"})),
            ]:
                assert await it.post("/registry/register", order, **headers) == expected
            beat = {"workspace_id": CARL}
            assert (await it.post("/registry/heartbeat", beat))[0] == 401
            assert await it.post("/registry/heartbeat", beat, **bearer) == (200, {"status": "ok"})
            path = "/delegate"
            body = {"target_id": BOB, "task": "t"}
            assert (await it.post(f"/workspaces/{CARL}{path}", body))[1] == {"error": "missing workspace auth token"}
            assert (await it.post(f"/workspaces/{CARL}{path}", body, **bearer))[0] == 202
            # A token opens its own workspace and no other (INV-18).
            refused = await it.post(f"/workspaces/{ANN}{path}", body, **bearer)
            assert refused == (401, {"error": "invalid workspace auth token"})
            hello = {"method": "message/send", "params": {"message": {}}}
            named = {"X_Workspace_ID": CARL}
            for headers, expected_status, error in [
                ({}, 401, "missing caller auth token"),
                ({"Authorization": "Bearer x"}, 401, "invalid caller auth token"),
                (bearer, 200, None),
            ]:
                got, answer = await it.post(f"/workspaces/{BOB}/a2a", hello, **headers, **named)
                assert (got, answer.get("error")) == (expected_status, error)
            await it.rows.execute("UPDATE workspaces SET status = 'removed' WHERE id = $1", CARL)
            assert (await it.post(f"/workspaces/{CARL}{path}", body, **bearer))[0] == 401
            dump = json.dumps([dict(row) for row in await it.rows.fetch("SELECT * FROM structure_events")], default=str)
            assert token not in dump

    in_virtual_time(database, play())


def test_a_token_is_kept_as_its_hash_and_can_be_revoked(database: Database) -> None:
    async def play() -> None:
        async with world(database, environment="production") as it:
            order = {"id": CARL, "url": it.bob.url, "agent_card": CARD}
            token = (await it.post("/registry/register", order))[1]["auth_token"]
            row = await it.one("SELECT * FROM workspace_auth_tokens")
            assert bytes(row["token_hash"]) == hashlib.sha256(token.encode()).digest()
            assert (row["prefix"], str(row["workspace_id"]), row["revoked_at"]) == (token[:8], CARL, None)
            assert len(base64.urlsafe_b64decode(token + "=")) == 32
            path, bearer = f"/workspaces/{CARL}/delegations", {"Authorization": f"Bearer {token}"}
            assert await it.get(path, **bearer) == (200, [])
            assert (await it.get(path, Authorization=f"bearer  {token} "))[0] == 200
            assert (await it.get(path, Authorization=f"Basic {token}"))[1] == {"error": "missing workspace auth token"}
            await it.rows.execute("UPDATE workspace_auth_tokens SET revoked_at = $1", it.now)
            assert await it.get(path, **bearer) == (401, {"error": "invalid workspace auth token"})
            # Nobody has proved to be Carl any more, so the next to register is taken for him.
            assert "auth_token" in (await it.post("/registry/register", order))[1]

    in_virtual_time(database, play())


def test_the_admin_token_opens_every_workspace(database: Database) -> None:
    async def play() -> None:
        async with world(database, admin_token="root-of-all") as it:
            path = f"/workspaces/{ANN}/delegations"
            assert (await it.get(path))[0] == 401
            assert (await it.get(path, Authorization="Bearer wrong"))[0] == 401
            assert (await it.get(path, Authorization="Bearer root-of-all")) == (200, [])

    in_virtual_time(database, play())
