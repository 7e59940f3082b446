"""What a run has put where it does not vanish with us: written down, so that `fumble doctor` can name what was left.

Processes of ours die with us. A database on somebody's server, proxies at somebody's Toxiproxy, containers and folders
stay when fumble is killed. Each run keeps one small file in the user's state folder, and removes it at its end.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["database", "proxies", "container", "folder"]

REMEDIES: dict[str, str] = {
    "database": "drop it",
    "proxies": "delete those whose names begin so",
    "container": "docker rm -f",
    "folder": "remove it",
}


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that a run which is over has left behind. `where` holds no secret."""

    kind: str
    where: str

    def __str__(self) -> str:
        return f"{self.kind} {self.where} ({REMEDIES.get(self.kind, 'remove it')})"


class RunRecord:
    """The record of this process."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._things: list[tuple[str, str]] = []

    @contextmanager
    def holding(self, kind: Kind, where: str) -> Iterator[None]:
        """Within the block the thing is there."""
        self._things.append((kind, where))
        self._write()
        yield
        # Not in a `finally`: what could not be removed stays written down.
        self._things.remove((kind, where))
        self._write()

    def _write(self) -> None:
        with suppress(OSError):  # a machine where nothing can be noted is no reason not to play
            if not self._things:
                self._file.unlink(missing_ok=True)
                return
            self._file.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._file.with_suffix(".new")
            fresh.write_text(json.dumps({"pid": os.getpid(), "born": _born(os.getpid()), "things": self._things}))
            fresh.replace(self._file)


def record_of_this_process() -> RunRecord:
    """The record that this process may write."""
    return RunRecord(folder() / f"{os.getpid()}.json")


def leftovers() -> list[Leftover]:
    """What runs that are over have left behind."""
    found: list[Leftover] = []
    for file in sorted(folder().glob("*.json")):
        try:
            record = json.loads(file.read_text())
            pid, born, things = record["pid"], record["born"], record["things"]
        except (OSError, ValueError, KeyError):
            continue
        if _born(pid) != born:
            found.extend(Leftover(str(kind), str(where)) for kind, where in things if _may_be_there(kind, where))
    return found


def _may_be_there(kind: str, where: str) -> bool:
    """A folder that somebody has removed is nothing to complain of; of all else only its owner can tell."""
    return kind != "folder" or Path(where).exists()


def folder() -> Path:
    """Where records are; who has removed what a run left deletes its record too."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "fumble" / "runs"


def _born(pid: int) -> str:
    """What tells a process from a later one with the same id; empty if it is gone."""
    if sys.platform == "linux":
        try:
            # After the name, which is in parentheses and may hold anything, the 20th value is the start time.
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        except (OSError, IndexError):
            return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass
    return "alive"
