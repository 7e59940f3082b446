"""The facts of a load, sorted into buckets: everything about one delegation ends up in the same file.

A history of a million operations does not fit into memory, and need not: an invariant about a delegation needs only
what is about that delegation. So facts are grouped by delegation, and each group is a small history of its own. The
name of a group is the delegation's id, with two exceptions. Under one idempotency key there may wrongly be several
delegations, which have to be seen together: their group is named after source and key. And an operation that was never
answered does not know its id: its group is named after the operation, whose name stands in the task.

A group is written in whatever order its facts are found, and sorted by time when it is read. Groups of a bucket are in
the order of their first facts, so those that are neighbours there were so in time.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias
from zlib import crc32

from sim.history import Member, message_id_of
from sim.mcp_answers import task_of
from sim.worlds.load.packed import PackedFile, unpacked
from sim.worlds.load.records import Recorded

BUCKETS = 256
_TOGETHER = 16
Kind: TypeAlias = Literal["operation", "contact", "given", "listed", "row"]
Fact: TypeAlias = tuple[str, Kind, str, Any]
"""Group, kind, table (of a row), value: the fields of a `Recorded`, a poller's name and what it was given, or JSON."""
_OPERATION = re.compile(r"^\[([^\]]+)\]")


class Buckets:
    """Files of facts, each with the name of its group."""

    def __init__(self, folder: Path, count: int = BUCKETS) -> None:
        folder.mkdir()
        self.count = count
        self._files = [PackedFile(folder / f"{number:03}.facts", together=_TOGETHER) for number in range(count)]

    def add(self, group: str, kind: Kind, value: Any, table: str = "") -> None:
        """Put a fact to its group."""
        self._files[crc32(group.encode(errors="surrogatepass")) % self.count].add((group, kind, table, value))

    def close(self) -> list[Path]:
        """All files that hold anything."""
        for file in self._files:
            file.close()
        return [file.path for file in self._files if file.path.stat().st_size]


def read_bucket(file: Path) -> dict[str, list[Fact]]:
    """The facts of a bucket by group."""
    groups: defaultdict[str, list[Fact]] = defaultdict(list)
    for fact in unpacked(file):
        groups[fact[0]].append(fact)
    return groups


class Sorter:
    """Finds the group of each fact. Operations come first, then delegate rows, then everything else."""

    def __init__(self, buckets: Buckets, later: Path, members: Mapping[str, Member]) -> None:
        """`later`: a file for facts that can only be placed when all operations and delegate rows are known."""
        self._buckets = buckets
        self._names = {member.workspace_id: name for name, member in members.items()}
        self._later = PackedFile(later, together=_TOGETHER)
        self._elsewhere: dict[str, str] = {}
        """The group of a delegation that is not named after its id."""
        self._unanswered: set[str] = set()

    def operation(self, operation: Recorded) -> None:
        """A client's operation that is about one delegation or message, or a listing."""
        said, action = operation.said, operation.action
        if action in ("delegate", "mcp"):
            self._buckets.add(self._group_of_call(operation), "operation", tuple(operation))
        elif action == "send":
            self._buckets.add(message_id_of(operation.op), "operation", tuple(operation))
        elif action == "list":
            for entry in said if isinstance(said, list) else ():
                self._later.add((str(entry["delegation_id"]), "listed", tuple(operation._replace(said=[entry]))))
        elif action in ("check", "report"):
            self._later.add((str(operation.arguments["about"]), "operation", tuple(operation)))

    def given(self, workspace: str, row: Mapping[str, Any]) -> None:
        """A row that a poller was given."""
        if row["delegation_id"] is not None:
            told = {"method": row["method"], "request_body": {"delegation_id": row["delegation_id"]}}
            self._later.add((str(row["delegation_id"]), "given", (workspace, told)))

    def delegate_row(self, delegation_id: str, source: str, key: str | None, task: str, row: str) -> None:
        """The row that says who asked for what; `source` is a workspace's id."""
        asked = _OPERATION.match(task)
        if key:
            self._elsewhere[delegation_id] = _of_key(self._names.get(source, source), key)
        elif asked and asked[1] in self._unanswered:
            self._elsewhere[delegation_id] = asked[1]
        self.by_id(delegation_id, "row", row, "activity_logs")

    def by_id(self, identity: str, kind: Kind, value: Any, table: str = "") -> None:
        """Anything else that names its delegation or message; every operation and delegate row is known by now."""
        self._buckets.add(self._elsewhere.get(identity, identity), kind, value, table)

    def place_the_rest(self) -> None:
        """What had to wait."""
        self._later.close()
        for identity, kind, value in unpacked(self._later.path):
            self.by_id(identity, kind, value)
        self._later.path.unlink()

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


def _of_key(source: str, key: str) -> str:
    return f"key {source} {key}"
