"""The floor that a broker is compared with: the same hops and as many statements for each delegation, and no logic.

A bare aiohttp app with a bare asyncpg pool. It accepts a delegation with one insert, answers, then reads four rows,
writes three, sends one request to the agent over a connection of its own, as the reference broker does, and ends with
a transaction of three writes. There are no checks, events, retries, timeouts or recovery.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import uuid
from typing import Any

import aiohttp
import asyncpg
from aiohttp import web

SCHEMA = "CREATE TABLE IF NOT EXISTS floor (id uuid PRIMARY KEY, delegation_id uuid, kind text, body jsonb)"
DONE = "SELECT count(*) FROM floor WHERE kind = 'inbox'"

_INSERT = "INSERT INTO floor (id, delegation_id, kind, body) VALUES ($1, $2, $3, $4)"
_UPDATE = "UPDATE floor SET kind = $2, body = $3 WHERE id = $1"
_READ = "SELECT kind, body FROM floor WHERE id = $1"


class Floor:
    """The app's state."""

    def __init__(self, pool: asyncpg.Pool[Any], agent_url: str) -> None:
        self._pool = pool
        self._agent_url = agent_url
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0))
        self._running: set[asyncio.Task[None]] = set()

    async def delegate(self, request: web.Request) -> web.Response:
        """Accept, and execute apart."""
        body = await request.read()
        task = json.loads(body)["task"]
        delegation = uuid.uuid4()
        await self._pool.execute(_INSERT, delegation, delegation, "pending", body.decode())
        running = asyncio.create_task(self._execute(delegation, task))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return web.json_response({"delegation_id": str(delegation), "status": "delegated"}, status=202)

    async def _execute(self, delegation: uuid.UUID, task: str) -> None:
        for _ in range(4):
            await self._pool.fetchrow(_READ, delegation)
        await self._pool.execute(_UPDATE, delegation, "dispatched", "{}")
        inbound = uuid.uuid4()
        await self._pool.execute(_INSERT, inbound, delegation, "inbound", "{}")
        message = {"method": "message/send", "params": {"message": {"parts": [{"kind": "text", "text": task}]}}}
        async with self._session.post(self._agent_url, json=message) as response:
            reply = (await response.read()).decode()
        await self._pool.execute(_UPDATE, inbound, "answered", reply)
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_UPDATE, delegation, "completed", reply)
            await connection.execute(_INSERT, uuid.uuid4(), delegation, "result", reply)
            await connection.execute(_INSERT, uuid.uuid4(), delegation, "inbox", reply)


async def serve(database_url: str, agent_url: str) -> None:
    """Run until killed."""
    pool = await asyncpg.create_pool(database_url, min_size=1, max_size=10)
    await pool.execute(SCHEMA)
    app = web.Application()
    app.router.add_post("/workspaces/{id}/delegate", Floor(pool, agent_url).delegate)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    logging.getLogger("floor").info("listening on port %d", runner.addresses[0][1])
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    asyncio.run(serve(os.environ["DATABASE_URL"], os.environ["AGENT_URL"]))
