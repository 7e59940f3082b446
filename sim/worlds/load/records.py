"""What load clients write down: one append-only file a worker, a line a fact, written before and after each request.

A line is a JSON array that ends in a newline, so a file that was cut in the middle of a record (a killed worker, a
full disk) loses that record and nothing else. The first line says whose clock is used, the last (`end`) that nothing
is missing. An operation is two lines that share a number: `begin` before anything is sent, then how it ended.

This module is imported by Locust's processes: it must not import asyncio, nor anything that does.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

FORMAT = "fumble-load-1"
SUFFIX = ".records"
_TROUBLES_MAX = 20
Outcome: TypeAlias = Literal["ok", "fail", "unknown", "open"]
"""As in a history; `open`: the file ends before the operation did, which means the same as unknown."""


class Recorder:
    """Writes one worker's file. Every line is handed to the system at once: whoever kills us loses none."""

    def __init__(self, folder: Path, worker: str) -> None:
        """Raises OSError, also if the worker has a file already."""
        self.worker = worker
        self._file = (folder / f"{worker}{SUFFIX}").open("xb", buffering=0)
        self._count = 0
        self._write([FORMAT, worker, time.monotonic(), time.time(), machine()])

    def next_op(self) -> str:
        """A name for the next operation, which no other of the run has."""
        self._count += 1
        return f"{self.worker}-{self._count}"

    def begin(self, op: str, action: str, workspace: str, arguments: Mapping[str, Any], *, due_s: float) -> None:
        """An operation begins now; `due_s`, on the monotonic clock, is when it should have begun."""
        self._write(["b", op, time.monotonic(), due_s, action, workspace, arguments])

    def ok(self, op: str, status: int, body: Any) -> float:
        """A whole answer was read. Returns the time."""
        return self._ended("o", op, status, body)

    def fail(self, op: str, reason: str) -> float:
        """Nothing was sent. Returns the time."""
        return self._ended("f", op, None, reason)

    def unknown(self, op: str, reason: str, status: int | None = None) -> float:
        """It was sent, at least in part, and no whole answer came. Returns the time."""
        return self._ended("u", op, status, reason)

    def trouble(self, said: str) -> None:
        """Something went wrong that no operation tells of."""
        self._write(["x", said])

    def close(self) -> None:
        """The worker has done its work."""
        self._write(["end", self._count])
        self._file.close()

    def _ended(self, kind: str, op: str, status: int | None, said: Any) -> float:
        now_s = time.monotonic()
        self._write([kind, op, now_s, status, said])
        return now_s

    def _write(self, record: list[Any]) -> None:
        self._file.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")


class Recorded(NamedTuple):
    """One operation; times are seconds of the run, `due_s` is when it should have begun. `end_s` is None while open."""

    op: str
    action: str
    workspace: str
    arguments: Mapping[str, Any]
    due_s: float
    began_s: float
    outcome: Outcome
    end_s: float | None
    status: int | None
    said: Any


@dataclass(slots=True)
class RecordFile:
    """Reads one file, however it ends; after `operations` has run, `troubles` says what is missing in it."""

    path: Path
    zero_s: float
    """What this machine's monotonic clock read when the run began."""
    zero_unix_s: float
    """What its wall clock read then: for files of other machines."""
    troubles: list[str] = field(default_factory=list)

    def operations(self) -> Iterator[Recorded]:
        """Each operation when it has ended, then those that never did."""
        offset_s = self.zero_s
        begun: dict[str, list[Any]] = {}
        announced = False
        for number, record in enumerate(self._lines(), start=1):
            try:
                kind = record[0]
                if kind == "b":
                    begun[record[1]] = record
                elif kind in _OUTCOMES:
                    yield _operation(begun.pop(record[1]), record, offset_s)
                elif number == 1:
                    offset_s = self._offset_s(record)
                elif kind == "x":
                    self._note(f"{self.path.name}: {record[1]}")
                elif kind == "end":
                    announced = True
            except (LookupError, TypeError, ValueError):
                self._note(f"{self.path.name}: line {number} is no record of a load")
        if not announced:
            self._note(f"{self.path.name}: it has no end, so its worker did not come to its own")
        for begin in begun.values():
            yield _operation(begin, None, offset_s)

    def _note(self, trouble: str) -> None:
        """The same trouble, a thousand times, is one."""
        if trouble not in self.troubles and len(self.troubles) < _TROUBLES_MAX:
            self.troubles.append(trouble)

    def _lines(self) -> Iterator[Any]:
        with self.path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith("\n"):
                    self._note(f"{self.path.name}: line {number} is cut in the middle of a record")
                    return
                try:
                    yield decoded(line)
                except ValueError:
                    self._note(f"{self.path.name}: line {number} is no record of a load")

    def _offset_s(self, header: list[Any]) -> float:
        format_, _, monotonic_s, unix_s, where = header
        if format_ != FORMAT:
            raise ValueError(format_)
        if where == machine():
            return self.zero_s
        return float(monotonic_s - (unix_s - self.zero_unix_s))


_OUTCOMES: Mapping[str, Outcome] = {"o": "ok", "f": "fail", "u": "unknown"}
_DECODE = json.JSONDecoder().raw_decode


def decoded(text: str) -> Any:
    """JSON that is known to begin at once: what `json.loads` does besides takes half of its time on a short text.

    Raises ValueError.
    """
    return _DECODE(text)[0]


def decoded_all(texts: Sequence[str]) -> list[Any]:
    """Several of the kind: names that they share are read once. Raises ValueError."""
    found: list[Any] = decoded(f"[{','.join(texts)}]")
    return found


def _operation(begin: list[Any], end: list[Any] | None, offset_s: float) -> Recorded:
    _, op, at_s, due_s, action, workspace, arguments = begin
    began_s = max(at_s - offset_s, 0.0)
    due_s = min(due_s - offset_s, began_s)
    if end is None:
        return Recorded(op, action, workspace, arguments, due_s, began_s, "open", None, None, None)
    kind, _, end_s, status, said = end
    end_s = max(end_s - offset_s, began_s)
    return Recorded(op, action, workspace, arguments, due_s, began_s, _OUTCOMES[kind], end_s, status, said)


def machine() -> str:
    """Names this machine since its start: within it, monotonic clocks of all processes are one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{os.uname().nodename}"
