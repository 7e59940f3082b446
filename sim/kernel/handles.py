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
    """One scheduled callback; cancelled when it has no callback any more."""

    __slots__ = ()

    _callback: Any
    _args: Any
    _context: contextvars.Context

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: contextvars.Context | None
    ) -> None:
        self._callback = callback
        self._args = args
        self._context = contextvars.copy_context() if context is None else context

    def cancel(self) -> None:
        """Never call the callback; drops the references to it at once."""
        self._callback = self._args = None

    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._callback is None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._callback!r}>"


class SimTimer(asyncio.TimerHandle):
    """One timer; `when_ns` is its instant, an integer so that large clock values lose no precision."""

    __slots__ = ("when_ns",)

    _callback: Any
    _args: Any
    _context: contextvars.Context
    _loop: Any

    def __init__(
        self,
        when_ns: int,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
    ) -> None:
        self.when_ns = when_ns
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = contextvars.copy_context() if context is None else context
        self._scheduled = True

    def when(self) -> float:
        """Virtual seconds on the loop's clock."""
        return self.when_ns * 1e-9

    def cancel(self) -> None:
        """Never fire; the loop forgets cancelled timers when they are the majority."""
        if self._callback is not None:
            self._callback = self._args = None
            if self._scheduled:
                self._loop._timer_handle_cancelled(self)

    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._callback is None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.when():.9f} {self._callback!r}>"
