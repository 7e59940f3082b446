"""asyncio handles without the parts that a simulation does not need (debug tracebacks, weak bookkeeping).

They are subclasses so that `isinstance` and type annotations keep their meaning; only construction and cancellation
are replaced, because those are the hot path of every callback.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any


class SimHandle(asyncio.Handle):
    """One scheduled callback."""

    __slots__ = ()

    _callback: Any
    _args: Any
    _context: contextvars.Context
    _cancelled: bool

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
    ) -> None:
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = contextvars.copy_context() if context is None else context
        self._cancelled = False
        self._source_traceback = None
        self._repr = None

    def cancel(self) -> None:
        """Never call the callback; drops the references to it at once."""
        self._cancelled = True
        self._callback = self._args = None


class SimTimer(asyncio.TimerHandle):
    """One timer; `when_ns` is its instant, an integer so that large clock values lose no precision."""

    __slots__ = ("when_ns",)

    _callback: Any
    _args: Any
    _context: contextvars.Context
    _cancelled: bool
    _loop: Any

    def __init__(
        self,
        when: float,
        when_ns: int,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
    ) -> None:
        self._when = when
        self.when_ns = when_ns
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = contextvars.copy_context() if context is None else context
        self._cancelled = False
        self._scheduled = True
        self._source_traceback = None
        self._repr = None

    def cancel(self) -> None:
        """Never fire; the loop forgets cancelled timers when they are the majority."""
        if not self._cancelled:
            self._cancelled = True
            self._callback = self._args = None
            self._loop._timer_handle_cancelled(self)
