"""Reading replies that were cut anywhere, cutting text on rune boundaries, and SQL without a clock of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import reference_impl
from reference_impl.reply import read_reply
from reference_impl.text import parse_json, parse_uuid, prefix, preview

ANSWER = 'a "long", {winding} [answer]\nwith é and 🦊 \\ in it'
CANONICAL = "12345678-9abc-4def-8123-456789abcdef"


def reply(*, kind_first: bool) -> dict[str, object]:
    part = {"kind": "text", "text": ANSWER} if kind_first else {"text": ANSWER, "kind": "text"}
    return {"jsonrpc": "2.0", "id": "1", "result": {"kind": "message", "parts": [part], "role": "agent"}}


@pytest.mark.parametrize("kind_first", [True, False])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_of_every_prefix_the_text_is_recovered(kind_first: bool, ascii_only: bool) -> None:
    body = json.dumps(reply(kind_first=kind_first), ensure_ascii=ascii_only).encode()
    begin = body.index(b'"text": "a') + len(b'"text": "')
    recovered = []
    for size in range(1, len(body) + 1):
        text = read_reply(body[:size], truncated=True).text
        assert text
        if size > begin and not text.startswith("{"):
            # Half a rune at the very end may show as a replacement character.
            assert ANSWER.startswith(text.rstrip("�")), (size, text)
            recovered.append(len(text.rstrip("�")))
        else:
            # Nothing of the text yet, or of its first character.
            assert size <= begin + 1
            assert text == body[:size].decode()
    assert recovered == sorted(recovered)
    assert recovered[-1] == len(ANSWER)


@pytest.mark.parametrize("size", range(12))
def test_cuts_respect_runes_and_limits(size: int) -> None:
    text = "aé🦊z" * 3
    for cut in (prefix(text, size), preview(text, size)):
        assert len(cut.encode()) <= size
        assert text.startswith(cut.removesuffix("…"))
    assert preview("short", 5) == "short"


@pytest.mark.parametrize(
    "spelling",
    [CANONICAL, CANONICAL.upper(), f"urn:uuid:{CANONICAL}", f"{{{CANONICAL}}}", CANONICAL.replace("-", "")],
)
def test_a_uuid_has_many_spellings(spelling: str) -> None:
    assert parse_uuid(spelling) == CANONICAL


@pytest.mark.parametrize("text", ["", "x", CANONICAL[:-1], "1_" * 16, "{" + CANONICAL, None, 7])
def test_what_is_no_uuid(text: object) -> None:
    assert parse_uuid(text) is None


@pytest.mark.parametrize("raw", ["", "nul", "NaN", "-Infinity", "1e999", "[" * 150 + "]" * 150, "9" * 5000, b"\xff"])
def test_what_cannot_be_stored_is_no_json(raw: str | bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(raw)


def test_unstorable_characters_are_replaced() -> None:
    assert parse_json(r'{"a\u0000": ["\ud800x"]}') == {"a�": ["�x"]}


def test_no_sql_asks_a_clock_or_a_random_source() -> None:
    asks = re.compile(
        r"(?<![.\w])now\(\)|gen_random_uuid|current_timestamp|clock_timestamp|(?<![.\w])random\(\)", re.IGNORECASE
    )
    folder = Path(reference_impl.__file__).parent
    sources = [*folder.rglob("*.py"), *folder.rglob("*.sql")]
    assert len(sources) > 20
    assert [source.name for source in sources if asks.search(source.read_text())] == []
