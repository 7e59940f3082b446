"""Rate limits: so many requests a minute of each client address, and to the MCP bridge by each bearer token.

A client's minute begins with its first request, and the next one with the first request after that. What is left is
told in every answer; who has nothing left is answered 429 and told when to come again. The address is that of the
connection, as anybody can write any header. A broker that fails open (development) installs none of this.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from aiohttp import web

from reference_impl.auth import token_hash
from reference_impl.config import Config
from reference_impl.http import mcp
from reference_impl.http.common import Handler, Problem, bearer

MINUTE_S = 60.0
CLIENTS_MAX = 10_000
"""So many minutes are kept; when there are more, the oldest is forgotten, and its client has a new one."""

_BRIDGE = {operation.path for operation in mcp.OPERATIONS}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a client stands once its request was counted; `left` more are allowed until its minute is over."""

    limit: int
    left: int
    reset_s: int
    refused: bool

    def headers(self) -> dict[str, str]:
        told = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.left),
            "X-RateLimit-Reset": str(self.reset_s),
        }
        return told | ({"Retry-After": str(self.reset_s)} if self.refused else {})


_STANDING = web.RequestKey("_STANDING", Standing)


@dataclass(slots=True)
class _Minute:
    ends_s: float
    left: int


class RateLimit:
    """`per_minute` requests of each client."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        # The oldest first: all are of one length.
        self._minutes: OrderedDict[Hashable, _Minute] = OrderedDict()

    def __len__(self) -> int:
        """How many clients are remembered."""
        return len(self._minutes)

    def count(self, client: Hashable) -> Standing:
        """One request more of the client."""
        now_s = asyncio.get_running_loop().time()
        minute = self._minute_of(client, now_s)
        refused = minute.left == 0
        if not refused:
            minute.left -= 1
        # Rounded up: who waits for so long is let in.
        return Standing(self._per_minute, minute.left, math.ceil(minute.ends_s - now_s), refused)

    def _minute_of(self, client: Hashable, now_s: float) -> _Minute:
        minutes = self._minutes
        while minutes and next(iter(minutes.values())).ends_s <= now_s:
            minutes.popitem(last=False)
        if client not in minutes:
            if len(minutes) == CLIENTS_MAX:
                minutes.popitem(last=False)
            minutes[client] = _Minute(now_s + MINUTE_S, self._per_minute)
        return minutes[client]


def install(app: web.Application, config: Config) -> None:
    """Have every request of the application counted."""
    addresses, tokens = RateLimit(config.rate_limit), RateLimit(config.mcp_rate_limit)

    @web.middleware
    async def limited(request: web.Request, handler: Handler) -> web.StreamResponse:
        _admit(request, addresses.count(request.remote), "rate limit exceeded")
        resource = request.match_info.route.resource
        token = bearer(request)
        if token and resource is not None and resource.canonical in _BRIDGE:
            _admit(request, tokens.count(token_hash(token)), "MCP rate limit exceeded")
        return await handler(request)

    app.middlewares.append(limited)
    # Not by the middleware: a stream has sent its headers long before its handler returns.
    app.on_response_prepare.append(_tell)


def _admit(request: web.Request, standing: Standing, error: str) -> None:
    request[_STANDING] = standing
    if standing.refused:
        raise Problem(429, error, retry_after=standing.reset_s)


async def _tell(request: web.Request, response: web.StreamResponse) -> None:
    if (standing := request.get(_STANDING)) is not None:
        response.headers.update(standing.headers())
