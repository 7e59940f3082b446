"""The facts of a load, sorted into buckets: everything about one delegation ends up in the same file.

A history of a million operations does not fit into memory, and need not: an invariant about a delegation needs only
what is about that delegation. So facts are grouped by delegation, and each group is a small history of its own. The
name of a group is the delegation's id, with two exceptions. Under one idempotency key there may wrongly be several
delegations, which have to be seen together: their group is named after source and key. And an operation that was never
answered does not know its id: its group is named after the operation, whose name stands in the task.

A group is written in whatever order its facts are found, and sorted by time when it is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias
from zlib import crc32

from sim.history import Member, message_id_of
from sim.mcp_answers import task_of
from sim.worlds.load.records import Recorded, with_answer

BUCKETS = 256
Kind: TypeAlias = Literal["operation", "contact", "given", "listed", "row", "state"]
Fact: TypeAlias = tuple[str, str, str]
"""Kind, table (of a row) and value."""
_OPERATION = re.compile(r"^\[([^\]]+)\]")


class Buckets:
    """Files of facts; a line is group, kind, table (of a row) and value, separated by tabs."""

    def __init__(self, folder: Path, count: int = BUCKETS) -> None:
        folder.mkdir()
        self.count = count
        self._files = [folder / f"{number:03}.facts" for number in range(count)]
        self._stack = ExitStack()
        self._open: list[IO[str]] = [
            self._stack.enter_context(file.open("w", encoding="utf-8")) for file in self._files
        ]

    def add(self, group: str, kind: Kind, value: str, table: str = "") -> None:
        """Put a fact to its group; `value` is one line."""
        self._open[crc32(group.encode()) % self.count].write(f"{group}\t{kind}\t{table}\t{value}\n")

    def close(self) -> list[Path]:
        """All files that hold anything."""
        self._stack.close()
        return [file for file in self._files if file.stat().st_size]


def read_bucket(file: Path) -> dict[str, list[Fact]]:
    """The facts of a bucket by group: kind, table, value."""
    groups: dict[str, list[Fact]] = {}
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            group, kind, table, value = line.rstrip("\n").split("\t", 3)
            groups.setdefault(group, []).append((kind, table, value))
    return groups


class Sorter:
    """Finds the group of each fact. Operations come first, then delegate rows, then everything else."""

    def __init__(self, buckets: Buckets, later: Path, members: Mapping[str, Member]) -> None:
        """`later`: a file for facts that can only be placed when all operations and delegate rows are known."""
        self._buckets = buckets
        self._names = {member.workspace_id: name for name, member in members.items()}
        self._later_file = later
        self._later: IO[str] = later.open("w", encoding="utf-8")
        self._elsewhere: dict[str, str] = {}
        """The group of a delegation that is not named after its id."""
        self._unanswered: set[str] = set()

    def operation(self, operation: Recorded) -> None:
        """A client's operation that is about one delegation or message, or a listing."""
        said, action = operation.said, operation.action
        if action in ("delegate", "mcp"):
            self._buckets.add(self._group_of_call(operation), "operation", operation.text)
        elif action == "send":
            self._buckets.add(message_id_of(operation.op), "operation", operation.text)
        elif action == "list":
            for entry in said if isinstance(said, list) else ():
                self._place_later(entry["delegation_id"], "listed", with_answer(operation, [entry]))
        elif action in ("check", "report"):
            self._place_later(operation.arguments["about"], "operation", operation.text)

    def given(self, workspace: str, row: Mapping[str, Any]) -> None:
        """A row that a poller was given."""
        if row["delegation_id"] is not None:
            told = {"method": row["method"], "request_body": {"delegation_id": row["delegation_id"]}}
            self._place_later(row["delegation_id"], "given", json.dumps([workspace, told]))

    def delegate_row(self, delegation_id: str, source: str, key: str | None, task: str, row: str) -> None:
        """The row that says who asked for what; `source` is a workspace's id."""
        asked = _OPERATION.match(task)
        if key:
            self._elsewhere[delegation_id] = _of_key(self._names.get(source, source), key)
        elif asked and asked[1] in self._unanswered:
            self._elsewhere[delegation_id] = asked[1]
        self.by_id(delegation_id, "row", row, "activity_logs")

    def by_id(self, identity: str, kind: Kind, value: str, table: str = "") -> None:
        """Anything else that names its delegation or message; every operation and delegate row is known by now."""
        self._buckets.add(self._elsewhere.get(identity, identity), kind, value, table)

    def place_the_rest(self) -> None:
        """What had to wait."""
        self._later.close()
        with self._later_file.open(encoding="utf-8") as lines:
            for line in lines:
                identity, kind, value = line.rstrip("\n").split("\t", 2)
                self.by_id(identity, kind, value)  # type: ignore[arg-type]
        self._later_file.unlink()

    def _group_of_call(self, operation: Recorded) -> str:
        document = operation.said if operation.outcome == "ok" and isinstance(operation.said, dict) else {}
        identity = document.get("delegation_id") if operation.action == "delegate" else task_of(document).get("task_id")
        key = operation.arguments.get("key")
        if key:
            group = _of_key(operation.workspace, key)
            if identity:
                self._elsewhere[str(identity)] = group
            return group
        if identity:
            return str(identity)
        self._unanswered.add(operation.op)
        return operation.op

    def _place_later(self, identity: str, kind: Kind, value: str) -> None:
        self._later.write(f"{identity}\t{kind}\t{value}\n")


def _of_key(source: str, key: str) -> str:
    return f"key {source} {key}".replace("\t", " ").replace("\n", " ")
