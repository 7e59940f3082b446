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
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Literal, TypeAlias
from zlib import crc32

from sim.history import Member, message_id_of
from sim.mcp_answers import task_of
from sim.worlds.load.packed import PackedFile, unpacked
from sim.worlds.load.records import Recorded

BUCKETS = 256
_TOGETHER = 16
Kind: TypeAlias = Literal["operation", "contact", "given", "listed", "row", "state"]
Fact: TypeAlias = tuple[str, Kind, str, Any]
"""Group, kind, table (of a row), value: the fields of a `Recorded`, a poller's name and what it was given, a caller and
what its listing told in the end, or JSON."""
_OPERATION = re.compile(r"^\[([^\]]+)\]")


class Buckets:
    """Files of facts, each with the name of its group; several processes have some each, in folders of their own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._files = [PackedFile(folder / _name(number), together=_TOGETHER) for number in range(BUCKETS)]

    def add(self, group: str, kind: Kind, value: Any, table: str = "") -> None:
        """Put a fact to its group."""
        self._files[crc32(group.encode("utf-8", "surrogatepass")) % BUCKETS].add((group, kind, table, value))

    def close(self) -> None:
        """Nothing more comes."""
        for file in self._files:
            file.close()


def buckets_in(folders: Sequence[Path]) -> list[tuple[Path, ...]]:
    """The files of each bucket that holds anything, over all folders."""
    buckets = (tuple(folder / _name(number) for folder in folders) for number in range(BUCKETS))
    return [files for files in buckets if any(file.stat().st_size for file in files)]


def read_bucket(files: Sequence[Path]) -> dict[str, list[Fact]]:
    """The facts of a bucket by group."""
    groups: defaultdict[str, list[Fact]] = defaultdict(list)
    for file in files:
        for fact in unpacked(file):
            groups[fact[0]].append(fact)
    return groups


class Sorter:
    """Finds the groups of one worker's operations. Others may name a delegation's group, so what names it waits."""

    def __init__(self, buckets: Buckets, later: Path) -> None:
        """`later`: a file for facts that can only be placed when all operations and delegate rows are known."""
        self._buckets = buckets
        self._later = PackedFile(later, together=_TOGETHER)
        self.aliases: dict[str, str] = {}
        """The group of a delegation that is not named after its id."""
        self.unanswered: set[str] = set()
        """Operations that may have made a delegation, and were not told its id."""

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
        if (delegation_id := row["delegation_id"]) is not None:
            self._later.add((str(delegation_id), "given", (workspace, row["method"], delegation_id)))

    def close(self) -> None:
        """Nothing more comes."""
        self._later.close()

    def _group_of_call(self, operation: Recorded) -> str:
        document = operation.said if operation.outcome == "ok" and isinstance(operation.said, dict) else {}
        identity = document.get("delegation_id") if operation.action == "delegate" else task_of(document).get("task_id")
        key = operation.arguments.get("key")
        if key:
            group = _of_key(operation.workspace, key)
            if identity:
                self.aliases[str(identity)] = group
            return group
        if identity:
            return str(identity)
        self.unanswered.add(operation.op)
        return operation.op


class RowSorter:
    """Finds the groups of rows: delegate rows first, which may tell more aliases, then all others."""

    def __init__(
        self, buckets: Buckets, members: Mapping[str, Member], aliases: dict[str, str], unanswered: Set[str]
    ) -> None:
        """`aliases`: those that operations told, to which those of rows are added."""
        self._buckets = buckets
        self._names = {member.workspace_id: name for name, member in members.items()}
        self._aliases = aliases
        self._unanswered = unanswered

    def delegate_row(self, delegation_id: str, source: str, key: str | None, task: str, row: str) -> None:
        """The row that says who asked for what; `source` is a workspace's id."""
        asked = _OPERATION.match(task)
        if key:
            self._aliases[delegation_id] = _of_key(self._names.get(source, source), key)
        elif asked and asked[1] in self._unanswered:
            self._aliases[delegation_id] = asked[1]
        self.row(delegation_id, row, "activity_logs")

    def state(self, identity: str, caller: str, entry: Mapping[str, Any]) -> None:
        """What the caller's listing told of a delegation in the end, where there are no rows."""
        self._buckets.add(self._aliases.get(identity, identity), "state", (caller, dict(entry)))

    def row(self, identity: str, row: str, table: str) -> None:
        """Any other row that names its delegation or message."""
        self._buckets.add(self._aliases.get(identity, identity), "row", row, table)


def _of_key(source: str, key: str) -> str:
    return f"key {source} {key}"


def _name(number: int) -> str:
    return f"{number:03}.facts"
