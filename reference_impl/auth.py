"""Bearer tokens: who may act for a workspace.

A token is 32 random bytes, base64url without padding; the database holds its SHA-256. It opens its own
workspace and no other. If the database cannot be asked, nobody is let in: the error reaches the client as 503.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Callable
from datetime import datetime

from reference_impl.config import Config
from reference_impl.store import Connection, Store

_TOKEN_BYTES = 32
_PREFIX_CHARS = 8
_LIVE = """
SELECT token.token_hash
FROM workspace_auth_tokens token JOIN workspaces workspace ON workspace.id = token.workspace_id
WHERE token.workspace_id = $1 AND token.revoked_at IS NULL AND workspace.status <> 'removed'
"""


_OWNER = """
SELECT token.workspace_id
FROM workspace_auth_tokens token JOIN workspaces workspace ON workspace.id = token.workspace_id
WHERE token.token_hash = $1 AND token.revoked_at IS NULL AND workspace.status <> 'removed'
"""


class Unauthorized(Exception):
    """The request shows no token, or one that does not open the workspace; the message is the answer."""


def bearer_of(header: str | None) -> str | None:
    """The token in an Authorization header."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def token_hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()


async def live_hashes(connection: Connection, workspace: str) -> list[bytes]:
    """The hashes of the tokens that open the workspace."""
    return [bytes(row["token_hash"]) for row in await connection.fetch(_LIVE, workspace)]


async def issue_token(connection: Connection, workspace: str, *, at: datetime, new_id: Callable[[], str]) -> str:
    """Store a new token and return it; this is the only time that it can be seen."""
    token = base64.urlsafe_b64encode(os.urandom(_TOKEN_BYTES)).rstrip(b"=").decode()
    await connection.execute(
        "INSERT INTO workspace_auth_tokens (id, workspace_id, token_hash, prefix, created_at) "
        "VALUES ($1, $2, $3, $4, $5)",
        new_id(),
        workspace,
        token_hash(token),
        token[:_PREFIX_CHARS],
        at,
    )
    return token


class Guard:
    """Decides whether a bearer may act for a workspace."""

    def __init__(self, *, config: Config, store: Store) -> None:
        self._config = config
        self._store = store

    def is_admin(self, bearer: str | None) -> bool:
        admin = self._config.admin_token
        return bool(admin and bearer) and hmac.compare_digest(admin.encode(), (bearer or "").encode(errors="replace"))

    def check_admin(self, bearer: str | None) -> None:
        """For the routes under `/admin`. Raises `Unauthorized`."""
        if bearer is None:
            if not self._config.fails_open:
                raise Unauthorized("missing admin auth token")
        elif not self.is_admin(bearer):
            raise Unauthorized("invalid admin auth token")

    async def workspace_of(self, bearer: str) -> str | None:
        """The workspace that the token opens, None if there is none."""
        hashed = token_hash(bearer)
        found = await self._store.run(lambda connection: connection.fetchval(_OWNER, hashed))
        return found and str(found)

    async def check_workspace(self, workspace: str, bearer: str | None) -> None:
        """For the routes under `/workspaces/:id`. Raises `Unauthorized`."""
        if bearer is None:
            if not self._config.fails_open:
                raise Unauthorized("missing workspace auth token")
        elif not self.is_admin(bearer):
            hashes = await self._store.run(lambda connection: live_hashes(connection, workspace))
            if not matches(bearer, hashes):
                raise Unauthorized("invalid workspace auth token")

    async def check_caller(self, caller: str, bearer: str | None) -> None:
        """For a workspace that names itself in a header: it must prove it if it has a token (INV-18)."""
        self.prove(await self._store.run(lambda connection: live_hashes(connection, caller)), bearer, "caller")

    def prove(self, hashes: list[bytes], bearer: str | None, whose: str) -> None:
        """Nothing to prove for a workspace without tokens. Raises `Unauthorized`."""
        if not hashes or self.is_admin(bearer):
            return
        if bearer is None:
            raise Unauthorized(f"missing {whose} auth token")
        if not matches(bearer, hashes):
            raise Unauthorized(f"invalid {whose} auth token")


def matches(bearer: str, hashes: list[bytes]) -> bool:
    """Whether the bearer is one of the tokens."""
    presented = token_hash(bearer)
    return any(hmac.compare_digest(presented, stored) for stored in hashes)
