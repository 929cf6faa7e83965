"""Ctrl-C and SIGTERM end a run alike, and wait while what was done is being told."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Interrupts:
    """Whether signals are held back, whether one came meanwhile, was raised, and may be lost."""

    depth = 0
    came = False
    raised = False
    due = False


@contextlib.contextmanager
def told(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let a handler take both signals for a while.

    Only a process's main thread can be told of signals; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = [(number, signal.signal(number, handler)) for number in SIGNALS]
    try:
        yield
    finally:
        for number, before in previous:
            signal.signal(number, before)


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Let SIGTERM end the work as tidily as Ctrl-C, and both wait where they are held.

    One ends the work; what comes after it may not end the telling of what was done. Outside the
    main thread it does nothing, as `told`.
    """
    main = threading.current_thread() is threading.main_thread()
    if main and signal.getsignal(signal.SIGINT) is not _interrupt:
        _Interrupts.raised = _Interrupts.due = False
    with told(_interrupt):
        yield


def _interrupt(_: int, __: FrameType | None) -> None:
    if _Interrupts.depth:
        _Interrupts.came = True
    elif not _Interrupts.raised:
        _Interrupts.raised = _Interrupts.due = True
        raise KeyboardInterrupt


def again() -> None:
    """Raise an interrupt again, once, after a call of a library that may have swallowed it.

    psycopg2 does where one comes while it takes over what the server says.
    """
    if _Interrupts.due:
        _Interrupts.due = False
        raise KeyboardInterrupt


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Let an interrupt wait for the end of what is inside; an error from there counts more."""
    _Interrupts.depth += 1
    try:
        yield
    finally:
        _Interrupts.depth -= 1
        came, _Interrupts.came = _Interrupts.came, _Interrupts.came and _Interrupts.depth > 0
    if came and not _Interrupts.depth and not _Interrupts.raised:
        _Interrupts.raised = True
        raise KeyboardInterrupt
