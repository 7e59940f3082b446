"""/registry: agents announce themselves and say that they live."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from reference_impl.auth import issue_token, live_hashes
from reference_impl.events import Event, store_event
from reference_impl.http.common import Problem, answer, bearer, json_body, refused_as, text_field
from reference_impl.http.description import NUMBER, OBJECT, TEXT, UUID, Operation, object_of, one_of, or_null, refused
from reference_impl.services import SERVICES, Services
from reference_impl.store import Connection, Record, transaction
from reference_impl.targets import UnsafeTarget
from reference_impl.text import dump_json, parse_uuid

_SPEND_MAX_CENTS = 1_000_000_000_000
_REGISTRATION_FAILED = "registration failed"

# The column is never empty, so what is stored decides for every workspace that there is.
_MODE = "SELECT delivery_mode FROM workspaces WHERE id = $1"

# A loopback URL is one that whoever started the agent has stored; the agent cannot know how it is reached from here.
_REGISTER = """
INSERT INTO workspaces (id, name, status, agent_card, url, delivery_mode, last_heartbeat_at)
VALUES ($1, $2, 'online', $3, $4, $5, $6)
ON CONFLICT (id) DO UPDATE
SET status = 'online', agent_card = EXCLUDED.agent_card,
    url = CASE WHEN workspaces.url LIKE 'http://127.0.0.1%' THEN workspaces.url ELSE EXCLUDED.url END,
    delivery_mode = EXCLUDED.delivery_mode, last_heartbeat_at = EXCLUDED.last_heartbeat_at
WHERE workspaces.status <> 'removed'
"""

_HEARTBEAT = """
WITH before AS (
    SELECT id, status, current_task FROM workspaces WHERE id = $1 AND status <> 'removed' FOR UPDATE
)
UPDATE workspaces
SET last_heartbeat_at = $2, last_error_rate = $3::float8, active_tasks = $4, current_task = $5,
    monthly_spend = CASE WHEN $6::bigint > 0 THEN $6::bigint ELSE monthly_spend END,
    status = CASE
        WHEN before.status = 'online' AND ($3::float8 >= 0.5 OR $7::boolean) THEN 'degraded'
        WHEN before.status = 'degraded' AND $3::float8 < 0.1 AND NOT $7::boolean THEN 'online'
        WHEN before.status IN ('offline', 'provisioning') THEN 'online'
        ELSE before.status
    END
FROM before
WHERE workspaces.id = before.id
RETURNING before.current_task, before.status AS status_before, workspaces.status,
    active_tasks < max_concurrent_tasks AS has_capacity
