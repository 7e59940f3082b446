"""One POST to one agent, and what is known about it afterwards.

All that matters is whether the agent can have got the message, so nothing here may blur that:

* A new connection each time. On a kept one that the agent has just closed, the request is lost in a way that
  looks like a crash after delivery. On a new one, failing to connect is what it looks like: not delivered.
* No redirects, which would deliver twice, and no retry: aiohttp repeats idempotent methods only.
* The body reports when its last byte has left for the socket. A connection lost before that has delivered
  nothing; one lost later may have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from reference_impl.events import Listener
from reference_impl.silence import Silence
from reference_impl.targets import TargetResolver, UnsafeTarget

REPLY_BYTES_MAX = 10 * 1024 * 1024


class NotDelivered(Exception):
    """The agent cannot have got the request."""


class DeliveryUnknown(Exception):
    """The agent may have got the request, and has not answered it."""


class ReplyTooLarge(Exception):
    """The agent answered with more than the broker takes."""


_RESULTS: Mapping[type[Exception], str] = {
    NotDelivered: "not_delivered",
    DeliveryUnknown: "unknown",
    ReplyTooLarge: "reply_too_large",
    UnsafeTarget: "unsafe",
}


@dataclass(frozen=True, slots=True)
class AgentReply:
    """`complete` is false if the connection was lost, or time ran out, before the end of the body."""

    status: int
    body: bytes
    complete: bool


class AgentClient:
    """Sends messages to agents. `on_attempt` is told how each attempt ended: `2xx` to `5xx`, or one of `_RESULTS`."""

    def __init__(
        self,
        *,
        resolver: TargetResolver,
        silence: Silence,
        connect_timeout_s: float,
        on_attempt: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._silence = silence
        self._on_attempt = on_attempt
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=resolver, use_dns_cache=False, force_close=True, limit=0, ttl_dns_cache=None
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout_s),
            # A cut-off reply can be read as far as it got only if it is not compressed.
            headers={"Accept-Encoding": "identity"},
        )

    async def close(self) -> None:
        await self._session.close()

    async def send(self, url: str, body: bytes, *, workspace: str, deadline_s: float) -> AgentReply:
        """POST `body` and read the reply, until `deadline_s` (loop time) or until the workspace was silent too long.

        Raises `NotDelivered`, `DeliveryUnknown`, `ReplyTooLarge` and `UnsafeTarget`.
        """
        try:
            reply = await self._exchange(url, body, workspace, deadline_s)
        except tuple(_RESULTS) as error:
            self._on_attempt(_RESULTS[type(error)])
            raise
        self._on_attempt(f"{reply.status // 100}xx")
        return reply

    async def _exchange(self, url: str, body: bytes, workspace: str, deadline_s: float) -> AgentReply:
        payload = _TrackedBody(body, content_type="application/json")
        try:
            async with self._silence.limit(workspace, deadline_s=deadline_s):
                response = await self._session.post(url, data=payload, allow_redirects=False)
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, UnsafeTarget):
                raise error.os_error from None
            raise NotDelivered(str(error)) from error
        except aiohttp.InvalidURL as error:
            raise UnsafeTarget("not a URL") from error
        except aiohttp.ConnectionTimeoutError as error:
            raise NotDelivered("connecting took too long") from error
        except (aiohttp.ClientError, OSError) as error:
            reason = "no reply in time" if isinstance(error, TimeoutError) else "connection lost before a reply"
            raise (NotDelivered if payload.cannot_arrive_after(error) else DeliveryUnknown)(reason) from error
        try:
            return await _read(response, self._silence.limit(workspace, deadline_s=deadline_s))
        finally:
            response.close()


async def _read(response: aiohttp.ClientResponse, limit: AbstractAsyncContextManager[Listener]) -> AgentReply:
    received = bytearray()
    try:
        async with limit as alive:
            async for chunk in response.content.iter_any():
                alive()
                received += chunk
                if len(received) > REPLY_BYTES_MAX:
                    raise ReplyTooLarge
    except (aiohttp.ClientError, OSError):  # TimeoutError is an OSError
        return AgentReply(response.status, bytes(received), complete=False)
    return AgentReply(response.status, bytes(received), complete=True)


class _TrackedBody(aiohttp.Payload):
    """A request body that knows how far it got."""

    _began = False
    _handed_over = False

    def cannot_arrive_after(self, error: BaseException) -> bool:
        """Whether this error leaves no way for the whole body to have arrived, or to arrive yet.

        After a reset the transport drops what it still holds. After a time-out or a FIN it is closed
        gently, which sends the rest, so these prove something only if the body was never begun.
        """
        reset = isinstance(error, OSError) and not isinstance(error, TimeoutError)
        return not self._began or (reset and not self._handed_over)

    def __init__(self, value: bytes, *, content_type: str) -> None:
        super().__init__(value, content_type=content_type)
        self._size = len(value)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return bytes(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        self._began = True
        if (transport := getattr(writer, "transport", None)) is not None:
            # With no buffer to hide in, draining waits until the socket has taken the last byte.
            transport.set_write_buffer_limits(high=0)
        await writer.write(self._value)
        await writer.drain()
        self._handed_over = True

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await self.write(writer)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return bytes(self._value)

    def __repr__(self) -> str:
        return f"<body of {self._size} bytes>"
