"""What an agent's reply says: its text, or its error.

A reply may have been cut off anywhere. What arrived of it still counts as the answer (H10, INV-23), so
a cut document is first closed where it ends, then read like any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reference_impl.text import clean, parse_json

_ESCAPE_CHARS_MAX = len("\\u0000")
_CLOSER = {"{": "}", "[": "]"}


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found in a reply body: the text, or the message of a JSON-RPC error object."""

    text: str
    error: str | None = None


def read_reply(body: bytes, *, truncated: bool) -> Reading:
    """Read the body of a 2xx. Anything that is not A2A reads as its own raw text."""
    raw = clean(body.decode(errors="replace"))
    for document in _recoveries(raw) if truncated else (_parse(raw),):
        if not isinstance(document, dict):
            continue
        if (error := document.get("error")) and "result" not in document:
            return Reading(raw, error=_error_message(error))
        text = _find_text(document.get("result"))
        # A text of which nothing arrived is better shown by what did.
        if text or (text is not None and not truncated):
            return Reading(text)
    return Reading(raw)


def is_queued(status: int, body: bytes) -> bool:
    """Whether the reply says that the work was queued: 202 with `queued: true` (INV-26)."""
    document = _parse(body.decode(errors="replace")) if status == 202 else None
    return isinstance(document, dict) and document.get("queued") is True


def _parse(raw: str) -> Any:
    try:
        return parse_json(raw)
    except ValueError:
        return None


def _error_message(error: Any) -> str:
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) and message else f"agent error: {json.dumps(error)}"


def _find_text(result: Any) -> str | None:
    """`result.parts[]`, else `result.artifacts[].parts[]`: the first text part."""
    if not isinstance(result, dict):
        return None
    artifacts = result.get("artifacts")
    for holder in [result, *(artifacts if isinstance(artifacts, list) else [])]:
        parts = holder.get("parts") if isinstance(holder, dict) else None
        for part in parts if isinstance(parts, list) else []:
            if _is_text(part):
                return str(part["text"])
    return None


def _is_text(part: Any) -> bool:
    """`kind` or `type` says so; a part of A2A 1.0 has neither, and a cut may have taken them."""
    if not isinstance(part, dict) or not isinstance(part.get("text"), str):
        return False
    return bool(part.get("kind", part.get("type", "text")) == "text")


def _recoveries(raw: str) -> Iterator[Any]:
    """The documents that `raw` may be the beginning of, those that keep more of it first."""
    yield _parse(raw)
    open_brackets: list[str] = []
    in_string = escaped = False
    # Where the document may be cut with no half-finished member left over, and what is open there.
    safe_end, safe_open = 0, ""
    for index, char in enumerate(raw):
        if in_string:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_string = False
            continue
        if char == '"':
            in_string = True
        elif char in _CLOSER:
            open_brackets.append(char)
            safe_end, safe_open = index + 1, "".join(open_brackets)
        elif char in "}]":
            if not open_brackets:
                return
            open_brackets.pop()
            safe_end, safe_open = index + 1, "".join(open_brackets)
        elif char == ",":
            safe_end, safe_open = index, "".join(open_brackets)
    ending = _closers("".join(open_brackets))
    if in_string:
        # Keeps the text of a string that was cut, even if it was cut within an escape.
        for tail_cut in range(_ESCAPE_CHARS_MAX):
            yield _parse(raw[: len(raw) - tail_cut] + '"' + ending)
    else:
        yield _parse(raw + ending)
    # Drops the last member, which may be a key without its value, or a value that misleads.
    yield _parse(raw[:safe_end] + _closers(safe_open))


def _closers(open_brackets: str) -> str:
    return "".join(_CLOSER[bracket] for bracket in reversed(open_brackets))
