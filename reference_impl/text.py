"""Untrusted text: made storable, cut on rune boundaries, parsed without surprises.

Postgres stores neither NUL nor lone surrogates, jsonb neither NaN nor bottomless nesting. What comes in from
outside passes through here once, so that no content can fail a later insert (INV-41, H80).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_ELLIPSIS = "…"
_MAX_DEPTH = 100


def clean(text: str) -> str:
    """`text` with everything that Postgres cannot store replaced by U+FFFD."""
    return text if text.isprintable() else _UNSTORABLE.sub("�", text)


def prefix(text: str, size_bytes: int) -> str:
    """The longest prefix of `text` of at most `size_bytes` bytes of UTF-8, never half a rune."""
    return text.encode()[:size_bytes].decode(errors="ignore")


def preview(text: str, size_bytes: int) -> str:
    """Like `prefix`, but what was cut ends in an ellipsis, inside the limit."""
    if len(text.encode()) <= size_bytes:
        return text
    return prefix(text, size_bytes - len(_ELLIPSIS.encode())) + _ELLIPSIS if size_bytes >= 3 else ""


def parse_uuid(text: object) -> str | None:
    """The canonical form of a UUID in any of its usual spellings, else None (D26)."""
    if not isinstance(text, str):
        return None
    bare = text[9:] if text[:9].lower() == "urn:uuid:" else text
    if bare[:1] + bare[-1:] == "{}":
        bare = bare[1:-1]
    if not _UUID.fullmatch(bare):
        return None
    digits = bare.replace("-", "").lower()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def parse_json(raw: bytes | str) -> Any:
    """Parse JSON into something that jsonb can store.

    Raises `ValueError` for anything else, be it broken, NaN, out of range or nested too deeply.
    """
    text = raw.decode() if isinstance(raw, bytes) else raw
    try:
        value = _DECODER.decode(text)
        return value if _is_plain(text) else _storable(value, _MAX_DEPTH)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_object(raw: bytes | str) -> dict[str, Any]:
    """`parse_json` for what has to be an object. Raises `ValueError`."""
    value = parse_json(raw)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def dump_json(value: Any) -> str:
    return _ENCODER.encode(value)


def _is_plain(text: str) -> bool:
    """Whether JSON is storable by its looks alone: nothing in it is escaped, and it has too few brackets to be deep."""
    return "\\u" not in text and not _UNSTORABLE.search(text) and text.count("{") + text.count("[") < _MAX_DEPTH


def _storable(value: Any, depth: int) -> Any:
    if depth == 0:
        raise ValueError("nested too deeply")
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_storable(item, depth - 1) for item in value]
    if isinstance(value, dict):
        return {clean(key): _storable(item, depth - 1) for key, item in value.items()}
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("number out of range")
    return value


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


# Made once: the functions of `json` make one for each call that asks for anything out of the ordinary.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
