"""Text that comes from outside (brokers, agents, scenario titles) made harmless for a terminal, a line or a cell."""

from __future__ import annotations

import unicodedata

ELLIPSIS = "…"


def printable(text: str) -> str:
    """One line without control characters: each becomes an escape that names it, as `\\x1b` or `\\n`.

    Bidirectional controls and lone surrogates are among them: they can make a line read as another one.
    """
    return "".join(_escaped(character) if _is_unsafe(character) else character for character in text)


def width(text: str) -> int:
    """How many terminal cells the text takes."""
    return sum(_cells(character) for character in text)


def fit(text: str, cells: int) -> str:
    """The text in at most `cells` cells; what is cut off is marked by an ellipsis."""
    if width(text) <= cells:
        return text
    kept, left = "", cells - 1
    for character in text:
        left -= _cells(character)
        if left < 0:
            break
        kept += character
    return kept + ELLIPSIS if cells > 0 else ""


def pad(text: str, cells: int) -> str:
    """The text, filled up with spaces to `cells` cells."""
    return text + " " * max(0, cells - width(text))


def _is_unsafe(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
