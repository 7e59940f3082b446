"""What a Postgres server says that depends on its past, made independent of it.

Process numbers, transaction ids, tuple positions and object ids differ in every run; what is left of an error
after they are gone is the same for one build of Postgres. A message whose text shrinks gets a new length.
"""

from __future__ import annotations

import re

_NUMBERED = re.compile(rb"([Pp]rocess|[Tt]ransaction|PID|relation|database|page) \d+")
_TUPLE = re.compile(rb"tuple \(\d+,\d+\)")
_CLIENT_WORDS = re.compile(rb"\0C(?:23|22|P0)")
"""SQLSTATE classes whose texts quote the client's data and none of the server's numbers."""
_row_descriptions: dict[bytes, bytes] = {}
_ROW_DESCRIPTIONS_MAX = 1024


def report(body: bytes) -> bytes:
    """The body of an ErrorResponse or NoticeResponse."""
    if _CLIENT_WORDS.search(body):
        return body
    return _TUPLE.sub(b"tuple (0,0)", _NUMBERED.sub(rb"\1 0", body))


def row_description(message: bytes) -> bytes:
    """A whole RowDescription frame, the table of each column unnamed: its OID differs between databases."""
    known = _row_descriptions.get(message)
    if known is None:
        if len(_row_descriptions) >= _ROW_DESCRIPTIONS_MAX:
            _row_descriptions.clear()
        known = _row_descriptions[message] = _without_tables(message)
    return known


def _without_tables(message: bytes) -> bytes:
    out = bytearray(message)
    at = 7
    while at < len(out):
        at = out.index(0, at) + 1
        out[at : at + 4] = b"\0\0\0\0"
        at += 18
    return bytes(out)
