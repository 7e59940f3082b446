"""CPU time of the Postgres backends that work for a workshop: the other half of what a world costs a core."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sim.kernel.postgres_gateway import ControlSession
from sim.kernel.postgres_gateway.backend import Backend


class Backends:
    """The server processes that were spoken to."""

    def __init__(self) -> None:
        self._first_s: dict[int, float] = {}

    def spoken_to(self, pid: int) -> None:
        """Watch this process from now on."""
        if pid not in self._first_s:
            self._first_s[pid] = _cpu_s(pid)

    def cpu_s(self) -> float:
        """What they used since each was first spoken to."""
        return sum(_cpu_s(pid) - first_s for pid, first_s in self._first_s.items())


@contextmanager
def backends_watched() -> Iterator[Backends]:
    """Watch the backends that are used within the block. Needs Linux's /proc."""
    backends = Backends()
    send, query = Backend.send, ControlSession.query

    def noted_send(self: Backend, *args: Any, **kwargs: Any) -> None:
        backends.spoken_to(self.pid)
        send(self, *args, **kwargs)

    def noted_query(self: ControlSession, *args: Any) -> Any:
        backends.spoken_to(self.backend_pid)
        return query(self, *args)

    with patch.object(Backend, "send", noted_send), patch.object(ControlSession, "query", noted_query):
        yield backends


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
