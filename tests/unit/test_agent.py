"""The fake agent over real loopback HTTP: what its clients get, and what it says that it saw."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from fakes.agent import Agent, AgentSaw
from fakes.reset import reset
from sim.scenario.behaviours import (
    Behaviour,
    Busy,
    Cut,
    Empty,
    Ending,
    Garbage,
    Hang,
    JsonRpcError,
    Partial,
    Portion,
    Reply,
    Restarting,
    Slow,
    Status,
    Truncate,
)

from .toxiproxy_world import read_to_end

REQUEST = {
    "jsonrpc": "2.0",
    "id": "r1",
    "method": "message/send",
    "params": {"message": {"role": "user", "messageId": "m1", "parts": [], "metadata": {"delegation_id": "d1"}}},
}
Check = Callable[[Agent, aiohttp.ClientSession, list[AgentSaw]], Awaitable[None]]


def play(check: Check, *behaviours: Behaviour, caplog: pytest.LogCaptureFixture | None = None) -> list[AgentSaw]:
    seen: list[AgentSaw] = []

    async def run() -> None:
        agent = Agent("bob", behaviours=behaviours, observe=seen.append)
        await agent.start("127.0.0.1", 0)
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{agent.port}") as session:
                await check(agent, session, seen)
        finally:
            await agent.stop()

    asyncio.run(run())
    if caplog is not None:
        assert [record for record in caplog.records if record.name.startswith("aiohttp")] == []
    return seen


async def ask(session: aiohttp.ClientSession) -> tuple[int, bytes, aiohttp.ClientResponse]:
    async with session.post("/", json=REQUEST) as response:
        return response.status, await response.read(), response


async def raw(agent: Agent, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", agent.port)
    writer.write(request)
    return reader, writer


def raw_request(*, missing_bytes: int = 0) -> bytes:
    body = json.dumps(REQUEST).encode()
    head = f"POST / HTTP/1.1\r\nHost: bob\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    return head + body[: len(body) - missing_bytes]


def stages(seen: list[AgentSaw]) -> list[str]:
    return [each.stage for each in seen]


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise TimeoutError("the agent did not see it")


def test_a_reply_is_a2a_and_its_id_is_derived() -> None:
    bodies: list[Any] = []

    async def check(agent: Agent, session: aiohttp.ClientSession, seen: list[AgentSaw]) -> None:
        status, body, response = await ask(session)
        assert (status, response.content_type) == (200, "application/json")
        bodies.append(json.loads(body))

    seen = play(check, Reply("héllo"))
    play(check, Reply("héllo"))
    assert bodies[0] == bodies[1]
    result = bodies[0].pop("result")
    assert bodies[0] == {"jsonrpc": "2.0", "id": "r1"}
    assert result.pop("messageId") not in ("", "m1")
    assert result == {"kind": "message", "role": "agent", "parts": [{"kind": "text", "text": "héllo"}]}
    assert stages(seen) == ["opened", "delivered", "answered"]
    assert seen[0] == AgentSaw(agent="bob", contact=1, stage="opened")
    assert seen[1] == AgentSaw(
        agent="bob", contact=1, stage="delivered", method="message/send", message_id="m1", delegation_id="d1"
    )
    assert (seen[2].status, seen[2].text, seen[2].rpc_error) == (200, "héllo", False)
    assert seen[2].body_bytes > 100


def test_part_key_and_task_shape() -> None:
    async def check(agent: Agent, session: aiohttp.ClientSession, seen: list[AgentSaw]) -> None:
        result = json.loads((await ask(session))[1])["result"]
        assert result["parts"] == [{"type": "text", "text": "a"}]
        result = json.loads((await ask(session))[1])["result"]
        assert "parts" not in result
        assert result["artifacts"][0]["parts"] == [{"kind": "text", "text": "b"}]

    play(check, Reply("a", part_key="type"), Reply("b", shape="task"))


@pytest.mark.parametrize(
    ("behaviour", "status", "body", "flags"),
    [
        (Busy(), 503, {"error": "workspace agent busy", "busy": True, "retry_after": 30}, (False, False)),
        (Restarting(), 503, {"error": "workspace agent restarting", "restarting": True}, (True, False)),
        (
            JsonRpcError(-32603, "no"),
            200,
            {"jsonrpc": "2.0", "id": "r1", "error": {"code": -32603, "message": "no"}},
            (False, True),
        ),
        (Status(502), 502, b"", (False, False)),
        (Status(418, "tea"), 418, b"tea", (False, False)),
        (Empty(), 200, b"", (False, False)),
        (Empty(204), 204, b"", (False, False)),
        (Garbage("<p>"), 200, b"<p>", (False, False)),
        (Garbage("<p>"), 200, b"<p>", (False, False)),
    ],
)
def test_answers_that_are_no_replies(
    behaviour: Behaviour, status: int, body: bytes | dict[str, Any], flags: tuple[bool, bool]
) -> None:
    async def check(agent: Agent, session: aiohttp.ClientSession, seen: list[AgentSaw]) -> None:
        got_status, got, response = await ask(session)
        assert got_status == status
        assert (json.loads(got) if isinstance(body, dict) else got) == body
        assert response.headers.get("Retry-After") == ("30" if isinstance(behaviour, Busy) else None)

    last = play(check, behaviour)[-1]
    assert (last.stage, last.status, last.text) == ("answered", status, None)
    assert (last.restarting, last.rpc_error) == flags


def test_behaviour_i_meets_contact_i_and_the_last_repeats_over_restarts() -> None:
    async def check(agent: Agent, session: aiohttp.ClientSession, seen: list[AgentSaw]) -> None:
        assert [(await ask(session))[0] for _ in range(3)] == [503, 500, 200]
        await agent.stop()
        await agent.start("127.0.0.1", 0)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{agent.port}") as again:
            assert (await ask(again))[0] == 200

    seen = play(check, Busy(), Status(500), Reply())
    assert [each.contact for each in seen if each.stage == "answered"] == [1, 2, 3, 4]


def test_after_s_and_slow_take_their_time() -> None:
    async def check(agent: Agent, session: aiohttp.ClientSession, seen: list[AgentSaw]) -> None:
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        await ask(session)
        assert loop.time() - start_s >= 0.1 - 0.001
        start_s = loop.time()
        async with session.post("/", json=REQUEST) as response:
            head_s = loop.time() - start_s
            body = await response.read()
        assert loop.time() - start_s >= 0.3 - 0.003 > head_s
        assert json.loads(body)["result"]["parts"][0]["text"] == "slowly"
        assert int(response.headers["Content-Length"]) == len(body)
        assert stages(seen)[3:] == ["opened", "delivered", "answering", "answered"]
        assert (seen[-2].status, seen[-2].text, seen[-1].body_bytes) == (200, "slowly", len(body))
        assert 0 < seen[-2].body_bytes < len(body)

    play(check, Reply(after_s=0.1), Slow("slowly", duration_s=0.3, pieces=3))


def test_a_client_that_leaves_within_a_slow_answer_was_answered_in_part(caplog: pytest.LogCaptureFixture) -> None:
    async def check(agent: Agent, _: aiohttp.ClientSession, seen: list[AgentSaw]) -> None:
        reader, writer = await raw(agent, raw_request())
        await reader.readuntil(b"jsonrpc")
        writer.transport.abort()
        await asyncio.sleep(0.3)
        assert stages(seen) == ["opened", "delivered", "answering"]

    play(check, Slow("slowly", duration_s=0.2, pieces=4))
    assert not caplog.records


@pytest.mark.parametrize("ending", ["reset", "close"])
@pytest.mark.parametrize("portion", [0, 10, "half", "all"])
@pytest.mark.parametrize("kind", [Partial, Truncate])
def test_a_cut_body_arrives_up_to_the_cut(
    kind: type[Partial] | type[Truncate], portion: Portion, ending: Ending, caplog: pytest.LogCaptureFixture
) -> None:
    async def check(agent: Agent, session: aiohttp.ClientSession, seen: list[AgentSaw]) -> None:
        whole = (await ask(session))[1]
        reader, writer = await raw(agent, raw_request())
        received, how = await read_to_end(reader)
        assert how == ("ConnectionResetError" if ending == "reset" else "fin")
        head, _, body = received.partition(b"\r\n\r\n")
        expected = {"half": len(whole) // 2, "all": len(whole)}.get(str(portion), portion)
        assert isinstance(expected, int)
        assert seen[-1].body_bytes == expected
        if kind is Partial:
            assert f"Content-Length: {len(whole)}\r\n".encode() in head + b"\r\n"
            assert len(body) == expected
        else:
            size = f"{expected:x}\r\n".encode()
            assert b"chunked" in head
            assert len(body) == (expected + len(size) + 2 if expected else 0)
        writer.close()

    seen = play(check, Reply(), kind(portion, ending), caplog=caplog)
    assert stages(seen)[3:] == ["opened", "delivered", "cut"]
    assert (seen[-1].status, seen[-1].text) == (200, "done")


@pytest.mark.parametrize("before_body", [True, False])
def test_reset_on_request(before_body: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def check(agent: Agent, session: aiohttp.ClientSession, seen: list[AgentSaw]) -> None:
        reader, _writer = await raw(agent, raw_request())
        assert await read_to_end(reader) == (b"", "ConnectionResetError")
        with pytest.raises(aiohttp.ClientOSError):
            await ask(session)

    seen = play(check, Cut("before_body" if before_body else "after_body"), caplog=caplog)
    assert stages(seen) == (["opened", "cut"] if before_body else ["opened", "delivered", "cut"]) * 2


def test_hang_delivers_and_never_answers_and_stop_does_not_wait_for_it() -> None:
    async def check(agent: Agent, session: aiohttp.ClientSession, seen: list[AgentSaw]) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(session), 0.2)
        async with asyncio.timeout(5):
            await agent.stop()

    assert stages(play(check, Hang())) == ["opened", "delivered"]


@pytest.mark.parametrize("hang_up", ["fin", "reset"])
def test_a_cut_request_is_aborted_and_not_delivered(hang_up: str, caplog: pytest.LogCaptureFixture) -> None:
    async def check(agent: Agent, session: aiohttp.ClientSession, seen: list[AgentSaw]) -> None:
        _, writer = await raw(agent, raw_request(missing_bytes=1))
        await until(lambda: len(seen) == 1)
        if hang_up == "fin":
            writer.close()
        else:
            reset(writer.transport)  # type: ignore[arg-type]
        await until(lambda: len(seen) == 2)

    seen = play(check, Reply(), caplog=caplog)
    assert stages(seen) == ["opened", "aborted"]
    assert seen[1].message_id is None


def test_an_answer_to_a_client_that_has_left_is_not_answered() -> None:
    async def check(agent: Agent, session: aiohttp.ClientSession, seen: list[AgentSaw]) -> None:
        _, writer = await raw(agent, raw_request())
        await until(lambda: len(seen) == 2)
        writer.close()
        await asyncio.sleep(0.3)

    assert stages(play(check, Reply(after_s=0.2))) == ["opened", "delivered"]


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'{"params": 3, "method": 4}'])
def test_a_request_that_is_not_a2a_is_answered_all_the_same(body: bytes) -> None:
    async def check(agent: Agent, session: aiohttp.ClientSession, seen: list[AgentSaw]) -> None:
        async with session.post("/", data=body) as response:
            assert (await response.json())["id"] is None

    seen = play(check, Reply())
    assert (seen[-1].stage, seen[-1].method, seen[-1].message_id) == ("answered", None, None)


def test_an_agent_needs_a_behaviour() -> None:
    with pytest.raises(ValueError, match="bob"):
        Agent("bob", behaviours=[], observe=lambda saw: None)
