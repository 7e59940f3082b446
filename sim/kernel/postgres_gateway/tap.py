"""Which statements a client ran and what came of each, read off its messages and their replies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import wire
from .sql_policy import examine


@dataclass(frozen=True, slots=True)
class Statement:
    """One executed statement, or one that could not be prepared."""

    connection: int
    """The gateway counts its connections from 1."""
    sql: str
    kind: str
    """First word in lower case: ``select``, ``insert``, ``begin``, ``commit``, ``rollback``, …"""
    result: str
    """The command tag (``INSERT 0 1``), or the SQLSTATE if it failed (``23505``)."""
    failed: bool


class Tap:
    """Follows one connection: statements by name, portals by name."""

    def __init__(self, connection: int, on_statement: Callable[[Statement], None]) -> None:
        self._connection = connection
        self._on_statement = on_statement
        self._names: dict[bytes, bytes] = {}
        self._portals: dict[bytes, bytes] = {}

    def exchanged(self, batch: bytes, reply: bytes) -> None:
        """A batch of the client was answered."""
        asked = self._asked(batch)
        results = _results(reply)
        if batch[0] == 81:  # one simple query may hold several statements: the last result counts
            self._report(asked[0][1], results[-1])
            return
        ran = [sql for executed, sql in asked if executed]
        for sql, result in zip(ran, results, strict=False):
            self._report(sql, result)
        if asked and not ran and results:  # it could not be prepared
            self._report(asked[-1][1], results[-1])

    def _asked(self, batch: bytes) -> list[tuple[bool, bytes]]:
        """Statements prepared (False) and executed (True)."""
        asked: list[tuple[bool, bytes]] = []
        for kind, body in wire.frames(batch):
            if kind == 81:  # Query
                asked.append((True, body[:-1]))
            elif kind == 80:  # Parse
                name, sql, _ = body.split(b"\0", 2)
                self._names[name] = sql
                asked.append((False, sql))
            elif kind == 66:  # Bind
                portal, name, _ = body.split(b"\0", 2)
                self._portals[portal] = self._names.get(name, b"")
            elif kind == 69:  # Execute
                asked.append((True, self._portals.get(body[: body.index(0)], b"")))
        return asked

    def _report(self, sql: bytes, result: tuple[str, bool]) -> None:
        text = sql.decode("utf-8", "replace")
        self._on_statement(Statement(self._connection, text, examine(sql).kind, *result))


def _results(reply: bytes) -> list[tuple[str, bool]]:
    """How each statement of a reply ended, and whether that was an error."""
    results = []
    for kind, body in wire.frames(reply):
        if kind == 67:  # CommandComplete
            results.append((body[:-1].decode(), False))
        elif kind == 69:  # ErrorResponse
            results.append((wire.report_fields(body)["C"], True))
        elif kind in b"Is":  # EmptyQueryResponse, PortalSuspended
            results.append(("SUSPENDED" if kind == 115 else "EMPTY", False))
    return results
