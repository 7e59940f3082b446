"""One real backend of the server: a process, its socket, and the reply that is being read from it.

The read blocks until the reply is complete or the backend says that it has to wait for a lock. What a client must
not see (numbers that differ in every run, LOG notices) is taken out on the way.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from signal import Signals

from . import normalise, wire
from .control import ANSWER_WITHIN_S, connect

# the process may be inside a simulation in which the names of these modules mean something else
_kill = os.kill
_set_affinity = getattr(os, "sched_setaffinity", None)

IDLE, IN_TRANSACTION, FAILED = b"I"[0], b"T"[0], b"E"[0]
"""Transaction states as ReadyForQuery reports them."""

_RECEIVE_BYTES = 32768
"""More than most replies; from 128 KiB on, each buffer would be mapped and unmapped anew (30 us)."""
_SEND_AT_ONCE_BYTES = 65536

_Z, _T, _E, _N = b"ZTEN"
_NOTEWORTHY = frozenset(b"ZTEN")
_STEP_ENDS = frozenset(b"123nCIsT")


def pin(pid: int, core: int | None) -> None:
    """Bind a process (0: this one) to one core; where that is not permitted, everything is just slower.

    Two processes that take turns on one core hand over in 10 us, on two cores in 90.
    """
    if core is not None and _set_affinity is not None:
        try:
            _set_affinity(pid, {core})
        except OSError:
            return


@dataclass(slots=True)
class Prepared:
    """A statement that lives in a backend under a name of ours."""

    name: bytes
    sql: bytes
    reply: bytes
    """What Parse and Describe were answered with."""
    schema_version: int


class Backend:
    """One server process and the reply that is being read from it."""

    __slots__ = (
        "_expected", "_out", "_owed", "_prefix", "_recv", "_rest", "_sock", "client_names", "greeting",
        "mid_batch", "names_made", "packet", "pid", "refusal", "reply", "sqlstate", "statements", "status",
    )  # fmt: skip

    def __init__(self, socket_path: str, packet: bytes) -> None:
        """Connect and start a session. Raises StartupRefused with the server's own words."""
        self._sock = connect(socket_path)
        self._recv = self._sock.recv
        self.packet = packet
        self.pid = 0
        self.status = IDLE
        self.mid_batch = False
        """Something was flushed, and no Sync came after it."""
        self.refusal: bytes | None = None
        """The ErrorResponse that replaces the server's next one."""
        self.reply = b""
        self.sqlstate: str | None = None
        self.statements: dict[bytes, Prepared] = {}
        self.names_made = 0
        self.client_names: dict[bytes, Prepared] = {}
        """What the present client calls the statements; for texts that mention them."""
        self._owed = 0
        self._prefix = 0
        self._expected = 0
        self._rest = b""
        self._out: list[bytes] = []
        self._sock.sendall(packet)
        self.greeting = self._greeting()

    def send(self, batch: bytes, *, prefix: int, flushed: int) -> None:
        """Send whole messages; ``read`` then collects their reply.

        ``prefix``: so many ReadyForQuery end replies that nobody wants. ``flushed``: the batch ends in Flush and
        makes the server answer so many messages; 0: it ends in Query or Sync.
        """
        self._prefix = prefix + self._owed
        self._owed = 0
        self._expected = flushed
        self._out = []
        self._rest = b""
        self.sqlstate = None
        if len(batch) <= _SEND_AT_ONCE_BYTES:
            self._sock.sendall(batch)
        else:
            self._send_large(batch)

    def read(self) -> bool:
        """Read on to the end of the reply, then it is in ``reply``, ``status``, ``sqlstate``.

        False: the backend has to wait for a lock first. Raises GatewayError if it is gone or silent.
        """
        data = self._rest
        out = self._out
        expected = self._expected
        unpack = wire.HEADER.unpack_from
        while True:
            at = kept = 0
            end = len(data)
            while at + 5 <= end:
                kind, length = unpack(data, at)
                after = at + 1 + length
                if after > end:
                    break
                if kind in _NOTEWORTHY:
                    if kind == _Z:
                        self.status = data[at + 5]
                        self.mid_batch = False
                        if self._prefix:
                            self._prefix -= 1
                            out.clear()
                            kept = after
                        else:
                            return self._ended(data, kept, after)
                    elif kind == _T:
                        out.append(data[kept:at])
                        out.append(normalise.row_description(data[at:after]))
                        kept = after
                    else:
                        if kept != at:
                            out.append(data[kept:at])
                        kept = after
                        body = data[at + 5 : after]
                        if kind == _E:
                            self._note_error(body)
                            if expected:
                                self.mid_batch = True
                                return self._ended(data, kept, after)
                        elif b"VLOG\0" not in body:
                            out.append(wire.frame(b"N", normalise.report(body)))
                        elif b"still waiting for" in body:
                            self._expected = expected
                            self._rest = data[after:]
                            return False
                if expected and not self._prefix and kind in _STEP_ENDS:
                    expected -= 1
                    if expected == 0:
                        self.mid_batch = True
                        return self._ended(data, kept, after)
                at = after
            if kept < at:
                out.append(data[kept:at])
            data = data[at:] + self._receive() if at < end else self._receive()

    def exchange(self, batch: bytes, *, prefix: int = 0) -> None:
        """Send and read, for what cannot have to wait."""
        self.send(batch, prefix=prefix, flushed=0)
        if not self.read():
            raise wire.GatewayError(f"backend {self.pid} waits for a lock while it cleans up")

    def owe(self, batch: bytes, replies: int) -> None:
        """Send now, and let the reply lie until the next ``send`` or ``settle``."""
        self._sock.sendall(batch)
        self._owed += replies

    def settle(self) -> None:
        """Read all that lies there."""
        if self._owed:
            owed, self._owed = self._owed, 0
            self._prefix, self._expected, self._out, self._rest = owed - 1, 0, [], b""
            self.read()

    def stop(self) -> None:
        _kill(self.pid, Signals.SIGSTOP)

    def resume(self) -> None:
        _kill(self.pid, Signals.SIGCONT)

    def interrupt(self) -> None:
        """What the postmaster does to a backend for which it got a CancelRequest."""
        _kill(self.pid, Signals.SIGINT)

    def close(self) -> None:
        try:
            self._sock.sendall(wire.TERMINATE)
        except OSError:
            pass
        finally:
            self._sock.close()

    def _ended(self, data: bytes, kept: int, after: int) -> bool:
        out = self._out
        if kept < after:
            out.append(data[kept:after])
        self.reply = out[0] if len(out) == 1 else b"".join(out)
        self._rest = data[after:]
        return True

    def _note_error(self, body: bytes) -> None:
        fields = wire.report_fields(body)
        if self._prefix:
            raise wire.GatewayError(f"Postgres refused a housekeeping query: {fields['C']} {fields['M']}")
        self.sqlstate = fields["C"]
        if self.refusal is not None:
            self.sqlstate = "0A000"
            self._out.append(self.refusal)
            self.refusal = None
        else:
            body = normalise.report(body)
            for name, prepared in self.client_names.items():
                body = body.replace(b'"' + prepared.name + b'"', b'"' + name + b'"')
            self._out.append(wire.frame(b"E", body))

    def _receive(self) -> bytes:
        try:
            data = self._recv(_RECEIVE_BYTES)
        except BlockingIOError:
            raise wire.GatewayError(
                f"backend {self.pid} did not answer within {ANSWER_WITHIN_S} s of real time and waits for no lock"
            ) from None
        except OSError as error:
            raise wire.GatewayError(f"lost backend {self.pid}: {error}") from error
        if not data:
            raise wire.GatewayError(f"backend {self.pid} ended; is the server still running?")
        return data

    def _send_large(self, batch: bytes) -> None:
        """Both sides may fill their socket buffers: take replies while sending."""
        self._sock.setblocking(False)
        try:
            view, received = memoryview(batch), b""
            while view:
                try:
                    view = view[self._sock.send(view) :]
                except BlockingIOError:
                    try:
                        received += self._sock.recv(_RECEIVE_BYTES)
                    except BlockingIOError:
                        _yield_to_server()
            self._rest = received
        finally:
            self._sock.setblocking(True)

    def _greeting(self) -> tuple[bytes, bytes]:
        """What a new session is told, before and after its BackendKeyData."""
        data = b""
        while True:
            at = 0
            for kind, body in wire.frames(data):
                after = at + 5 + len(body)
                if after > len(data) or len(body) + 4 != wire.WORD.unpack_from(data, at + 1)[0]:
                    break
                if kind == b"K"[0]:
                    self.pid = wire.WORD.unpack_from(body)[0]
                    head, tail_at = data[:at], after
                elif kind == _E:
                    self._sock.close()
                    fields = wire.report_fields(body)
                    if fields.get("C", "").startswith(_SERVER_TROUBLE):
                        raise wire.GatewayError(f"{fields.get('M')} (SQLSTATE {fields.get('C')})")
                    raise StartupRefused(wire.frame(b"E", normalise.report(body)))
                elif kind == _Z:
                    return head, data[tail_at:after]
                at = after
            data += self._receive()


_SERVER_TROUBLE = ("53", "57", "58", "XX")
"""Classes of SQLSTATE that tell of the server's own limits and troubles: they must not become part of a run."""


class StartupRefused(Exception):
    """The server turned a session away; ``message`` is its ErrorResponse."""

    def __init__(self, message: bytes) -> None:
        super().__init__(message)
        self.message = message


_yield_to_server = os.sched_yield if hasattr(os, "sched_yield") else lambda: None
