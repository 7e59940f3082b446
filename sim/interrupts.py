"""Ctrl-C and SIGTERM: each is one KeyboardInterrupt, and neither disturbs an ending that has begun.

A signal may come where Python can raise nothing: in what runs around a fork, in a finaliser. There it would be printed,
with a traceback, and lost. Such a one comes again a moment later.
"""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from time import monotonic  # the real one, also while a simulation runs
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
"""The last one is what comes again."""
_AGAIN_S = 0.005
_ENDING_S = 1.0
"""So long an ending takes at most, and is not to be disturbed."""


@contextmanager
def raised() -> Iterator[None]:
    """Inside the block the signals raise KeyboardInterrupt, except one that our parent told us to ignore (nohup).

    One that comes soon after another is the same one. After the block there is nothing left to interrupt: where it
    was ended by one, others are lost.
    """
    heard_s = -inf

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal heard_s
        if number == signal.SIGALRM or monotonic() - heard_s > _ENDING_S:
            heard_s = monotonic()
            _interrupt(number, frame)

    heeded = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    before = [signal.signal(each, interrupt) for each in heeded]
    hook, sys.unraisablehook = sys.unraisablehook, _not_raised
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for each, handler in zip(heeded, before, strict=True):
            signal.signal(each, handler if heard_s == -inf else signal.SIG_IGN)


@contextmanager
def ignored() -> Iterator[None]:
    """Inside the block the signals are lost: for cleaning up, which takes less than a second."""
    before = [signal.signal(each, signal.SIG_IGN) for each in SIGNALS]
    try:
        yield
    finally:
        for each, handler in zip(SIGNALS, before, strict=True):
            signal.signal(each, handler)


@contextmanager
def delayed() -> Iterator[None]:
    """Inside the block the signals wait: for what must be done whole. A forked child inherits the delay.

    All that have waited are one interrupt: another would disturb the ending that the first begins.
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
    signal.signal(signal.SIGALRM, _interrupt)
    sys.unraisablehook = _not_raised


def _interrupt_once(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    _interrupt(number, frame)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # It may come between the making of a coroutine and its first step, and then that is no oversight.
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    raise KeyboardInterrupt


def _not_raised(unraisable: UnraisableHookArgs) -> None:
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
    else:
        sys.__unraisablehook__(unraisable)