"""
_TRANSITIONS = {"online": "WORKSPACE_ONLINE", "degraded": "WORKSPACE_DEGRADED"}

_UNPROVEN = refused("missing workspace auth token", "invalid workspace auth token")

OPERATIONS = (
    Operation(
        "POST",
        "/registry/register",
        "An agent announces itself; the first time, it gets its token",
        {
            200: object_of(
                status=one_of("registered"), delivery_mode=one_of("push", "poll"), optional={"auth_token": TEXT}
            ),
            400: refused(
                "invalid registration request",
                "delivery_mode must be 'push' or 'poll'",
                "url is required for push delivery",
                "url is not publicly routable",
                "url cannot be resolved",
            ),
            401: _UNPROVEN,
            500: refused(_REGISTRATION_FAILED),
        },
        body={
            "description": "Push needs a url. Without delivery_mode it stays as it was, at first push.",
            "anyOf": [
                object_of(id=UUID, agent_card=OBJECT, delivery_mode=one_of("poll")),
                object_of(id=UUID, agent_card=OBJECT, url=TEXT, optional={"delivery_mode": one_of("push", "", None)}),
            ],
        },
    ),
    Operation(
        "POST",
        "/registry/heartbeat",
        "An agent says that it lives, and how busy it is",
        {200: object_of(status=one_of("ok")), 400: refused("invalid heartbeat request"), 401: _UNPROVEN},
        body=object_of(
            workspace_id=UUID,
            optional={
                **{name: or_null(NUMBER) for name in ("active_tasks", "error_rate", "monthly_spend", "uptime_seconds")},
                **{name: or_null(TEXT) for name in ("current_task", "runtime_state", "sample_error")},
                "runtime_metadata": or_null(
                    object_of(
                        optional={"idle_timeout_seconds": or_null(NUMBER), "capabilities": or_null(OBJECT)},
                    )
                ),
            },
        ),
    ),
)


def add_routes(app: web.Application) -> None:
    app.router.add_post("/registry/register", register)
    app.router.add_post("/registry/heartbeat", heartbeat)


async def register(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    body = await json_body(request, error="invalid registration request")
    try:
        url, mode = text_field(body, "url"), text_field(body, "delivery_mode")
        workspace = parse_uuid(text_field(body, "id"))
    except ValueError:
        raise Problem(400, "invalid registration request") from None
    card = body.get("agent_card")
    if workspace is None or not isinstance(card, dict):
        raise Problem(400, "invalid registration request")
    if mode not in ("", "push", "poll"):
        raise Problem(400, "delivery_mode must be 'push' or 'poll'")
    if not mode:
        with refused_as(_REGISTRATION_FAILED):
            mode = await services.store.run(lambda connection: connection.fetchval(_MODE, workspace)) or "push"
    if mode == "push":
        await _check_url(services, url)
    event = services.events.make("WORKSPACE_ONLINE", workspace, {"delivery_mode": mode})
    shown = bearer(request)

    async def store(connection: Connection) -> tuple[bool, str | None]:
        async with transaction(connection):
            # The row lock that follows makes two first registrations one after the other.
            await connection.execute("SELECT FROM workspaces WHERE id = $1 FOR UPDATE", workspace)
            hashes = await live_hashes(connection, workspace)
            services.guard.prove(hashes, shown, "workspace")
            name = card.get("name")
            result = await connection.execute(
                _REGISTER,
                workspace,
                name if isinstance(name, str) and name else workspace,
                dump_json(card),
                url or None,
                mode,
                event.at,
            )
            if result.endswith(" 0"):
                return False, None  # removed, and stays so (INV-99)
            await store_event(connection, event)
            if hashes:
                return True, None
            return True, await issue_token(connection, workspace, at=event.at, new_id=services.new_id)

    with refused_as(_REGISTRATION_FAILED):
        lives, token = await services.store.run(store)
    if lives:
        services.liveness.heard_of(workspace, at=event.at)
        services.watchers.broadcast(event)
    return answer({"status": "registered", "delivery_mode": mode} | ({"auth_token": token} if token else {}))


async def heartbeat(request: web.Request) -> web.Response:
    """An agent lives. If it has capacity, a drain of its queue starts (INV-80)."""
    services = request.app[SERVICES]
    body = await json_body(request, error="invalid heartbeat request")
    try:
        workspace = parse_uuid(text_field(body, "workspace_id"))
        task, state = text_field(body, "current_task"), text_field(body, "runtime_state")
        sample_error = text_field(body, "sample_error")
        error_rate = float(_number(body, "error_rate"))
        _number(body, "uptime_seconds")
        metadata = _object(body, "runtime_metadata")
        _object(metadata, "capabilities")
        own_silence_s = float(_number(metadata, "idle_timeout_seconds"))
        active_tasks = min(max(int(_number(body, "active_tasks")), 0), 2**31 - 1)
        spend = min(max(int(_number(body, "monthly_spend")), 0), _SPEND_MAX_CENTS)
    except (ValueError, OverflowError):
        raise Problem(400, "invalid heartbeat request") from None
    if workspace is None:
        raise Problem(400, "invalid heartbeat request")
    make = services.events.make
    beat = make("WORKSPACE_HEARTBEAT", workspace, {"active_tasks": active_tasks, "current_task": task})
    changed = make("TASK_UPDATED", workspace, {"current_task": task, "active_tasks": active_tasks})
    troubles = {"error_rate": error_rate, "sample_error": sample_error, "runtime_state": state}
    turned = {status: make(event_type, workspace, troubles) for status, event_type in _TRANSITIONS.items()}
    shown = bearer(request)

    async def store(connection: Connection) -> tuple[Record | None, list[Event]]:
        async with transaction(connection):
            services.guard.prove(await live_hashes(connection, workspace), shown, "workspace")
            row = await connection.fetchrow(
                _HEARTBEAT,
                workspace,
                beat.at,
                error_rate,
                active_tasks,
                task or None,
                spend,
                state == "wedged",
            )
            news = []
            if row and row["status"] != row["status_before"]:
                news.append(turned[row["status"]])
            if row and (row["current_task"] or "") != task:
                news.append(changed)
            news.append(beat)
            for event in news:
                await store_event(connection, event)
            return row, news

    row, news = await services.store.run(store)
    if row is not None:
        services.liveness.heard_of(workspace, at=beat.at)
        services.silence.allow(workspace, own_silence_s if own_silence_s > 0 else None)
    for event in news:
        services.watchers.broadcast(event)
    if row is not None and row["has_capacity"]:
        services.drain.start(workspace)
    return answer({"status": "ok"})


async def _check_url(services: Services, url: str) -> None:
    if not url:
        raise Problem(400, "url is required for push delivery")
    try:
        async with asyncio.timeout(services.config.connect_timeout_s):
            await services.resolver.check(url)
    except UnsafeTarget:
        raise Problem(400, "url is not publicly routable") from None
    except OSError:
        raise Problem(400, "url cannot be resolved") from None


def _number(body: dict[str, Any], name: str) -> float | int:
    value = body.get(name)
    if value is None:
        return 0
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{name} is not a number")
    return value


def _object(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not an object")
    return value
