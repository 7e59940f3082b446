"""The table of agent behaviours: what may stand under `agent`."""

from __future__ import annotations

from typing import Any

from sim.scenario.behaviours import (
    Behaviour,
    Busy,
    Cut,
    Empty,
    Garbage,
    Hang,
    JsonRpcError,
    Partial,
    Reply,
    Restarting,
    Slow,
    Status,
    Truncate,
)
from sim.scenario.containers import Shared
from sim.scenario.fields import Field, Record, Variants
from sim.scenario.problems import with_article
from sim.scenario.reader import Reader
from sim.scenario.scalars import Duration, Text, Whole, Word, WordOr

_TEXT = Text()
_PORTION = WordOr({"half": "half", "all": "all"}, Whole(0, 10_000_000, "half, all or a number of bytes"))
_ENDING = Field(
    "ending", Word("an ending", ("reset", "close")), "How the connection ends: reset (TCP RST) or close (FIN)"
)
_ANSWER = Field("text", _TEXT, "The text of the answer that is cut")


def _behaviour(build: type[Behaviour], reader: Reader[Any], into: str, help: str, *options: Field) -> Record[Behaviour]:
    key = _KEYS[build]
    return Record(with_article(f"{key!r} behaviour"), build, (Field(key, reader, help, into, required=True), *options))


_KEYS: dict[type[Behaviour], str] = {
    Reply: "reply",
    Slow: "slow",
    Status: "status",
    Empty: "empty",
    Partial: "partial",
    Truncate: "truncate",
    JsonRpcError: "jsonrpc_error",
    Garbage: "garbage",
    Cut: "cut",
}

_RECORDS: tuple[Record[Behaviour], ...] = (
    _behaviour(
        Reply,
        _TEXT,
        "text",
        "Answer 200 with this text",
        Field("after", Duration(), "How long the agent works before it answers", "after_s"),
    ),
    _behaviour(
        Slow,
        _TEXT,
        "text",
        "Answer 200 at once and send this text drop by drop",
        Field("duration", Duration(positive=True), "How long the body takes", "duration_s"),
        Field("pieces", Whole(1, 10_000, "a number of pieces"), "In how many writes the body is sent"),
    ),
    _behaviour(
        Status,
        Whole(200, 599, "an HTTP status"),
        "code",
        "Answer with this status",
        Field("body", _TEXT, "The body of the answer; none if left out"),
    ),
    _behaviour(Empty, Whole(200, 299, "a 2xx status"), "code", "Answer with this 2xx status and no body"),
    _behaviour(
        Partial,
        _PORTION,
        "body",
        "Answer 200 with a Content-Length, and cut the connection after this much of the body",
        _ENDING,
        _ANSWER,
    ),
    _behaviour(
        Truncate,
        _PORTION,
        "body",
        "Answer 200 in chunks, and cut the connection after this much of the body, before the last chunk",
        _ENDING,
        _ANSWER,
    ),
    _behaviour(
        JsonRpcError,
        _TEXT,
        "message",
        "Answer 200 with a JSON-RPC error of this message",
        Field("code", Whole(-1_000_000, 1_000_000), "The code of the JSON-RPC error"),
    ),
    _behaviour(Garbage, _TEXT, "text", "Answer 200 with this body, which is not JSON"),
    _behaviour(
        Cut,
        Word("a moment to cut", ("before_body", "after_body")),
        "when",
        "Cut the connection without an answer, before or after the request's body was read",
        _ENDING,
    ),
)

_WORDS: dict[str, type[Reply | Slow | Busy | Restarting | Empty | Hang | JsonRpcError | Garbage | Cut]] = {
    "reply": Reply,
    "slow": Slow,
    "busy": Busy,
    "restarting": Restarting,
    "empty": Empty,
    "hang": Hang,
    "jsonrpc_error": JsonRpcError,
    "garbage": Garbage,
    "cut": Cut,
}

BEHAVIOUR: Reader[Behaviour] = Shared(
    "behaviour",
    Variants("a behaviour", {record.fields[0].key: record for record in _RECORDS}, _WORDS),
)
