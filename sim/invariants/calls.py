"""A call: one client operation and how it ended, joined from the `Invoke` and the entry that closes it.

The theory is Jepsen's: only a complete answer tells what happened. A call that was not answered may have had its
effect or not, so nothing may be concluded from it except that it was tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from sim.history import Fail, Info, Invoke, Ok
from sim.mcp_answers import task_of

_NO_BODY: Mapping[str, Any] = {}


@dataclass(slots=True)
class Call:
    """`index` and `end_index` are positions in the history; `end` is None while nothing closed the call."""

    index: int
    invoke: Invoke
    end_index: int | None = None
    end: Ok | Fail | Info | None = None
    _task: Mapping[str, Any] | None = None

    @property
    def op(self) -> str:
        """The operation's name in the scenario."""
        return self.invoke.op

    @property
    def status(self) -> int | None:
        """The HTTP status of a complete answer; None when there was none."""
        return self.end.status if isinstance(self.end, Ok) else None

    @property
    def body(self) -> Mapping[str, Any]:
        """The JSON object of a complete answer; empty when there was none or it is not an object."""
        if isinstance(self.end, Ok) and isinstance(self.end.body, dict):
            return self.end.body
        return _NO_BODY

    @property
    def task(self) -> Mapping[str, Any]:
        """What the answer to an MCP tool tells of a task; empty if it tells of none. A dozen invariants ask for it."""
        if self._task is None:
            self._task = task_of(self.body)
        return self._task

    @property
    def end_s(self) -> float:
        """When the call ended; infinite when it never did."""
        return inf if self.end is None else self.end.at_s

    @property
    def had_no_effect(self) -> bool:
        """Nothing was sent, or the broker refused it (4xx)."""
        if isinstance(self.end, Ok):
            return 400 <= self.end.status < 500
        return isinstance(self.end, Fail)

    @property
    def entries(self) -> tuple[int, ...]:
        """The positions of the call in the history."""
        return (self.index,) if self.end_index is None else (self.index, self.end_index)
