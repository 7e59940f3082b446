"""One mistake in a scenario file: what is wrong, where, and how to put it right.

The theory: a mistake is data first and text last. Loading collects every mistake, in the order of the file, and
whoever shows them (terminal, GitHub annotation, pytest) decides how. Nothing here knows YAML.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

WIDEST_LINE = 110
LONGEST_QUOTE = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A mistake at `line` and `column`, both counted from 1; line 0 means the file as a whole."""

    path: str
    line: int
    column: int
    message: str
    allowed: tuple[str, ...] = ()
    suggestion: str | None = None
    source_line: str = ""

    @property
    def where(self) -> str:
        """`path:line:column`, or the path alone when the whole file is meant."""
        return f"{self.path}:{self.line}:{self.column}" if self.line else self.path

    @property
    def advice(self) -> tuple[str, ...]:
        """How to put it right, most likely cure first; empty when the message says it all."""
        meant = (f"did you mean {self.suggestion!r}?",) if self.suggestion is not None else ()
        return (*meant, f"allowed: {', '.join(self.allowed)}") if self.allowed else meant

    def render(self) -> str:
        """The mistake as a compiler shows it: place and cause, the line with a caret, the advice."""
        lines = [f"{self.where}: {self.message}"]
        gutter = " " * len(str(self.line)) if self.line else ""
        if self.line:
            shown, caret = _excerpt(self.source_line, self.column - 1)
            lines += [f"  {self.line} | {shown}".rstrip(), f"  {gutter} | {caret}"]
        lines += [f"  {gutter} = {advice}" for advice in self.advice]
        return "\n".join(lines)


class ScenarioError(ValueError):
    """A scenario cannot be used; `problems` holds every mistake that was found, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        count = "1 mistake" if len(self.problems) == 1 else f"{len(self.problems)} mistakes"
        return "\n\n".join([*(problem.render() for problem in self.problems), count])


def quoted(text: str) -> str:
    """`text` in quotes, shortened, and with everything that a terminal would obey made visible."""
    return repr(text if len(text) <= LONGEST_QUOTE else text[: LONGEST_QUOTE - 1] + "…")


def with_article(noun: str) -> str:
    """`a step`, `an operation`; quotes around the noun do not count."""
    return ("an " if noun.lstrip("'")[0] in "aeiou" else "a ") + noun


def closest(word: str, options: Iterable[str]) -> str | None:
    """The option that `word` was most likely meant to be, or None."""
    by_folded = {option.casefold(): option for option in options}
    folded = word.casefold()
    matches = difflib.get_close_matches(folded, by_folded, n=1, cutoff=0.6)
    swapped = [option for option in by_folded if len(option) == len(folded) and sorted(option) == sorted(folded)]
    return next((by_folded[option] for option in (*matches, *swapped)), None)


def _excerpt(line: str, index: int) -> tuple[str, str]:
    """The part of `line` around `index` that fits a terminal, and the line that holds the caret."""
    start = max(0, index - WIDEST_LINE // 2) if len(line) > WIDEST_LINE else 0
    shown = "".join(char if char.isprintable() else " " for char in line[start : start + WIDEST_LINE])
    left = "… " if start else ""
    right = " …" if start + WIDEST_LINE < len(line) else ""
    return left + shown + right, " " * (len(left) + _cells(shown[: index - start])) + "^"


def _cells(text: str) -> int:
    """How many terminal cells `text` takes: wide East Asian characters take two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
