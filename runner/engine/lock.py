"""The runner's lock: one run at a time in a database, or in one schema of it.

A session advisory lock, polled: a statement that waited for it would hold a snapshot, and with
it block every concurrent index build.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from functools import lru_cache

import psycopg2

from runner.database.checks import said
from runner.database.session import Session
from runner.database.sessions import describe_session, lock_holder, table_holders
from runner.deadline import Deadline, backoff
from runner.errors import LockNotObtained
from runner.history.table import COLUMNS, TABLE

# What a lock is for: a run that may change anything, or backfills in the background beside it.
RUN = TABLE
BACKGROUND = f"{TABLE} backfill"


@lru_cache(maxsize=128)
def key(schema: str, what: str = RUN) -> int:
    """Return the number of a lock for a schema's history.

    The lock is the database's; its number comes from the history's name, so that two histories in
    one database do not wait for each other.
    """
    name = f"{schema}.{what}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


# A session may take its own lock any number of times, so asking for it again costs nothing.
# pg_advisory_unlock_all() in a file lets it go, but not the second one, which is the
# transaction's: nobody can come in between before the commit takes the first one again.
def for_session(session: Session, what: str = RUN) -> str:
    """Return the SQL expression that takes a lock for a session, or says that it cannot."""
    return f"pg_catalog.pg_try_advisory_lock({key(session.target.home, what)})"


def for_transaction(session: Session, what: str = RUN) -> str:
    """Return the SQL expression that takes a lock for a transaction, or says that it cannot."""
    return f"pg_catalog.pg_try_advisory_xact_lock({key(session.target.home, what)})"


_POLL = (0.1, 2.0)  # seconds: first and longest pause between two tries for the lock


def take(
    session: Session,
    *,
    wait: float,
    deadline: Deadline,
    progress: Callable[[str], None],
    what: str = RUN,
) -> None:
    """Take a lock for as long as the session lives.

    Parameters:
        wait: seconds to try.
        progress: told once whom it waits for.
        what: it is for.

    Raises:
        LockNotObtained: naming the holder.
    """
    began = time.monotonic()
    told = False
    for pause in backoff(*_POLL, factor=1.5):
        if session.run(f"select {for_session(session, what)}")[0]:
            return
        holder = lock_holder(session.connection, key(session.target.home, what))
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


@contextlib.contextmanager
def taken(
    session: Session, *, wait: float, deadline: Deadline, progress: Callable[[str], None]
) -> Iterator[None]:
    """Hold the lock of runs for what is inside only.

    Raises:
        LockNotObtained: naming the holder.
    """
    take(session, wait=wait, deadline=deadline, progress=progress)
    try:
        yield
    finally:
        if not session.lost():
            session.run(f"select pg_catalog.pg_advisory_unlock({key(session.target.home)})")


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
