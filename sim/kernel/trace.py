"""The trace hash: a rolling digest of every delivered segment with its virtual time.

Two runs with the same hash delivered the same bytes on the same connections at the same instants. Only integers and
payload bytes go in: no repr, no id, no task name, whose values depend on the process. Nothing is kept, so a trace
costs no memory however long the run.
"""

from __future__ import annotations

import hashlib
import struct

_HEADER = struct.Struct("<QIBI").pack


class Trace:
    """A digest under way."""

    __slots__ = ("_digest", "_update", "segments")

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=16)
        self._update = self._digest.update
        self.segments = 0

    def segment(self, at_ns: int, connection: int, kind: int, payload: bytes) -> None:
        """Take in one delivered segment; `kind` tells data, SYN, FIN and RST and the two directions apart."""
        self.segments += 1
        self._update(_HEADER(at_ns, connection, kind, len(payload)) + payload)

    def hexdigest(self) -> str:
        """The hash so far, 32 hexadecimal digits."""
        return self._digest.copy().hexdigest()
