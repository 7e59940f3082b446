"""Frames of the Postgres protocol, version 3: cutting them out of bytes and putting them together.

A frame is one type byte, a big-endian length that counts itself, and a body. The start-up packet alone has
no type byte. Nothing here knows what a frame means to a session.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

HEADER = struct.Struct(">BI")
WORD = struct.Struct(">I")

CANCEL_REQUEST = 80877102
SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104
PROTOCOL_MAJOR = 3

TERMINATE = b"X\0\0\0\x04"
SYNC = b"S\0\0\0\x04"


class GatewayError(Exception):
    """The gateway or its server cannot go on; nothing a client did or may handle."""


def frame(kind: bytes, body: bytes) -> bytes:
    return kind + WORD.pack(len(body) + 4) + body


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type byte and body of each whole frame in ``data``."""
    at, end = 0, len(data)
    while at + 5 <= end:
        kind, length = HEADER.unpack_from(data, at)
        yield kind, data[at + 5 : at + 1 + length]
        at += 1 + length


def query(sql: str | bytes) -> bytes:
    """A simple query."""
    return frame(b"Q", (sql.encode() if isinstance(sql, str) else sql) + b"\0")


def ready(status: bytes) -> bytes:
    return b"Z\0\0\0\x05" + status


def complete(tag: bytes) -> bytes:
    return frame(b"C", tag + b"\0")


def startup_packet(parameters: dict[str, str]) -> bytes:
    body = WORD.pack(PROTOCOL_MAJOR << 16)
    for name, value in parameters.items():
        body += name.encode() + b"\0" + value.encode() + b"\0"
    body += b"\0"
    return WORD.pack(len(body) + 4) + body


def startup_parameters(packet: bytes) -> dict[str, str]:
    words = packet[8:].decode("utf-8", "replace").rstrip("\0").split("\0")
    return dict(zip(words[::2], words[1::2], strict=False))


def report_fields(body: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse or NoticeResponse, by their one-letter codes."""
    return {chr(part[0]): part[1:].decode("utf-8", "replace") for part in body.split(b"\0") if part}


def error_response(severity: str, sqlstate: str, message: str, hint: str = "") -> bytes:
    fields = {"S": severity, "V": severity, "C": sqlstate, "M": message}
    if hint:
        fields["H"] = hint
    return frame(b"E", b"".join(f"{code}{text}\0".encode() for code, text in fields.items()) + b"\0")
