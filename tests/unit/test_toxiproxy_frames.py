"""Framing of HTTP and Postgres traffic, whole and byte by byte: bytes are kept, events stand at their exact place."""

from __future__ import annotations

import struct

import pytest

from fakes.toxiproxy.frames import Body, BodyBegins, Cancel, Framer, Item, Request, Response, Statement
from fakes.toxiproxy.http_frames import http_framers
from fakes.toxiproxy.postgres_frames import postgres_framers

STEPS = [1, 2, 7, 1_000_000]


def merged(framer: Framer, data: bytes, step: int) -> list[Item]:
    """The items of `data` fed in portions, with neighbours of one kind joined."""
    items: list[Item] = []
    for start in range(0, len(data), step):
        for item in framer.feed(data[start : start + step]):
            if isinstance(item, bytes) and items and isinstance(items[-1], bytes):
                items[-1] += item
            elif isinstance(item, Body) and items and isinstance(items[-1], Body):
                items[-1] = Body(items[-1].data + item.data)
            else:
                items.append(item)
    if rest := framer.release():
        items.append(rest)
    return items


def wire(items: list[Item]) -> bytes:
    return b"".join(item if isinstance(item, bytes) else item.data if isinstance(item, Body) else b"" for item in items)


def response(head: str, body: bytes = b"") -> bytes:
    return head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("step", STEPS)
def test_requests_on_one_connection(step: int) -> None:
    requests, _ = http_framers()
    first = response("POST / HTTP/1.1\nContent-Length: 3", b"abc")
    second = response("GET /x HTTP/1.1\nHost: y")
    third = response("POST / HTTP/1.1\nTransfer-Encoding: chunked", b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n")
    assert merged(requests, first + second + b"\r\n" + third + second, step) == [
        Request(),
        first[:-3],
        BodyBegins(),
        Body(b"abc"),
        Request(),
        second,
        BodyBegins(),
        b"\r\n",
        Request(),
        third.partition(b"\r\n\r\n")[0] + b"\r\n\r\n",
        BodyBegins(),
        b"3;a=b\r\n",
        Body(b"abc"),
        b"\r\n2\r\n",
        Body(b"de"),
        b"\r\n0\r\nX: y\r\n\r\n",
        Request(),
        second,
        BodyBegins(),
    ]


@pytest.mark.parametrize("step", STEPS)
def test_responses_without_bodies_and_interim_ones(step: int) -> None:
    requests, responses = http_framers()
    merged(requests, b"HEAD / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", 1000)
    head = response("HTTP/1.1 200 OK\nContent-Length: 9")
    interim = response("HTTP/1.1 100 Continue")
    empty = response("HTTP/1.1 204 No Content")
    until_end = response("HTTP/1.1 500 Oops")
    assert merged(responses, head + interim + empty + until_end + b"all of HTTP/1.1 200", step) == [
        Response(200),
        head,
        BodyBegins(),
        interim,
        Response(204),
        empty,
        BodyBegins(),
        Response(500),
        until_end,
        BodyBegins(),
        Body(b"all of HTTP/1.1 200"),
    ]


@pytest.mark.parametrize("step", STEPS)
def test_after_an_upgrade_nothing_is_http(step: int) -> None:
    requests, responses = http_framers()
    merged(requests, b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", step)
    upgraded = response("HTTP/1.1 101 Switching Protocols")
    assert merged(responses, upgraded + b"HTTP/1.1 200 ", step) == [
        Response(101),
        upgraded,
        BodyBegins(),
        b"HTTP/1.1 200 ",
    ]
    assert merged(requests, b"GET / HTTP/1.1\r\n\r\n", step) == [b"GET / HTTP/1.1\r\n\r\n"]


def test_a_response_is_held_until_its_status_is_known() -> None:
    _, responses = http_framers()
    assert list(responses.feed(b"HTTP/1.1 5")) == []
    assert next(responses.feed(b"03 Busy\r\n")) == Response(503)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("data", [b"\x16\x03\x01 hello", b"HTTP/9 what", b"HTT", b"HTTP/1.1 200 OK\r\nContent-Le"])
def test_what_is_not_http_passes(data: bytes, step: int) -> None:
    _, responses = http_framers()
    assert wire(merged(responses, data, step)) == data


def message(kind: bytes, *fields: str | bytes) -> bytes:
    payload = b"".join(each.encode() + b"\0" if isinstance(each, str) else each for each in fields)
    return kind + struct.pack("!I", len(payload) + 4) + payload


START_UP = struct.pack("!II", 8 + 12, 196608) + b"user\0bob\0\0\0\0"
SSL_REQUEST = struct.pack("!II", 8, 80877103)
CANCEL = struct.pack("!IIII", 16, 80877102, 7, 8)
SYNC = message(b"S")


def prepare(name: str, text: str) -> bytes:
    """As asyncpg prepares: Parse, Describe, Flush."""
    return message(b"P", name, text, b"\0\0") + message(b"D", b"S", name) + message(b"H")


def execute(name: str, *, sync: bool = True) -> bytes:
    """As asyncpg executes: Bind of the unnamed portal, Execute, Sync."""
    bind = message(b"B", "", name, b"\0\1\0\1\0\1\0\0\0\4QQQQ\0\1\0\1")
    return bind + message(b"E", "", b"\0\0\0\0") + (SYNC if sync else b"")


@pytest.mark.parametrize("step", STEPS)
def test_statements_of_a_client_like_asyncpg(step: int) -> None:
    framer, _ = postgres_framers()
    data = b"".join(
        [
            SSL_REQUEST,
            START_UP,
            message(b"Q", "BEGIN;"),
            prepare("s1", "INSERT INTO a VALUES ($1)"),
            execute("s1"),
            prepare("s2", "SELECT 'é'"),
            execute("s2"),
            execute("s1", sync=False),
            execute("s1"),
            message(b"Q", "COMMIT;"),
            message(b"C", b"S", "s1"),
            SYNC,
            message(b"X"),
        ]
    )
    items = merged(framer, data, step)
    assert wire(items) == data
    assert [item for item in items if not isinstance(item, bytes)] == [
        Statement("BEGIN;", 0),
        Statement("INSERT INTO a VALUES ($1)", 1),
        Statement("SELECT 'é'", 2),
        Statement("INSERT INTO a VALUES ($1)", 3),
        Statement("INSERT INTO a VALUES ($1)", 3),
        Statement("COMMIT;", 4),
    ]
    after_commit = wire(items[items.index(Statement("COMMIT;", 4)) :])
    assert after_commit.startswith(message(b"Q", "COMMIT;"))


@pytest.mark.parametrize("step", STEPS)
def test_a_cancel_request_comes_before_its_bytes(step: int) -> None:
    framer, _ = postgres_framers()
    assert merged(framer, CANCEL, step) == [Cancel(), CANCEL]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "data", [SSL_REQUEST + b"\x16\x03\x01rest", b"GET / HTTP/1.1\r\n\r\n", START_UP + b"Q\0\0\0\0"]
)
def test_what_is_not_readable_postgres_passes(data: bytes, step: int) -> None:
    framer, _ = postgres_framers()
    assert wire(merged(framer, data, step)) == data
