"""Answers that need no round trip to the server: "fast" mode. A client sees the same bytes at the same times.

* A statement that a warm backend has prepared before is not prepared again: its Parse and Describe are answered
  from memory, and later messages get the name under which the backend knows it.
* BEGIN and the pool's reset query have no effect that anybody could see before the next statement of their
  session; they are answered at once and travel in front of that statement.

No answer comes from memory where the server's could differ: in a failed transaction, in one whose snapshot Parse
would take (REPEATABLE READ and up), and while any session holds uncommitted schema changes or explicit table
locks. What stays: Parse takes an ACCESS SHARE lock which a skipped Parse takes one message later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from . import wire
from .backend import FAILED, IDLE, Backend, Prepared
from .backends import Backends
from .sql_policy import Text, examine

RESET_QUERY = b"SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;"
"""What asyncpg's pool sends when a connection comes back."""

_BEGIN = re.compile(
    rb"BEGIN(?: ISOLATION LEVEL (?:READ COMMITTED|REPEATABLE READ|SERIALIZABLE))?(?: READ ONLY)?(?: DEFERRABLE)?;?"
)
_BEGUN = wire.complete(b"BEGIN") + wire.ready(b"T")
_RESET_MESSAGE = wire.query(RESET_QUERY)
_NO_SUCH_STATEMENT = b"fumble none"


Mark = tuple[int, int, int]
"""Where a message lies in its batch: its kind, its first byte, and the first byte after it."""


