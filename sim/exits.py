"""How a command ends: its exit code, and the refusal that carries one."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the process returns."""

    PASSED = 0
    FAILED = 1
    INCONCLUSIVE = 2
    INTERNAL = 3
    USAGE = 4
    NOTHING = 5
    INTERRUPTED = 130


class Refused(Exception):
    """The command cannot be carried out, or not to its end; the message has cause, place and fix."""

    def __init__(self, message: str, exit_code: Exit) -> None:
        super().__init__(message)
        self.exit_code = exit_code
