"""Workers on other machines hand over what they write down: piece by piece to the master, which writes it to a file.

The last piece is sent before the worker says that it has stopped, on the same connection, so the master has all of it
by then. Of a worker that dies there is what it had sent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gevent

MESSAGE = "fumble-records"
_EVERY_S = 1.0
_PIECE_BYTES = 1_000_000


class HandingOver:
    """The worker's side: sends a file as it grows."""

    def __init__(self, runner: Any, file: Path) -> None:
        self._runner = runner
        self._file = file
        self._sent = 0

    def go_on(self) -> None:
        """Send what there is, again and again."""
        while True:
            gevent.sleep(_EVERY_S)
            self.send()

    def send(self) -> None:
        """Send what has not been sent."""
        with self._file.open("rb") as file:
            file.seek(self._sent)
            while piece := file.read(_PIECE_BYTES):
                told = {"name": self._file.name, "at": self._sent, "piece": piece}
                self._sent += len(piece)
                self._runner.send_message(MESSAGE, told)


class TakingOver:
    """The master's side: writes each file as it comes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, msg: Any, **_: Any) -> None:
        """A piece; one that does not fit (another was lost) is left out, and the file then has no end."""
        file = self._folder / Path(msg.data["name"]).name
        size = file.stat().st_size if file.exists() else 0
        if msg.data["at"] == size:
            with file.open("ab") as grown:
                grown.write(msg.data["piece"])
