"""Ctrl-C and SIGTERM end a run alike, and wait while what was done is being told."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Interrupts:
    """Whether signals are held back, and whether one came meanwhile."""

    depth = 0
    came = False


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Let SIGTERM end the work as tidily as Ctrl-C, and both wait where they are held.

    Only a process's main thread can be told of signals; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = [(number, signal.signal(number, _interrupt)) for number in SIGNALS]
    try:
        yield
    finally:
        for number, handler in previous:
            signal.signal(number, handler)


def _interrupt(_: int, __: FrameType | None) -> None:
    if not _Interrupts.depth:
        raise KeyboardInterrupt
    _Interrupts.came = True


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Let an interrupt wait for the end of what is inside; an error from there counts more."""
    _Interrupts.depth += 1
    try:
        yield
    finally:
        _Interrupts.depth -= 1
        came, _Interrupts.came = _Interrupts.came, _Interrupts.came and _Interrupts.depth > 0
    if came and not _Interrupts.depth:
        raise KeyboardInterrupt
