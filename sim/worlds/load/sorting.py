"""The parts of sorting that need no database, a process each: what one worker wrote down, and what had to wait.

A worker's records are read in their order. What they say of a delegation by its id waits in a file until all groups are
known; then it is placed, with what the agents saw, while the rows are still streamed from the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sim.worlds.load.contacts import requests_in
from sim.worlds.load.facts import Buckets, Sorter
from sim.worlds.load.inboxes import Polled, PollFiles
from sim.worlds.load.measures import Measures
from sim.worlds.load.packed import unpacked
from sim.worlds.load.records import Recorded, RecordFile


@dataclass(slots=True)
class Sorted:
    """What the records of one worker told, beside the facts that are in its buckets and those that wait in `later`.

    `aliases` and `unanswered` are as in `Sorter`.
    """

    measures: Measures
    later: Path
    operations: int = 0
    beats: list[Recorded] = field(default_factory=list)
    polled: dict[str, Polled] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)


def sort_records(file: RecordFile, folder: Path, measures: Measures) -> Sorted:
    """Sort and measure the operations of one file; `folder` is for what comes of it."""
    folder.mkdir()
    found = Sorted(measures, folder / "later")
    buckets, polls = Buckets(folder / "buckets"), PollFiles(folder)
    sorter = Sorter(buckets, found.later)
    for operation in file.operations():
        found.operations += 1
        measures.add(operation)
        if operation.action == "inbox":
            for row in polls.add(operation):
                sorter.given(operation.workspace, row)
        elif operation.action == "heartbeat":
            found.beats.append(operation)
        else:
            sorter.operation(operation)
    buckets.close()
    sorter.close()
    found.polled = polls.close()
    found.aliases, found.unanswered, found.troubles = sorter.aliases, sorter.unanswered, file.troubles
    return found


def place_the_rest(later: Sequence[Path], contacts: Path, folder: Path, aliases: Mapping[str, str]) -> None:
    """Place what had to wait, and what the agents saw."""
    folder.mkdir()
    buckets = Buckets(folder / "buckets")
    for file in later:
        for identity, kind, value in unpacked(file):
            buckets.add(aliases.get(identity, identity), kind, value)
        file.unlink()
    for identity, contact in requests_in(contacts):
        buckets.add(aliases.get(identity, identity), "contact", contact)
    buckets.close()
