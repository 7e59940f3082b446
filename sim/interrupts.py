"""Ctrl-C and SIGTERM: each is one KeyboardInterrupt, and neither disturbs an ending that has begun."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def raised() -> Iterator[None]:
    """Inside the block both signals raise KeyboardInterrupt, except one that our parent told us to ignore (nohup)."""
    heeded = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    before = [signal.signal(each, _interrupt) for each in heeded]
    try:
        yield
    finally:
        for each, handler in zip(heeded, before, strict=True):
            signal.signal(each, handler)


@contextmanager
def ignored() -> Iterator[None]:
    """Inside the block both signals are lost: for cleaning up, which takes less than a second."""
    before = [signal.signal(each, signal.SIG_IGN) for each in SIGNALS]
    try:
        yield
    finally:
        for each, handler in zip(SIGNALS, before, strict=True):
            signal.signal(each, handler)


@contextmanager
def delayed() -> Iterator[None]:
    """Inside the block both signals wait: for what must be done whole. A forked child inherits the delay.

    Two that have waited are one interrupt: the second would disturb the ending that the first begins.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        heeded = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
        for each in [each for each in heeded if each in signal.sigpending()][1:]:
            signal.sigwait((each,))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def left_to_parent() -> None:
    """In a forked child: a terminal's Ctrl-C is the parent's business; SIGTERM ends this process without a word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def by_parent() -> None:
    """In a forked child with something to put away: the first SIGTERM is a KeyboardInterrupt, the only one."""
    signal.signal(signal.SIGTERM, _interrupt_once)


def _interrupt_once(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    _interrupt(number, frame)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # It may come between the making of a coroutine and its first step, and then that is no oversight.
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    raise KeyboardInterrupt
