"""The runner's lock: one run at a time in a database, or in one schema of it.

A session advisory lock, polled: a statement that waited for it would hold a snapshot, and with
it block every concurrent index build.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from functools import lru_cache

import psycopg2

from runner.database.checks import said
from runner.database.session import Session
from runner.database.sessions import describe_session, lock_holder, table_holders
from runner.deadline import Deadline, backoff
from runner.errors import LockNotObtained
from runner.history.table import COLUMNS, TABLE


@lru_cache(maxsize=128)
def key(schema: str) -> int:
    """Return the number of the lock for a schema's history.

    The lock is the database's; its number comes from the history's name, so that two histories in
    one database do not wait for each other.
    """
    name = f"{schema}.{TABLE}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


# A session may take its own lock any number of times, so asking for it again costs nothing.
# pg_advisory_unlock_all() in a file lets it go, but not the second one, which is the
# transaction's: nobody can come in between before the commit takes the first one again.
def for_session(session: Session) -> str:
    """Return the SQL expression that takes the lock for a session, or says that it cannot."""
    return f"pg_catalog.pg_try_advisory_lock({key(session.target.home)})"


def for_transaction(session: Session) -> str:
    """Return the SQL expression that takes the lock for a transaction, or says that it cannot."""
    return f"pg_catalog.pg_try_advisory_xact_lock({key(session.target.home)})"


_POLL = (0.1, 2.0)  # seconds: first and longest pause between two tries for the lock


def take(
    session: Session, *, wait: float, deadline: Deadline, progress: Callable[[str], None]
) -> None:
    """Take the lock for as long as the session lives.

    Parameters:
        wait: seconds to try.
        progress: told once whom it waits for.

    Raises:
        LockNotObtained: naming the holder.
    """
    began = time.monotonic()
    told = False
    for pause in backoff(*_POLL, factor=1.5):
        if session.run(f"select {for_session(session)}")[0]:
            return
        holder = lock_holder(session.connection, key(session.target.home))
        waited = time.monotonic() - began
        if waited >= wait or deadline.passed():
            raise LockNotObtained(
                f"another run holds the runner's lock (waited {waited:.0f} s)",
                details=(f"held by {describe_session(holder)}",) if holder else (),
                fix="wait for it and run again; a runner that died frees it within seconds",
            )
        if not told:
            progress(
                "waiting for another run" + (f": {describe_session(holder)}" if holder else "")
            )
            told = True
        time.sleep(pause)


def unavailable(session: Session, error: psycopg2.Error) -> LockNotObtained:
    """Return the error for a lock that a statement of ours, outside of any file, did not get."""
    details: tuple[str, ...] = ()
    with contextlib.suppress(psycopg2.Error):
        session.rollback()
        holders = table_holders(session.connection, session.target.home, tuple(COLUMNS))
        details = tuple(f"held by {describe_session(holder)}" for holder in holders)
    return LockNotObtained(
        f"another session keeps the runner from its history ({said(error)})",
        details=details,
        fix="wait for it to end, or end it, and run again",
    )
