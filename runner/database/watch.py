"""Who is in the way: sessions that hold a lock we want, seen from a second connection."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import psycopg2
from psycopg2.extensions import connection as Connection

from runner.errors import RunnerError

_TEXT = 300  # characters of another session's query that are shown

_SESSION = f"""
    a.pid, a.usename as "user", a.application_name as application,
    a.client_addr::text as address, a.state,
    extract(epoch from clock_timestamp() - a.xact_start)::float8 as transaction_seconds,
    left(a.query, {_TEXT}) as query
"""

_HOLDER = f"""
    select {_SESSION}
    from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'advisory' and l.granted and l.objsubid = 1
      and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
      and (l.classid::bigint << 32 | l.objid::bigint) = %s
"""

_BLOCKERS = f"""
    select {_SESSION}, w.mode, w.relation::regclass::text as relation
    from unnest(pg_catalog.pg_blocking_pids(%s)) as b (pid)
    join pg_catalog.pg_stat_activity a on a.pid = b.pid
    left join lateral (
        select mode, relation from pg_catalog.pg_locks where pid = %s and not granted limit 1
    ) w on true
"""


_LONGEST = f"""
    select {_SESSION} from pg_catalog.pg_stat_activity a
    where a.datname = current_database() and a.pid <> pg_catalog.pg_backend_pid()
      and a.xact_start is not null
    order by a.xact_start limit 1
"""


def _rows(connection: Connection, sql: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def lock_holder(connection: Connection, key: int) -> dict[str, Any] | None:
    """Return the session that holds an advisory lock in this database, None if it was freed."""
    found = _rows(connection, _HOLDER, (key,))
    return found[0] if found else None


def longest_transaction(connection: Connection) -> dict[str, Any] | None:
    """Return the session that has been in a transaction longest here, None where none is."""
    found = _rows(connection, _LONGEST, ())
    return found[0] if found else None


def describe_session(session: dict[str, Any]) -> str:
    """Return one line about a session for a person."""
    age = session["transaction_seconds"]
    parts = [
        f"pid {session['pid']}",
        f"user {session['user']}",
        f"application {session['application'] or '(none)'}",
        f"{session['state']}" + (f", in a transaction for {age:.0f} s" if age else ""),
    ]
    if session.get("relation"):
        parts.append(f"in the way of {session['mode']} on {session['relation']}")
    return ", ".join(parts) + f"; query: {' '.join((session['query'] or '').split())}"


class Watch:
    """Watches one statement from another thread: clock, deadline, and who blocks it.

    Parameters:
        running: the connection whose statement is watched.
        seconds: cancel the statement after so many seconds; None: never.
        tick: called about once a second with the seconds that have passed; None: not.
        look: opens a second connection to see who blocks us; None: does not look.
        period: seconds between two looks, and before the first.
    """

    def __init__(
        self,
        running: Connection,
        *,
        seconds: float | None = None,
        tick: Callable[[float], None] | None = None,
        look: Callable[[], Connection] | None = None,
        period: float = 1.0,
    ):
        self._running = running
        self._seconds = seconds
        self._tick = tick
        self._look = look
        self._period = period
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.blockers: tuple[dict[str, Any], ...] = ()
        self.cancelled = False

    def __enter__(self) -> Self:
        if self._seconds is not None or self._tick or self._look:
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread:
            self._thread.join()

    def _watch(self) -> None:
        began = time.monotonic()
        pid = self._running.info.backend_pid
        eye: Connection | None = None
        try:
            while not self._over.wait(self._pause(began)):
                passed = time.monotonic() - began
                if self._seconds is not None and passed >= self._seconds:
                    self.cancelled = True
                    self._seconds = None
                    with contextlib.suppress(psycopg2.Error):  # statement_timeout is as good
                        self._running.cancel()
                if self._tick:
                    self._tick(passed)
                try:
                    eye = eye or (self._look() if self._look else None)
                    seen = _rows(eye, _BLOCKERS, (pid, pid)) if eye else []
                    self.blockers = tuple(seen) or self.blockers
                except (psycopg2.Error, RunnerError):
                    self._look = eye = None  # a look must not break what runs, nor its clock
        finally:
            if eye:
                eye.close()

    def _pause(self, began: float) -> float:
        if self._seconds is None:
            return self._period
        return max(0.0, min(self._period, began + self._seconds - time.monotonic()))
