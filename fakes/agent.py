"""A scriptable A2A agent: a real aiohttp server that does to each contact what it was told, and says what it saw.

Contact i (any HTTP request whose head arrived) meets behaviour i; the last one repeats. Restarts keep the
count. What is observed is what the handler knows: a request is `delivered` only when its whole body was handed over.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import aiohttp
from aiohttp import web

from fakes.answers import Answer, Asked, answer_to, read_request
from fakes.reset import reset
from sim.scenario.behaviours import Behaviour, Cut, Ending

Stage: TypeAlias = Literal["opened", "delivered", "aborted", "answering", "answered", "cut"]

SHUTDOWN_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSaw:
    """One contact at one stage.

    `opened`: the head of a request arrived. Then either `delivered`, its complete body was handed to the handler, or
    `aborted`, the body was cut. After a delivery: `answered`, the whole response was written, or `cut`, the behaviour
    cut the connection; neither if the client left first. Before that, of a body that takes its time: `answering`, its
    first bytes were written. `method` is the JSON-RPC one. `body_bytes` counts response
    body bytes written. The last three describe the answer: `text` is what all of it says.
    """

    agent: str
    contact: int
    stage: Stage
    method: str | None = None
    message_id: str | None = None
    delegation_id: str | None = None
    status: int | None = None
    body_bytes: int = 0
    restarting: bool = False
    rpc_error: bool = False
    text: str | None = None


class Agent:
    """The agent `name`; `observe` is called for each stage of each contact, as it happens."""

    def __init__(
        self,
        name: str,
        *,
        behaviours: Sequence[Behaviour],
        observe: Callable[[AgentSaw], None],
        contacts: int = 0,
    ) -> None:
        """`contacts`: how many it has had already, in a process that is gone."""
        if not behaviours:
            raise ValueError(f"agent {name}: no behaviours; give at least one, such as Reply()")
        self.name = name
        self._behaviours = tuple(behaviours)
        self._observe = observe
        self._contacts = contacts
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        if self._listener is None:
            raise RuntimeError(f"agent {self.name} is not running; call start() first")
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    async def start(self, host: str, port: int = 0) -> None:
        """Listen; port 0 picks a free one. Raises OSError if the address cannot be had."""
        self._server = web.Server(self._handle, access_log=None)
        # Bound here, as asyncio would look the host up in tasks of their own.
        bound = socket.create_server((host, port))
        self._listener = await asyncio.get_running_loop().create_server(self._server, sock=bound)

    async def stop(self) -> None:
        """Stop listening and end all connections, answered or not."""
        if self._listener is None or self._server is None:
            return
        self._listener.close()
        self._listener = None
        # Who has just connected is a connection of the server's only after this round.
        await asyncio.sleep(0)
        self._server.pre_shutdown()
        await self._server.shutdown(SHUTDOWN_S)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._contacts += 1
        contact = self._contacts
        behaviour = self._behaviours[min(contact, len(self._behaviours)) - 1]
        saw = AgentSaw(agent=self.name, contact=contact, stage="opened")
        self._observe(saw)
        if isinstance(behaviour, Cut) and behaviour.when == "before_body":
            self._observe(replace(saw, stage="cut"))
            return await _hang_up(request, web.StreamResponse(), behaviour.ending)
        try:
            body = await request.content.read()
        except (aiohttp.ClientError, aiohttp.http.HttpProcessingError, OSError):
            self._observe(replace(saw, stage="aborted"))
            return web.Response(status=400)
        asked = read_request(body)
        saw = replace(
            saw,
            stage="delivered",
            method=asked.method,
            message_id=asked.message_id,
            delegation_id=asked.delegation_id,
        )
        self._observe(saw)
        try:
            return await self._perform(request, behaviour, asked, saw)
        except ConnectionResetError:  # the client left in the middle of the answer: nobody is there to be told
            return web.Response()

    async def _perform(
        self, request: web.BaseRequest, behaviour: Behaviour, asked: Asked, saw: AgentSaw
    ) -> web.StreamResponse:
        answer = answer_to(asked, behaviour, agent=self.name, contact=saw.contact)
        if answer is not None:
            return await self._send(request, answer, saw)
        if isinstance(behaviour, Cut):
            self._observe(replace(saw, stage="cut"))
            return await _hang_up(request, web.StreamResponse(), behaviour.ending)
        await asyncio.get_running_loop().create_future()  # Hang: until the server stops
        raise AssertionError("unreachable")

    async def _send(self, request: web.BaseRequest, answer: Answer, saw: AgentSaw) -> web.StreamResponse:
        if answer.after_s:
            await asyncio.sleep(answer.after_s)
        observe = _telling(self._observe, saw, answer)
        if answer.cut_at_bytes is None and not answer.duration_s:
            whole = web.Response(
                status=answer.status, body=answer.body, headers=answer.headers, content_type=answer.content_type
            )
            await whole.prepare(request)
            await whole.write_eof()
            observe("answered", len(answer.body))
            return whole
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_type = answer.content_type
        if answer.chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = len(answer.body)
        await response.prepare(request)
        sent = answer.body[: answer.cut_at_bytes]
        for number, piece in enumerate(_pieces(sent, answer.pieces)):
            if answer.duration_s:
                await asyncio.sleep(answer.duration_s / answer.pieces)
            await response.write(piece)
            if answer.duration_s and number == 0:
                observe("answering", len(piece))
        if answer.cut_at_bytes is not None:
            observe("cut", len(sent))
            return await _hang_up(request, response, answer.ending)
        await response.write_eof()
        observe("answered", len(sent))
        return response


def _telling(observe: Callable[[AgentSaw], None], saw: AgentSaw, answer: Answer) -> Callable[[Stage, int], None]:
    """What tells of a stage of this answer, and of so many bytes of its body."""

    def tell(stage: Stage, body_bytes: int) -> None:
        observe(
            replace(
                saw,
                stage=stage,
                body_bytes=body_bytes,
                status=answer.status,
                restarting=answer.restarting,
                rpc_error=answer.rpc_error,
                text=answer.text,
            )
        )

    return tell


def _pieces(body: bytes, count: int) -> list[bytes]:
    """`body` in at most `count` non-empty pieces of nearly equal size."""
    cuts = [len(body) * number // count for number in range(count + 1)]
    return [body[start:end] for start, end in itertools.pairwise(cuts) if start < end]


async def _hang_up(request: web.BaseRequest, response: web.StreamResponse, ending: Ending) -> web.StreamResponse:
    """Cut the connection; aiohttp may have its response back only when nothing more can be written to it."""
    transport = request.transport
    if transport is not None:
        if ending == "close":
            transport.close()
        else:
            await reset(transport)
    return response
