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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

FORMAT = "fumble-load-1"
SUFFIX = ".records"
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


@dataclass(slots=True)
class Recorded:
    """One operation; times are seconds of the run. `end_s` is None while it is open."""

    op: str
    action: str
    workspace: str
    arguments: Mapping[str, Any]
    due_s: float
    began_s: float
    outcome: Outcome = "open"
    end_s: float | None = None
    status: int | None = None
    said: Any = None


@dataclass(slots=True)
class RecordFile:
    """Reads one file, however it ends; after `operations` has run, `troubles` says what is missing in it."""

    path: Path
    zero_s: float
    """What this machine's monotonic clock read when the run began."""
    zero_unix_s: float
    """What its wall clock read then: for files of other machines."""
    troubles: list[str] = field(default_factory=list)
    count: int = 0

    def operations(self) -> Iterator[Recorded]:
        """Each operation when it has ended, then those that never did."""
        offset_s = 0.0
        open_: dict[str, Recorded] = {}
        announced: int | None = None
        for number, record in enumerate(self._lines()):
            try:
                kind = record[0]
                if number == 0:
                    offset_s = self._offset_s(record)
                elif kind == "b":
                    _, op, at_s, due_s, action, workspace, arguments = record
                    began_s = max(at_s - offset_s, 0.0)
                    open_[op] = Recorded(op, action, workspace, arguments, min(due_s - offset_s, began_s), began_s)
                elif kind in _OUTCOMES:
                    _, op, at_s, status, said = record
                    operation = open_.pop(op)
                    operation.outcome, operation.status, operation.said = _OUTCOMES[kind], status, said
                    operation.end_s = max(at_s - offset_s, 0.0)
                    self.count += 1
                    yield operation
                elif kind == "end":
                    announced = record[1]
            except (LookupError, TypeError, ValueError):
                self.troubles.append(f"{self.path.name}: line {number + 1} is no record")
        if announced is None:
            self.troubles.append(f"{self.path.name}: it has no end, so its worker did not come to its own")
        self.count += len(open_)
        yield from open_.values()

    def _lines(self) -> Iterator[list[Any]]:
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    self.troubles.append(f"{self.path.name}: line {number} is cut in the middle of a record")
                    return
                try:
                    record = json.loads(line)
                except ValueError:
                    record = None
                if isinstance(record, list) and record:
                    yield record
                else:
                    self.troubles.append(f"{self.path.name}: line {number} is no record")
                    if number == 1:
                        return

    def _offset_s(self, header: list[Any]) -> float:
        format_, _, monotonic_s, unix_s, where = header
        if format_ != FORMAT:
            raise ValueError(format_)
        if where == machine():
            return self.zero_s
        return float(monotonic_s - (unix_s - self.zero_unix_s))


_OUTCOMES: Mapping[str, Outcome] = {"o": "ok", "f": "fail", "u": "unknown"}


def machine() -> str:
    """Names this machine since its start: within it, monotonic clocks of all processes are one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{os.uname().nodename}"
