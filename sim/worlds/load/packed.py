"""Values in files, packed by marshal: for what this process puts aside and the same Python reads again at once.

Lists, texts and numbers come back as they went, tabs and newlines in them too, in a fraction of what JSON costs.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SIZE_BYTES = 4


class PackedFile:
    """Written once, from beginning to end; `unpacked` reads it when it is closed."""

    def __init__(self, path: Path, *, together: int = 1) -> None:
        """So many values are kept and packed `together`: small ones are cheaper so."""
        self.path = path
        self._file = path.open("wb")
        self._together = together
        self._kept: list[Any] = []

    def add(self, value: Any) -> None:
        """Append a value: None, a number, a text, or a tuple, list or dict of such."""
        self._kept.append(value)
        if len(self._kept) >= self._together:
            self._write()

    def close(self) -> None:
        """Nothing more comes."""
        self._write()
        self._file.close()

    def _write(self) -> None:
        if self._kept:
            packed = marshal.dumps(self._kept)
            self._file.write(len(packed).to_bytes(_SIZE_BYTES, "big"))
            self._file.write(packed)
            self._kept.clear()


def unpacked(path: Path) -> Iterator[Any]:
    """The values of a file, in the order in which they were added."""
    with path.open("rb") as file:
        while size := file.read(_SIZE_BYTES):
            yield from marshal.loads(file.read(int.from_bytes(size, "big")))
