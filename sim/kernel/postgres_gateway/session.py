"""One client connection: from its bytes to a real backend and back, in no virtual time.

Messages are collected up to a point at which the server would answer (Query, Sync, Flush, Terminate), sent to the
leased backend as one batch, and the whole reply is written at once. While a reply is outstanding (its statement
is parked, or its deadlock takes a virtual second) later bytes wait in the inbox.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from . import idle_limit, wire
from .backend import IDLE, Backend, StartupRefused
from .shortcuts import RESET_QUERY, Mark, Shortcuts, marks_of
from .sql_policy import examine, startup_refusal
from .tap import Tap

if TYPE_CHECKING:
    from .gateway import Gateway

DEADLOCK_TIMEOUT_S = 1.0
"""What Postgres lets pass, by default, before it looks for a deadlock. Virtual seconds."""

_BATCH_ENDS = frozenset(b"QSHX")
_QUERY, _SYNC, _FLUSH, _TERMINATE, _PARSE = b"QSHXP"
_DEADLOCK_DETECTED = "40P01"
_UNPARSABLE = b"refused by fumble"
"""Sent in place of a refused statement: the server's own syntax error puts the session into the right state."""


class Session(asyncio.Protocol):
    """The server side of one connection, as far as the client can tell."""

    def __init__(self, gateway: Gateway, number: int) -> None:
        self._gateway = gateway
        self.number = number
        """The process number that the client is told; counted from 1."""
        self._transport: asyncio.Transport | None = None
        self._backend: Backend | None = None
        self._shortcuts: Shortcuts | None = None
        self._tap: Tap | None = None
        self._inbox = b""
        self._scanned = 0
        self._marks: list[Mark] = []
        self._kinds = bytearray()
        self._asked = b""
        self._busy = False
        self._skipping = False
        """The last batch was flushed and failed: the server ignores everything up to Sync."""
        self._marked = False
        """The session may hold something that outlives its transactions."""
        self._gone = False
        self._idle: idle_limit.IdleLimit | None = None

    @property
    def backend(self) -> Backend:
        assert self._backend is not None
        return self._backend

    # what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._inbox = self._inbox + data if self._inbox else data
        if not self._busy:
            try:
                self._work()
            except (wire.GatewayError, OSError) as error:
                self._gateway.lost_postgres(error)
                raise

    def connection_lost(self, exc: Exception | None) -> None:
        """A parked statement runs to its end all the same, as on a server that has not noticed yet."""
        self._gone = True
        self._inbox = b""
        if self._idle is not None:
            self._idle.stop()
        if self._backend is not None and not self._gateway.is_waiting(self):
            self._release()

    # from bytes to batches

    def _work(self) -> None:
        while self._inbox and not self._busy and not self._gone:
            ran = self._run_next_batch() if self._backend is not None else self._start()
            if not ran:
                return

    def _run_next_batch(self) -> bool:
        """Run the first whole batch of the inbox; False if there is none yet."""
        data = self._inbox
        at, end = self._scanned, len(data)
        marks, kinds = self._marks, self._kinds
        while at + 5 <= end:
            kind, length = wire.HEADER.unpack_from(data, at)
            after = at + 1 + length
            if after > end:
                break
            marks.append((kind, at, after))
            kinds.append(kind)
            at = after
            if kind in _BATCH_ENDS:
                self._marks, self._kinds, self._scanned = [], bytearray(), 0
                self._inbox = data[at:]
                self._run(bytes(kinds), marks, data[:at] if at < end else data)
                return True
        self._scanned = at
        return False

    def _run(self, kinds: bytes, marks: list[Mark], batch: bytes) -> None:
        end = kinds[-1]
        if end == _TERMINATE:
            self._release()
            self._close()
            return
        if self._skipping:
            if end != _SYNC:
                return
            self._skipping = False
            kinds, batch, marks = b"S", wire.SYNC, [(_SYNC, 0, 5)]
        self._asked = batch
        if self._idle is not None:
            self._idle.asked()
        if _QUERY in kinds or _PARSE in kinds:
            allowed = self._checked(marks, batch)
            if allowed is not batch:
                batch = allowed
                marks = list(marks_of(batch))
        backend = self.backend
        prefix = 0
        if self._shortcuts is not None:
            known = self._shortcuts.answer(kinds, batch, session_marked=self._marked)
            if known is not None:
                self._deliver(known)
                return
            batch, prefix = self._shortcuts.translate(kinds, marks, batch)
        backend.send(batch, prefix=prefix, flushed=len(kinds) - 1 if end == _FLUSH else 0)
        if backend.read():
            self.finished()
        else:
            self._busy = True
            self._gateway.waits.park(self)

    def _checked(self, marks: list[Mark], batch: bytes) -> bytes:
        """The batch, its first refused statement replaced by one that cannot be parsed."""
        allowed = batch
        for kind, at, end in marks:
            if kind not in (_QUERY, _PARSE):
                continue
            sql_at = at + 5 if kind == _QUERY else batch.index(0, at + 5) + 1
            sql_end = batch.index(0, sql_at)
            sql = batch[sql_at:sql_end]
            text = examine(sql)
            self._marked = self._marked or (text.marks_session and sql != RESET_QUERY)
            if text.refusal is not None and allowed is batch:
                self.backend.refusal = wire.error_response("ERROR", "0A000", f"fumble: {text.refusal}")
                body = batch[at + 5 : sql_at] + _UNPARSABLE + batch[sql_end:end]
                allowed = batch[:at] + wire.frame(batch[at : at + 1], body) + batch[end:]
        return allowed

    # from the backend's reply to the client

    def finished(self) -> None:
        """The backend's reply is complete."""
        backend = self.backend
        self._busy = False
        if self._shortcuts is not None:
            self._shortcuts.learn()
        if self._asked[0] == _QUERY and self._marked and self._asked[5:-1] == RESET_QUERY:
            self._marked = backend.status != IDLE
        self._skipping = backend.mid_batch and backend.sqlstate is not None
        if self._gone:
            self._observe(backend.reply)
            self._release()
        elif backend.sqlstate == _DEADLOCK_DETECTED:
            self._busy = True
            asyncio.get_running_loop().call_later(DEADLOCK_TIMEOUT_S, self._deliver_late, backend.reply)
        else:
            self._deliver(backend.reply)
        waits = self._gateway.waits
        if waits:
            waits.settle()
        if self._inbox and not self._busy:
            self._work()

    def _deliver_late(self, reply: bytes) -> None:
        self._busy = False
        if not self._gone:
            self._deliver(reply)
            self._work()

    def _deliver(self, reply: bytes) -> None:
        if self._transport is not None and reply:
            self._transport.write(reply)
        if self._idle is not None:
            self._idle.replied(reply)
        self._observe(reply)

    def _observe(self, reply: bytes) -> None:
        if self._tap is not None:
            self._tap.exchanged(self._asked, reply)

    # start and end

    def _start(self) -> bool:
        """Handle a start-up packet, which has no type byte; False if it is not whole yet."""
        if len(self._inbox) < 8:
            return False
        length, code = (wire.WORD.unpack_from(self._inbox, at)[0] for at in (0, 4))
        if len(self._inbox) < length:
            return False
        packet, self._inbox = self._inbox[:length], self._inbox[length:]
        if code in (wire.SSL_REQUEST, wire.GSSENC_REQUEST):
            self._write(b"N")
        elif code == wire.CANCEL_REQUEST:
            number, secret = wire.WORD.unpack_from(packet, 8)[0], wire.WORD.unpack_from(packet, 12)[0]
            self._close()
            self._gateway.cancel(number, secret)
        else:
            self._log_in(packet)
        return True

    def _log_in(self, packet: bytes) -> None:
        parameters = wire.startup_parameters(packet)
        idle_s = idle_limit.limit_s(parameters.pop(idle_limit.SETTING, "0"))
        if idle_s:
            self._idle = idle_limit.IdleLimit(idle_s, self._idle_too_long)
        if self._gateway.database is not None:
            parameters["database"] = self._gateway.database
        packet = wire.startup_packet(parameters)
        refusal = startup_refusal(parameters)
        if refusal is not None:
            self._write(wire.error_response("FATAL", "0A000", f"fumble: {refusal}"))
            self._close()
            return
        try:
            self._backend, self._shortcuts, self._tap = self._gateway.admit(self, packet, parameters)
        except StartupRefused as refused:
            self._write(refused.message)
            self._close()
            return
        head, tail = self._backend.greeting
        key = wire.WORD.pack(self.number) + wire.WORD.pack(self._gateway.secret(self.number))
        self._write(head + wire.frame(b"K", key) + tail)

    def _idle_too_long(self) -> None:
        self._write(wire.error_response("FATAL", "25P03", "terminating connection due to idle-in-transaction timeout"))
        self._release()
        self._close()

    def _release(self) -> None:
        """Roll back and give the backend to the next."""
        backend, self._backend = self._backend, None
        self._busy = False
        if backend is not None:
            self._gateway.discharge(self, backend, self._shortcuts, marked=self._marked)

    def release_silently(self) -> None:
        """The world ends: no reply to anyone."""
        self._gone = True
        self._release()
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _close(self) -> None:
        self._gone = True
        if self._transport is not None:
            self._transport.close()
