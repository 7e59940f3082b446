"""A delegation broker that shares nothing with ours: raw asyncio streams, dicts in memory, no framework, no database.

It is thin on purpose, and correct in what it does; each of `DEFECTS` makes one known mistake. It speaks the contract's
HTTP API as far as it has it: register, heartbeat, delegate, the listing and the inbox.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

DEFECTS = {
    "silent_failures": "a failure leaves no row in the caller's inbox",
    "retry_anyway": "what may have been delivered is sent again",
    "empty_completes": "a 2xx without a body completes",
    "push_to_pollers": "a poll target is pushed to, without a word",
    "dies_with_request": "the work ends when the request that brought it does",
}
AGENT_SILENCE_S = 5.0

Answer = tuple[int, Any]


class Unsent(Exception):
    """The agent certainly did not get the message."""


class Broker:
    """All state, and the life of a delegation."""

    def __init__(self, *, retry_delay_s: float, defects: set[str], entry_token: str, own_ways: bool) -> None:
        """`own_ways`: ids are its own, its paths begin otherwise, and the inbox is elsewhere."""
        self.own_ways = own_ways
        self.retry_delay_s, self.defects, self.entry_token = retry_delay_s, defects, entry_token
        self.workspaces: dict[str, dict[str, Any]] = {}
        self.delegations: dict[str, dict[str, Any]] = {}
        self.inbox: dict[str, list[dict[str, Any]]] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    def answer(self, method: str, target: str, bearer: str, body: Any) -> Answer:
        url = urlsplit(target)
        path = url.path.removeprefix("/v2/inboxes-of") if self.own_ways else url.path
        if path != url.path:
            path = f"/v2/workspaces{path}/activity"
        if self.own_ways and not path.startswith("/v2/"):
            return 404, {"error": "not found"}
        match method, path.removeprefix("/v2").strip("/").split("/"):
            case "POST", ["registry", "register"]:
                return self.register(bearer, body)
            case "POST", ["registry", "heartbeat"]:
                return 200, {"status": "ok"}
            case _, ["workspaces", own, *rest] if own in self.workspaces:
                if self.entry_token and bearer != self.workspaces[own]["token"]:
                    return 401, {"error": "invalid workspace auth token"}
                if (method, rest) == ("POST", ["delegate"]):
                    return self.delegate(own, body)
                if (method, rest) == ("GET", ["delegations"]):
                    listed = [each for each in self.delegations.values() if each["source_id"] == own]
                    return 200, [{k: v for k, v in each.items() if k != "task"} for each in listed[::-1]][:50]
                if (method, rest) == ("GET", ["activity"]):
                    return self.read_inbox(own, parse_qs(url.query))
        return 404, {"error": "not found"}

    def register(self, bearer: str, body: Any) -> Answer:
        if self.entry_token and bearer != self.entry_token:
            return 401, {"error": "missing workspace auth token"}
        token = secrets.token_urlsafe(32)
        own = str(uuid.uuid4()) if self.own_ways else body["id"]
        mode = body.get("delivery_mode") or "push"
        self.workspaces[own] = {"url": body.get("url"), "mode": mode, "token": token}
        self.inbox.setdefault(own, [])
        if self.own_ways:
            return 201, {"workspace": {"id": own, "secret": token}}
        return 200, {"status": "registered", "auth_token": token, "delivery_mode": mode}

    def delegate(self, source: str, body: Any) -> Answer:
        target, task, key = body.get("target_id"), body.get("task"), body.get("idempotency_key")
        if not target or not task:
            return 400, {"error": "invalid delegation request"}
        if target == source:
            return 400, {"error": "self-delegation not permitted"}
        for each in self.delegations.values():
            if key and (each["source_id"], each["key"]) == (source, key) and each["status"] != "failed":
                told = {name: each[name] for name in ("delegation_id", "status", "target_id")}
                return 200, {**told, "idempotent_hit": True}
        delegation = {
            "delegation_id": str(uuid.uuid4()),
            "source_id": source,
            "target_id": target,
            "task": task,
            "key": key,
            "status": "pending",
        }
        self.delegations[delegation["delegation_id"]] = delegation
        return 202, {"delegation_id": delegation["delegation_id"], "status": "delegated", "target_id": target}

    def begin(self, delegation_id: str) -> asyncio.Task[None]:
        task = asyncio.create_task(self.execute(self.delegations[delegation_id]))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def execute(self, delegation: dict[str, Any]) -> None:
        target = self.workspaces.get(delegation["target_id"])
        if target is None:
            return self.end(delegation, "failed", "target unknown")
        if target["mode"] == "poll" and "push_to_pollers" not in self.defects:
            delegation["status"] = "queued"
            self.add_row(delegation["target_id"], delegation["source_id"], "message/send", request=message(delegation))
            return None
        delegation["status"] = "dispatched"
        for attempt in (1, 2):
            try:
                status, answer = await send(target["url"], message(delegation))
            except (Unsent, OSError, EOFError, TimeoutError) as error:
                again = isinstance(error, Unsent) or "retry_anyway" in self.defects
                if attempt == 1 and again:
                    await asyncio.sleep(self.retry_delay_s)
                    continue
                return self.end(delegation, "failed", str(error) or type(error).__name__)
            if 200 <= status < 300 and (answer or "empty_completes" in self.defects):
                return self.end(delegation, "completed", text_of(answer))
            return self.end(delegation, "failed", f"agent answered {status} with {len(answer)} bytes")

    def end(self, delegation: dict[str, Any], status: str, text: str) -> None:
        delegation["status"] = status
        failed = status == "failed"
        if not (failed and "silent_failures" in self.defects):
            source, named = delegation["source_id"], {"delegation_id": delegation["delegation_id"]}
            self.add_row(source, source, "delegate_result", request=named, text=text, failed=failed)

    def add_row(
        self, owner: str, source: str, method: str, *, request: Any, text: str | None = None, failed: bool = False
    ) -> None:
        row = {
            "id": str(uuid.uuid4()),
            "workspace_id": owner,
            "activity_type": "a2a_receive",
            "source_id": source,
            "method": method,
            "status": "error" if failed else "ok",
            "error_detail": text if failed else None,
            "request_body": request,
            "response_body": None if text is None else {**request, "text": text},
            "created_at": datetime.now(UTC).isoformat(),
        }
        self.inbox[owner].append(row)

    def read_inbox(self, own: str, query: dict[str, list[str]]) -> Answer:
        rows = self.inbox[own]
        if (since := query.get("since_id")) is None:
            return 200, rows[::-1][:100]
        ids = [row["id"] for row in rows]
        if since[0] not in ids:
            return 410, {"error": "since_id cursor not found"}
        return 200, rows[ids.index(since[0]) + 1 :]


def message(delegation: dict[str, Any]) -> dict[str, Any]:
    own = delegation["delegation_id"]
    said = {"role": "user", "messageId": own, "metadata": {"delegation_id": own}}
    parts = [{"kind": "text", "text": delegation["task"]}]
    return {"jsonrpc": "2.0", "id": own, "method": "message/send", "params": {"message": {**said, "parts": parts}}}


def text_of(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["result"]["parts"][0]["text"])
    except (ValueError, LookupError, TypeError):
        return answer.decode("utf-8", "replace")


async def send(url: str, body: Any) -> tuple[int, bytes]:
    """Status and body of the agent's answer, as much of it as came. Raises Unsent if it cannot have got the message."""
    place = urlsplit(url)
    try:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
    except OSError as error:
        raise Unsent(f"connection refused: {error.strerror}") from None
    try:
        payload = json.dumps(body).encode()
        head = f"POST {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n".encode() + payload)
        async with asyncio.timeout(AGENT_SILENCE_S):
            first = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            answer = b""
            try:
                while piece := await reader.read(65536):
                    answer += piece
            except OSError:
                pass  # the agent has answered: what came of it counts
        status = int(first.split(" ", 2)[1])
        if status == 503 and b'"restarting": true' in answer:
            raise Unsent("agent is restarting")
        return status, answer
    finally:
        writer.close()


def serving(broker: Broker) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        work = None
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
            body = await reader.readexactly(int(fields.get("content-length", 0)))
            method, target, _ = lines[0].split(" ")
            bearer = fields.get("authorization", "").removeprefix("Bearer ")
            status, answer = broker.answer(method, target, bearer, json.loads(body) if body else None)
            if status == 202:
                work = broker.begin(answer["delegation_id"])
            said = json.dumps(answer).encode()
            head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(said)}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n".encode() + said)
            await writer.drain()
        except (OSError, EOFError):
            pass  # the client is gone
        finally:
            writer.close()
            if work is not None and "dies_with_request" in broker.defects:
                work.cancel()

    return serve


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--retry-delay", type=float, default=0.3)
    parser.add_argument("--defect", action="append", default=[], choices=DEFECTS)
    parser.add_argument("--own-ways", action="store_true")
    options = parser.parse_args()
    broker = Broker(
        retry_delay_s=options.retry_delay,
        defects=set(options.defect),
        entry_token=os.environ.get("OTHER_BROKER_TOKEN", ""),
        own_ways=options.own_ways,
    )
    async with await asyncio.start_server(serving(broker), "127.0.0.1", options.port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
