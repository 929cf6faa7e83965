"""Ctrl-C and SIGTERM end the running statement at once, and with it the file.

psycopg2 waits for the server in C, where Python's own handlers do not run. The signal's number
arrives on a socket nevertheless, and a thread that reads there asks the server to cancel; the
statement fails, and Python raises KeyboardInterrupt as soon as it runs again.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator

import psycopg2
from psycopg2.extensions import connection as Connection

from runner.signals import SIGNALS, handled


@contextlib.contextmanager
def cancelling(running: Connection) -> Iterator[None]:
    """Cancel the connection's statement on SIGINT and SIGTERM while inside.

    Only a process's main thread can be told of signals; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = socket.socketpair()
    writing.setblocking(False)

    def watch() -> None:
        while numbers := reading.recv(64):
            if not {number.value for number in SIGNALS}.isdisjoint(numbers):
                with contextlib.suppress(psycopg2.Error):
                    running.cancel()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    previous = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    try:
        with handled():
            yield
    finally:
        signal.set_wakeup_fd(previous)
        writing.close()
        thread.join()
        reading.close()
