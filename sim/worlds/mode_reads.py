"""Which delivery modes the broker really read, seen on its database connections.

A silent push fallback is defined by what the broker *read* before it pushed (`INV-10` to `INV-12`), so it has to be
observed where it is read: on the wire, on the broker's side of every fault. The observer follows the protocol just
far enough to tell which execution selects `delivery_mode`, for which workspace, and which answer arrived complete.
"""

from __future__ import annotations

import re
import struct
import uuid
from collections import deque
from collections.abc import Callable, Iterator

_MARK = b"delivery_mode"
_SELECT = re.compile(rb"^\s*(select|with)\b", re.IGNORECASE)
_PARSE, _BIND, _EXECUTE, _QUERY = b"PBEQ"
_DATA_ROW, _READY = b"DZ"
_ENDS, _ENDS_WELL = b"CsEI", b"Cs"
_HEADER = struct.Struct(">BI")
_MODES = {b"push": "push", b"poll": "poll"}

Report = Callable[[str, str | None], None]


class ModeReadObserver:
    """Watches one connection from its client's end; `report(workspace_id, mode)` for each answer that arrived."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._sent = bytearray()
        self._received = bytearray()
        self._following = False
        self._reading_statements: dict[bytes, None] = {}
        self._bound: str | None = None
        self._executions: deque[str | None] = deque()
        self._mode: str | None = None

    def __call__(self, is_reply: bool, data: bytes) -> None:
        """Take in bytes of one direction.

        Messages are followed only from one that concerns a mode read to the end of its exchange: the rest of the
        traffic, nearly all of it, costs one search. Clients write whole messages and wait for answers, so such a write
        starts at a message's first byte with nothing outstanding.
        """
        if not self._following:
            if is_reply or not (_MARK in data or any(map(data.__contains__, self._reading_statements))):
                return
            self._following = True
        if is_reply:
            self._received += data
            for kind, body in _messages(self._received):
                self._replied(kind, body)
        else:
            self._sent += data
            for kind, body in _messages(self._sent):
                self._asked(kind, body)

    def _asked(self, kind: int, body: bytes) -> None:
        if kind == _PARSE:
            name, _, rest = body.partition(b"\0")
            query = rest.partition(b"\0")[0]
            if _MARK in query and _SELECT.match(query):
                self._reading_statements[name] = None
            else:
                self._reading_statements.pop(name, None)
        elif kind == _BIND:
            statement = body.split(b"\0", 2)[1]
            self._bound = _workspace_of(body) if statement in self._reading_statements else None
        elif kind == _EXECUTE:
            self._executions.append(self._bound)
        elif kind == _QUERY:
            self._executions.append(None)

    def _replied(self, kind: int, body: bytes) -> None:
        if kind == _DATA_ROW:
            if self._executions and self._executions[0] is not None:
                self._mode = next((_MODES[value] for value in _values(body, 2, 4) if value in _MODES), None)
        elif kind in _ENDS and self._executions:
            # Complete, suspended after the rows that were asked for, failed, or empty: the execution is over.
            workspace_id = self._executions.popleft()
            if workspace_id is not None and kind in _ENDS_WELL:
                self._report(workspace_id, self._mode)
            self._mode = None
        elif kind == _READY:
            self._following = False
            self._executions.clear()
            self._received.clear()


def _messages(buffer: bytearray) -> Iterator[tuple[int, bytes]]:
    """Take the complete messages off the front of `buffer`."""
    start = 0
    while len(buffer) - start >= 5:
        kind, size = _HEADER.unpack_from(buffer, start)
        end = start + 1 + size
        if len(buffer) < end:
            break
        yield kind, bytes(buffer[start + 5 : end])
        start = end
    del buffer[:start]


def _values(body: bytes, start: int, width: int) -> Iterator[bytes]:
    """The length-prefixed values of a DataRow or a Bind, from `start` on (NULLs are skipped)."""
    count = int.from_bytes(body[start - 2 : start], "big")
    position = start
    for _ in range(count):
        size = int.from_bytes(body[position : position + width], "big", signed=True)
        position += width
        if size >= 0:
            yield body[position : position + size]
            position += size


def _workspace_of(bind: bytes) -> str | None:
    """The first parameter of a Bind that is a UUID, in binary or in text."""
    start = bind.index(b"\0", bind.index(b"\0") + 1) + 1
    formats = int.from_bytes(bind[start : start + 2], "big")
    for value in _values(bind, start + 2 + 2 * formats + 2, 4):
        if len(value) == 16:
            return str(uuid.UUID(bytes=value))
        if len(value) == 36:
            try:
                return str(uuid.UUID(value.decode("ascii", "replace")))
            except ValueError:
                continue
    return None
