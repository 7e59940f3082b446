"""Polls of an inbox, answered wrongly; `CURSORS` is the table (see test_invariants_fail)."""

from __future__ import annotations

from collections.abc import Callable

from .histories import Run


def inbox_of(*polls: tuple[str | None, list[int]], status: int = 200, rows: int = 4) -> Run:
    """Polls of ann's inbox, which has rows of one instant; the row after them is cid's."""
    run = Run()
    for number in range(rows):
        run.inbound(f"id-{number}", target="ann")
    run.inbound("id-cid", target="cid")
    for number, (since, given) in enumerate(polls, start=1):
        run.polled(f"i{number}", at_s=float(number), since=since, given=given, status=status)
    return run


def row_of_the_same_instant_skipped() -> Run:
    """H43."""
    return inbox_of((None, [0]), ("row-0", [2, 3]))


def row_that_came_late_skipped() -> Run:
    """D27: it became visible behind what the first poll was given."""
    return inbox_of((None, [3, 1, 0]))


def row_before_the_first_skipped() -> Run:
    return inbox_of((None, [3, 2, 1]))


def cursor_row_given_again() -> Run:
    return inbox_of((None, [0]), ("row-0", [0, 1]))


def newest_first_behind_a_cursor() -> Run:
    return inbox_of((None, [0]), ("row-0", [2, 1]))


def foreign_cursor_taken() -> Run:
    return inbox_of(("row-4", []))


def lost_cursor_taken() -> Run:
    return inbox_of(("row-99", []))


def own_cursor_refused() -> Run:
    return inbox_of(("row-0", []), status=410)


def foreign_rows_given() -> Run:
    return inbox_of((None, [4]))


CURSORS: tuple[tuple[str, Callable[[], Run], str, str], ...] = (
    ("INV-90", row_of_the_same_instant_skipped, "skips 1 of the rows before its last one", "i2"),
    ("INV-90", row_that_came_late_skipped, "skips 1 of the rows before its last one", "i1"),
    ("INV-90", row_before_the_first_skipped, "skips 1 of the rows before its last one", "i1"),
    ("INV-90", cursor_row_given_again, "has rows that are not past its cursor", "i2"),
    ("INV-90", newest_first_behind_a_cursor, "has rows in another order than they came", "i2"),
    ("INV-91", foreign_cursor_taken, "was answered 200 to a cursor that is no row of its own", "i1"),
    ("INV-91", lost_cursor_taken, "was answered 200 to a cursor that is no row of its own", "i1"),
    ("INV-91", own_cursor_refused, "was answered 410, though the cursor's row is its own and is there", "i1"),
    ("INV-91", foreign_rows_given, "was given rows of another workspace", "i1"),
)
