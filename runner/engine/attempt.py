"""One attempt at a file, as both kinds of migration make it: timeouts, the watch, sending."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from runner.database.connection import looking
from runner.database.session import Session
from runner.database.sessions import describe_session
from runner.database.watch import Watch
from runner.deadline import Deadline, backoff
from runner.engine.conduct import Conduct
from runner.engine.job import Job
from runner.errors import RunnerError
from runner.errors import Session as Blocker
from runner.files.pieces import Piece
from runner.signals import again
from runner.syntax.scanner import Statement

# Whatever the database's own defaults are.
BEGIN = "begin isolation level read committed read write; "

_FOREVER = 2**31 - 1  # milliseconds: the most that statement_timeout takes
_PERIODS = (0.02, 1.0)  # seconds: shortest and longest between two looks at a running file
_PAUSES = (0.5, 30.0)  # seconds: first and longest pause between two attempts


class Attempts:
    """The attempts at one thing that may have to wait for a lock, and the pauses between them."""

    def __init__(self, conduct: Conduct):
        self._conduct = conduct
        self._pauses = backoff(*_PAUSES)
        self._failed = 0

    @property
    def _last(self) -> bool:
        """Whether the one that is made now is the last."""
        return self._failed + 1 >= self._conduct.lock_attempts

    @property
    def look(self) -> bool:
        """Whether to see who is in the way: not at first, when it may be a matter of a moment."""
        return self._failed > 0 or self._last

    @property
    def number(self) -> int:
        """The number of the one that is made now, from 1."""
        return self._failed + 1

    def again(self, what: str, blockers: Sequence[Blocker]) -> bool:
        """Say that one failed and by whom it was stopped, and pause before the next.

        Parameters:
            what: what came of it.

        Returns:
            Whether there is a next one: not after the last, and not where time is short.
        """
        pause, left = next(self._pauses), self._conduct.deadline.left()
        more = not self._last and (left is None or left > pause)
        by = f", blocked by {describe_session(blockers[0])}" if blockers else ""
        then = f", again in {pause:.1f} s" if more else ""
        attempt = f"(attempt {self.number} of {self._conduct.lock_attempts})"
        self._conduct.progress.note(f"{what} {attempt}{by}{then}")
        self._failed += 1
        if more:
            time.sleep(pause)
        return more


def timeouts(job: Job, conduct: Conduct) -> str:
    """Return the SQL that sets a transaction's timeouts.

    The server ends a statement in time even where the client has died.
    """
    lock = _lock_limit(job, conduct)
    limit = _statement_limit(job, conduct.deadline)
    return f"set local lock_timeout = {lock}; set local statement_timeout = {limit}; "


def limits(job: Job, conduct: Conduct, statement: Statement) -> str:
    """Return the SQL that sets the timeouts of a statement outside a transaction.

    What works concurrently waits for locks without harm to others, so none of its waits is
    cut short unless the file asks for it.
    """
    patient = job.migration.directives.lock_timeout is None
    harmless = patient and "CONCURRENTLY" in statement.tokens()
    lock = 0 if harmless else _lock_limit(job, conduct)
    limit = _statement_limit(job, conduct.deadline)
    return f"set lock_timeout = {lock}; set statement_timeout = {limit}"


def _lock_limit(job: Job, conduct: Conduct) -> int:
    """Return the milliseconds that a statement may wait for a lock; 0: for ever."""
    wanted = job.migration.directives.lock_timeout
    return conduct.lock_timeout if wanted is None else wanted


def _statement_limit(job: Job, deadline: Deadline) -> int:
    """Return the milliseconds that a statement may take: what the file asks for and time allows."""
    limit = job.migration.directives.statement_timeout or 0
    left = deadline.left()
    return limit if left is None else min(limit or _FOREVER, max(1, round(left * 1000)))


def watch_job(session: Session, job: Job, conduct: Conduct, *, look: bool) -> Watch:
    """Return the watch over a job's statements.

    Parameters:
        look: also see who blocks them, because this attempt may be the last. Where there is a
            deadline every attempt may be.
    """
    left = conduct.deadline.left()
    lock = _lock_limit(job, conduct)

    def tick(seconds: float) -> None:
        conduct.progress.tick(job, seconds)

    def second() -> Connection:
        return looking(session.target, run_id=session.run_id)

    return Watch(
        session.connection,
        seconds=left,
        tick=tick if conduct.progress.wants_ticks else None,
        look=second if look or left is not None else None,
        ready=look,
        period=min(max(lock / 3000, _PERIODS[0]), _PERIODS[1]) if lock else _PERIODS[1],
    )


def send(cursor: Cursor, piece: Piece) -> None:
    """Send a part of a file, as it is, and the data that it is given.

    Raises:
        RunnerError: that could not be read to its end.
    """
    try:
        if piece.rows is None:
            cursor.execute(piece.sql)
        else:
            _copy(cursor, piece.sql, piece.rows)
    finally:
        again()


def _copy(cursor: Cursor, sql: str, rows: Iterable[str]) -> None:
    data = _Rows(iter(rows))
    try:
        cursor.copy_expert(sql, data)  # type: ignore[arg-type] # of a file it wants read() only
    except psycopg2.Error:
        if data.error:  # which the server was told of, and tells us
            raise data.error from None
        raise


class _Rows:
    """Rows as psycopg2 reads them, and the error that came up while they were read."""

    def __init__(self, rows: Iterator[str]) -> None:
        self._rows = rows
        self.error: RunnerError | None = None

    def read(self, _: int) -> bytes:
        """Return some of them, whatever their size; nothing at their end."""
        try:
            return next(self._rows, "").encode()
        except RunnerError as error:
            self.error = error
            raise