class Shortcuts:
    """The shortcuts of one client session on its leased backend."""

    def __init__(self, backend: Backend, backends: Backends, in_flux: set[int], number: int) -> None:
        """``in_flux``: numbers of the sessions that hold uncommitted schema changes, shared by all sessions."""
        self._backend = backend
        self._backends = backends
        self._in_flux = in_flux
        self._number = number
        self._names: dict[bytes, Prepared] = {}
        backend.client_names = self._names
        self._begin = b""
        self._reset = False
        self._learning: tuple[bytes, Prepared] | None = None
        self._resetting = False
        self._snapshot_fixed = False
        self.may_keep_statements = True

    def answer(self, kinds: bytes, batch: bytes, *, session_marked: bool) -> bytes | None:
        """The whole reply to a batch, if it is known without the server."""
        if kinds == b"PDH":
            return self._known_statement(batch)
        if kinds != b"Q" or self._begin or self._backend.status != IDLE:
            return None
        sql = batch[5:-1]
        if sql == RESET_QUERY:
            if session_marked or not self._backends.reset_reply:
                self._resetting = True
                return None
            self._reset = True
            return self._backends.reset_reply
        if _BEGIN.fullmatch(sql):
            self._begin = batch
            self._note(examine(sql))
            return _BEGUN
        return None

    def translate(self, kinds: bytes, marks: list[Mark], batch: bytes) -> tuple[bytes, int]:
        """The batch in the backend's names, what was held back in front; how many replies that adds."""
        parts: list[bytes] = []
        if self._reset:
            parts.append(_RESET_MESSAGE)
        if self._begin:
            parts.append(self._begin)
        prefix = len(parts)
        self._reset, self._begin = False, b""
        if kinds == b"Q":
            self._note(examine(batch[5:-1]))
            parts.append(batch)
        elif kinds == b"PDH":
            parts.append(self._prepare(batch))
        else:
            parts.extend(self._renamed(marks, batch))
        return parts[0] if len(parts) == 1 else b"".join(parts), prefix

    def learn(self) -> None:
        """Take note of the backend's reply to the last batch."""
        backend = self._backend
        if self._learning is not None:
            key, prepared = self._learning
            self._learning = None
            if backend.sqlstate is None:
                prepared.reply = backend.reply
                backend.statements[key] = prepared
        if self._resetting:
            self._resetting = False
            if backend.sqlstate is None:
                self._backends.reset_reply = backend.reply
        if backend.status == IDLE and not backend.mid_batch:
            self.transaction_ended()

    def transaction_ended(self) -> None:
        self._snapshot_fixed = False
        if self._number in self._in_flux:
            self._in_flux.discard(self._number)
            self._backends.schema_version += 1

    def _note(self, text: Text) -> None:
        if text.holds_tables:
            self._in_flux.add(self._number)
        if text.fixes_snapshot:
            self._snapshot_fixed = True
        if text.drops_prepared:
            self.may_keep_statements = False
            self._backend.statements.clear()

    def _known_statement(self, batch: bytes) -> bytes | None:
        if self._in_flux or self._snapshot_fixed or self._backend.status == FAILED or not self.may_keep_statements:
            return None
        name_end = batch.index(0, 5)
        name = batch[5:name_end]
        if not name or name in self._names:
            return None
        key = batch[name_end + 1 : 1 + wire.WORD.unpack_from(batch, 1)[0]]
        known = self._backend.statements.get(key)
        if known is None or known.schema_version != self._backends.schema_version:
            return None
        if batch[5 + len(name) + 1 + len(key) + 5 :] != b"S" + name + b"\0" + b"H\0\0\0\x04":
            return None
        self._names[name] = known
        return known.reply

    def _prepare(self, batch: bytes) -> bytes:
        """Parse and Describe of a statement that is new to the backend."""
        name_end = batch.index(0, 5)
        name = batch[5:name_end]
        parse_end = 1 + wire.WORD.unpack_from(batch, 1)[0]
        key = batch[name_end + 1 : parse_end]
        described = batch[parse_end + 5 : -5]
        if not name or described != b"S" + name + b"\0":
            return b"".join(self._renamed(list(marks_of(batch)), batch))
        prepared = self._names.get(name)
        if prepared is None:
            prepared = self._names[name] = self._new(key)
            self._learning = key, prepared
        own = prepared.name
        return wire.frame(b"P", own + b"\0" + key) + wire.frame(b"D", b"S" + own + b"\0") + b"H\0\0\0\x04"

    def _new(self, key: bytes) -> Prepared:
        backend = self._backend
        backend.names_made += 1
        return Prepared(b"fumble %d" % backend.names_made, key[: key.index(0)], b"", self._backends.schema_version)

    def _renamed(self, marks: list[Mark], batch: bytes) -> Iterator[bytes]:
        names = self._names
        for kind, at, end in marks:
            if kind == 66:  # Bind: portal, statement, …
                portal_end = batch.index(0, at + 5) + 1
                name_end = batch.index(0, portal_end)
                prepared = names.get(batch[portal_end:name_end])
                if prepared is not None:
                    text = examine(prepared.sql)
                    if text.is_special:
                        self._note(text)
                    body = batch[at + 5 : portal_end] + prepared.name + batch[name_end:end]
                    yield b"B" + wire.WORD.pack(len(body) + 4) + body
                    continue
            elif kind == 80:  # Parse: statement, query, …
                name_end = batch.index(0, at + 5)
                name, key = batch[at + 5 : name_end], batch[name_end + 1 : end]
                if name:
                    prepared = names.get(name) or names.setdefault(name, self._new(key))
                    yield wire.frame(b"P", prepared.name + b"\0" + key)
                    continue
                self._note(examine(key[: key.index(0)]))
            elif kind in b"DC" and batch[at + 5] == 83:  # Describe or Close of a statement
                prepared = names.get(batch[at + 6 : end - 1])
                if kind == 67 and prepared is not None:
                    del names[batch[at + 6 : end - 1]]
                    yield wire.frame(b"C", b"S" + _NO_SUCH_STATEMENT + b"\0")
                    continue
                if prepared is not None:
                    yield wire.frame(b"D", b"S" + prepared.name + b"\0")
                    continue
            yield batch[at:end]


def marks_of(batch: bytes) -> Iterator[Mark]:
    """The messages of a whole batch."""
    at = 0
    while at < len(batch):
        kind, length = wire.HEADER.unpack_from(batch, at)
        yield kind, at, at + 1 + length
        at += 1 + length
