"""What an agent's reply says: its text, or its error.

A reply may have been cut off anywhere. What arrived of it still counts as the answer (decisions on H10), so
a cut document is first closed where it ends, then read like any other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from reference_impl.text import clean, parse_json

_CLOSER = {"{": "}", "[": "]"}


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found in a reply body: the text, or the message of a JSON-RPC error object."""

    text: str
    error: str | None = None


def read_reply(body: bytes, *, truncated: bool) -> Reading:
    """Read the body of a 2xx. Anything that is not A2A reads as its own raw text."""
    raw = clean(body.decode(errors="replace"))
    document = _recover(raw) if truncated else _parse(raw)
    if not isinstance(document, dict):
        return Reading(raw)
    if (error := document.get("error")) and "result" not in document:
        return Reading(raw, error=_error_message(error))
    text = _find_text(document.get("result"))
    # Text of which nothing arrived is shown by what did.
    return Reading(raw if text is None or (truncated and not text) else text)


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


def _recover(raw: str) -> Any:
    """The document that `raw` is a prefix of, as far as it got; None if that cannot be told."""
    document = _parse(raw)
    if document is not None:
        return document
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
                return None
            open_brackets.pop()
            safe_end, safe_open = index + 1, "".join(open_brackets)
        elif char == ",":
            safe_end, safe_open = index, "".join(open_brackets)
    if in_string:
        # Closing the string keeps its text, unless it is a key or ends in half an escape.
        for tail_cut in range(6):
            closed = _parse(raw[: len(raw) - tail_cut] + '"' + _closers("".join(open_brackets)))
            if closed is not None:
                return closed
    return _parse(raw[:safe_end] + _closers(safe_open))


def _closers(open_brackets: str) -> str:
    return "".join(_CLOSER[bracket] for bracket in reversed(open_brackets))
