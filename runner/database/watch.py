"""Watches a statement while it runs: the clock, the deadline, and who blocks it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

import psycopg2
from psycopg2.extensions import connection as Connection

from runner.database.sessions import blockers
from runner.errors import RunnerError, Session

_GRACE = 3.0  # seconds that a cancelled statement has to end, or a look


class Watch:
    """Watches one statement from another thread: clock, deadline, and who blocks it.

    Parameters:
        running: the connection whose statement is watched.
        seconds: cancel the statement after so many seconds; None: never.
        tick: called about once a second with the seconds that have passed; None: not.
        look: opens a second connection to see who blocks us; None: does not look.
        ready: open it before the statement runs, for a wait that may be shorter than that takes.
        period: seconds between two looks, and before the first.
    """

    def __init__(
        self,
        running: Connection,
        *,
        seconds: float | None = None,
        tick: Callable[[float], None] | None = None,
        look: Callable[[], Connection] | None = None,
        ready: bool = False,
        period: float = 1.0,
    ):
        self._running = running
        self._seconds = seconds
        self._tick = tick
        self._look = look
        self._ready = ready
        self._period = period
        self._second: Connection | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.blockers: tuple[Session, ...] = ()
        self.cancelled = False

    def __enter__(self) -> Self:
        if self._ready:
            self._open()
        if self._seconds is not None or self._tick or self._look:
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread:
            self._thread.join(_GRACE)  # it may be connecting, where nobody answers

    def _watch(self) -> None:
        began = time.monotonic()
        pid = self._running.info.backend_pid
        try:
            while not self._over.wait(self._pause(began)):
                passed = time.monotonic() - began
                if self._seconds is not None and passed >= self._seconds:
                    self.cancelled = True
                    self._seconds = None
                    # In a thread of its own: it connects, which may hang where the network does.
                    threading.Thread(target=self._cancel, daemon=True).start()
                if self._tick:
                    self._tick(passed)
                self._see(pid)
        finally:
            if self._second:
                self._second.close()

    def _cancel(self) -> None:
        with contextlib.suppress(psycopg2.Error):  # statement_timeout is as good
            self._running.cancel()

    def _see(self, pid: int) -> None:
        """Look who blocks us; a look must not break what runs, nor its clock."""
        self._open()
        try:
            seen = blockers(self._second, pid) if self._second else []
            self.blockers = tuple(seen) or self.blockers
        except psycopg2.Error:
            self._look = None

    def _open(self) -> None:
        if self._look and not self._second:
            try:
                self._second = self._look()
            except (psycopg2.Error, RunnerError):
                self._look = None

    def _pause(self, began: float) -> float:
        if self._seconds is None:
            return self._period
        return max(0.0, min(self._period, began + self._seconds - time.monotonic()))


@contextlib.contextmanager
def cut_at(running: Connection, seconds: float | None) -> Iterator[None]:
    """Cut the connection where it is still used so long after what was asked of it.

    The server's own limits end a statement; where the network stands still nobody hears of it.

    Parameters:
        seconds: from now until nothing may be waited for; None: for ever.
    """
    over = threading.Event()

    def wait() -> None:
        if not over.wait((seconds or 0) + _GRACE):
            with contextlib.suppress(OSError, psycopg2.Error):
                _shut(running.fileno())

    thread = threading.Thread(target=wait, daemon=True)
    if seconds is not None:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if seconds is not None:
            thread.join()


def _shut(descriptor: int) -> None:
    """End a connection under whoever waits for it; the descriptor itself stays libpq's to close."""
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        copy.shutdown(socket.SHUT_RDWR)
