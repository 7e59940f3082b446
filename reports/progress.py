"""How far a long command is, on stderr: one line that rewrites itself at a terminal, a line every tenth elsewhere."""

from __future__ import annotations

from typing import TextIO

TENTHS = 10


class Progress:
    """Counts runs; a context manager that leaves a clean line behind, on any way out."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total = total
        self._stream = stream
        self._done = 0
        self._failed = 0
        self._rewrites = stream.isatty()
        self._shown = 0

    def advance(self, *, failed: bool) -> None:
        """One run more is done."""
        self._done += 1
        self._failed += failed
        if self._rewrites:
            self._stream.write(f"\r{self._line()}")
            self._stream.flush()
        elif self._done * TENTHS // self._total > self._shown:
            self._shown = self._done * TENTHS // self._total
            self._stream.write(f"{self._line()}\n")
            self._stream.flush()

    def _line(self) -> str:
        trouble = f", {self._failed} not passed" if self._failed else ""
        return f"{self._done} of {self._total} runs{trouble}"

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *unused: object) -> None:
        if self._rewrites and self._done:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
