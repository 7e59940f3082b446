"""What the agents of a load saw: too much to keep, so each request goes to a file when it has ended.

A line is the id of the message or delegation, a tab, and what was seen of one request, as JSON: so all of it can be
placed without being read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from sim.history import Contact
from sim.worlds.load.records import decoded_all

_FIELDS = [field.name for field in fields(Contact)]
_LAST = ("answered", "cut", "aborted")


class ContactFile:
    """Written while the load goes on; `requests_in` reads it when it is over."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("w", encoding="utf-8")
        self._open: dict[tuple[str, int], list[list[Any]]] = {}

    def add(self, contact: Contact) -> None:
        """Keep one stage of a request."""
        request = (contact.agent, contact.contact)
        self._open.setdefault(request, []).append([getattr(contact, name) for name in _FIELDS])
        if contact.stage in _LAST:
            self._write(self._open.pop(request))

    def close(self) -> None:
        """No more will come; what has not ended by now never did."""
        for stages in self._open.values():
            self._write(stages)
        self._open.clear()
        self._file.close()

    def _write(self, stages: list[list[Any]]) -> None:
        latest = Contact(*stages[-1])
        identity = (latest.delegation_id or latest.message_id or "").replace("\t", " ").replace("\n", " ")
        self._file.write(f"{identity}\t{json.dumps(stages, separators=(',', ':'))}\n")


def requests_in(path: Path) -> Iterator[tuple[str, str]]:
    """Message or delegation id (empty: the agent never learnt it), and one request."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            identity, _, stages = line.rstrip("\n").partition("\t")
            yield identity, stages


def contacts_in(requests: Sequence[str]) -> Iterator[Contact]:
    """The stages of each request, in order."""
    return (Contact(*stage) for stages in decoded_all(requests) for stage in stages)
