"""What the agents of a load saw: too much to keep, so each contact goes to a file as it is heard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from sim.history import Contact

_FIELDS = [field.name for field in fields(Contact)]


class ContactFile:
    """Written while the load goes on, read when it is over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("w", encoding="utf-8")
        self.delivered = 0

    def add(self, contact: Contact) -> None:
        """Keep one."""
        self.delivered += contact.stage == "delivered"
        self._file.write(json.dumps([getattr(contact, name) for name in _FIELDS]) + "\n")

    def close(self) -> None:
        """No more will come."""
        self._file.close()

    def lines(self) -> Iterator[tuple[str, str]]:
        """Message or delegation id, and the contact as it stands in the file: contacts of one request may differ."""
        ids: dict[tuple[str, int], str] = {}
        with self._path.open(encoding="utf-8") as file:
            waiting: dict[tuple[str, int], list[str]] = {}
            for line in file:
                contact = json.loads(line)
                request = (contact[1], contact[2])
                identity = contact[5] or contact[4]
                if identity:
                    ids[request] = identity
                    for earlier in waiting.pop(request, ()):
                        yield identity, earlier
                if (known := ids.get(request)) is None:
                    waiting.setdefault(request, []).append(line)
                else:
                    yield known, line
                    if contact[3] in ("answered", "cut", "aborted"):
                        del ids[request]
            for unnamed in waiting.values():
                for line in unnamed:
                    yield "", line


def contact_in(line: str) -> Contact:
    """The contact that a line of the file holds."""
    return Contact(*json.loads(line))
