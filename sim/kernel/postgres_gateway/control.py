"""A blocking session of the harness's own with the real server, text results only.

For what happens outside virtual time: creating and emptying databases, asking who waits for a lock. It is no
client library: trust authentication on a Unix socket, simple queries, and prepared statements without parameters.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from socket import AF_UNIX, SO_RCVTIMEO, SOCK_STREAM, SOL_SOCKET
from socket import socket as _RealSocket

from . import wire

ANSWER_WITHIN_S = 30
"""A reply that takes longer in real time means that the harness is stuck, not that the query is slow."""


def connect(socket_path: str) -> _RealSocket:
    """A connected blocking socket whose reads fail with BlockingIOError after ANSWER_WITHIN_S.

    The limit is the kernel's (SO_RCVTIMEO): Python's own would cost a poll() for every read.
    """
    sock = _RealSocket(AF_UNIX, SOCK_STREAM)
    try:
        sock.connect(socket_path)
    except OSError:
        sock.close()
        raise
    sock.setsockopt(SOL_SOCKET, SO_RCVTIMEO, struct.pack("ll", ANSWER_WITHIN_S, 0))
    return sock


class SqlError(wire.GatewayError):
    """The server answered a query of the harness with an error."""

    def __init__(self, sqlstate: str, message: str, sql: str) -> None:
        super().__init__(f"Postgres answered {sqlstate}: {message}\n  to: {sql[:400]}")
        self.sqlstate = sqlstate


Row = tuple[str | None, ...]


class ControlSession:
    """One such session; not to be shared between threads."""

    def __init__(self, socket_path: str, database: str, *, user: str = "postgres") -> None:
        self._sock = connect(socket_path)
        self.backend_pid = 0
        packet = {"user": user, "database": database, "application_name": "fumble control"}
        try:
            self._sock.sendall(wire.startup_packet(packet))
            self._read("connect", sync_points=1)
        except BaseException:
            self._sock.close()
            raise

    def query(self, *statements: str) -> list[Row]:
        """Send each string as one simple query, all at once; rows of all of them, in order."""
        self._sock.sendall(b"".join(map(wire.query, statements)))
        return self._read(statements[0], sync_points=len(statements))

    def prepare(self, name: str, sql: str) -> bytes:
        """Prepare ``sql`` (no parameters); the bytes returned are for ``run``."""
        return self.prepare_all(name, [sql])

    def prepare_all(self, name: str, statements: Sequence[str]) -> bytes:
        """Prepare all of them (no parameters) as one transaction; the bytes returned are for ``run``."""
        batch = b""
        for number, sql in enumerate(statements):
            statement = f"{name}_{number}\0".encode()
            self._sock.sendall(wire.frame(b"P", statement + sql.encode() + b"\0\0\0") + wire.SYNC)
            self._read(sql, sync_points=1)
            batch += wire.frame(b"B", b"\0" + statement + b"\0" * 6) + wire.frame(b"E", b"\0\0\0\0\0")
        return batch + wire.SYNC

    def run(self, prepared: bytes) -> list[Row]:
        self._sock.sendall(prepared)
        return self._read("a prepared statement", sync_points=1)

    def close(self) -> None:
        try:
            self._sock.sendall(wire.TERMINATE)
            while self._sock.recv(4096):  # until the backend is gone, so that DROP DATABASE finds no session
                pass
        except OSError:
            pass
        finally:
            self._sock.close()

    def _read(self, sql: str, *, sync_points: int) -> list[Row]:
        rows: list[Row] = []
        error: SqlError | None = None
        buffer = b""
        while True:
            whole, end = 0, len(buffer)
            while whole + 5 <= end:
                kind, length = wire.HEADER.unpack_from(buffer, whole)
                after = whole + 1 + length
                if after > end:
                    break
                body = buffer[whole + 5 : after]
                whole = after
                if kind == 68:  # D
                    rows.append(_row(body))
                elif kind == 90:  # Z
                    sync_points -= 1
                elif kind == 75:  # K
                    self.backend_pid = wire.WORD.unpack_from(body)[0]
                elif kind == 69:  # E
                    fields = wire.report_fields(body)
                    error = error or SqlError(fields["C"], fields["M"], sql)
                    if fields["V"] == "FATAL":
                        raise error
                elif kind == 78 and b"still waiting for" in body:  # N
                    raise wire.GatewayError(
                        f"the harness's own query waits for a lock that a session still holds; "
                        f"close the gateway of the previous world first\n  query: {sql[:400]}"
                    )
            if sync_points == 0:
                if error is not None:
                    raise error
                return rows
            try:
                more = self._sock.recv(65536)
            except BlockingIOError:
                raise wire.GatewayError(
                    f"Postgres did not answer the harness within {ANSWER_WITHIN_S} s: {sql[:400]}"
                ) from None
            if not more:
                raise wire.GatewayError(f"Postgres ended the harness's own session during: {sql[:400]}")
            buffer = buffer[whole:] + more


def _row(body: bytes) -> Row:
    count, at = struct.unpack_from(">H", body)[0], 2
    values: list[str | None] = []
    for _ in range(count):
        (size,) = struct.unpack_from(">i", body, at)
        at += 4
        values.append(None if size < 0 else body[at : at + size].decode())
        at += max(size, 0)
    return tuple(values)
