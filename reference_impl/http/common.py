"""What all resources share: answers, error answers, request bodies, and the guard of `/workspaces/:id`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import asyncpg
from aiohttp import web

from reference_impl.auth import Unauthorized, bearer_of
from reference_impl.services import SERVICES
from reference_impl.store import RETRYABLE, describe
from reference_impl.text import dump_json, parse_object, parse_uuid

REQUEST_BYTES_MAX = 1024 * 1024
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_log = logging.getLogger(__name__)


class Problem(Exception):
    """An error answer: a status and a JSON body with the key `error`."""

    def __init__(self, status: int, error: str, /, **extra: Any) -> None:
        super().__init__(error)
        self.status = status
        self.payload = {"error": error, **extra}


@contextlib.contextmanager
def refused_as(error: str) -> Iterator[None]:
    """What the database refuses to do within is the answer 500 with `error`; that it is away is everybody's 503."""
    try:
        yield
    except RETRYABLE:
        raise
    except asyncpg.PostgresError:
        _log.exception(error)
        raise Problem(500, error) from None


def answer(payload: Any, *, status: int = 200) -> web.Response:
    return web.Response(status=status, text=dump_json(payload), content_type="application/json")


async def json_body(request: web.Request, *, error: str) -> dict[str, Any]:
    """The request's JSON object. Raises `Problem` 400 with `error`, and 413 for too large a body."""
    raw = await raw_body(request)
    try:
        return parse_object(raw)
    except ValueError:
        raise Problem(400, error) from None


async def raw_body(request: web.Request) -> bytes:
    """The request's body. Raises `Problem` 400 if it cannot be read, 413 if it is too large."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise Problem(413, "request body too large", truncated=True, max_bytes=REQUEST_BYTES_MAX) from None
    except (OSError, web.RequestPayloadError):
        raise Problem(400, "failed to read request body") from None


def text_field(body: dict[str, Any], name: str) -> str:
    """A string member; absent and null read as empty. Raises `ValueError` for any other type."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a string")
    return value


def workspace_of(request: web.Request) -> str:
    """The workspace in the path, in canonical form. Raises `Problem` 404."""
    workspace = parse_uuid(request.match_info["id"])
    if workspace is None:
        raise Problem(404, "workspace not found")
    return workspace


def bearer(request: web.Request) -> str | None:
    return bearer_of(request.headers.get("Authorization"))


def guarded(handler: Handler) -> Handler:
    """The handler, behind the token of the workspace in the path."""

    async def guarded_handler(request: web.Request) -> web.StreamResponse:
        await request.app[SERVICES].guard.check_workspace(workspace_of(request), bearer(request))
        return await handler(request)

    return guarded_handler


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error is a JSON answer; a database that cannot be reached is a 503."""
    try:
        return await handler(request)
    except Problem as problem:
        return answer(problem.payload, status=problem.status)
    except Unauthorized as error:
        return answer({"error": str(error)}, status=401)
    except web.HTTPException as error:
        return answer({"error": error.reason.lower()}, status=error.status)
    except RETRYABLE as error:
        _log.error("%s %s: %s", request.method, request.path, describe(error))
        unavailable = "platform datastore unavailable — retry shortly"
        return answer({"error": unavailable, "code": "platform_unavailable"}, status=503)
    except Exception:
        _log.exception("%s %s", request.method, request.path)
        return answer({"error": "internal error"}, status=500)
