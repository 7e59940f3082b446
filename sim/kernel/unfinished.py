"""What has not come to its end when a world does: where tasks wait, and how coroutines are closed where they stand."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

_CLOSINGS = 20


def waits_at(task: asyncio.Task[Any]) -> str:
    """The innermost place that a task has come to, below all the coroutines that await each other."""
    place = "nowhere"
    waiter: Any = task.get_coro()
    while (frame := getattr(waiter, "cr_frame", None) or getattr(waiter, "gi_frame", None)) is not None:
        place = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
        waiter = getattr(waiter, "cr_await", None) or getattr(waiter, "gi_yieldfrom", None)
    return place


def close_quietly(task: Any) -> None:
    task._log_destroy_pending = False
    _close_inside_out(task.get_coro())


def _close_inside_out(coroutine: Any) -> None:
    """What awaits in its `finally` is there again when it was closed, and its destructor would complain aloud."""
    for _ in range(_CLOSINGS):
        if getattr(coroutine, "cr_frame", None) is None:
            return
        _close_inside_out(coroutine.cr_await)
        # The world is over: nobody is left to tell, and the next coroutine has to be closed too.
        with suppress(BaseException):
            coroutine.close()
