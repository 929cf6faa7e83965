"""Transactional migrations: all or nothing, recorded in the same transaction.

A file's text travels alone in its messages, so that a server's error points into the file and
nothing in the file can swallow the record. What surrounds it shares messages: the guard,
record and commit of one file, and the begin of the next. Two round trips a migration.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NoReturn

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_INTRANS

from runner import history, statements
from runner.errors import Incomplete, LockNotObtained, MigrationFailed
from runner.failure import CANCELLED, DEADLOCK, LOCK_TIMEOUT, migration_failed, needs_attention
from runner.migration import milliseconds
from runner.observe import Watch
from runner.running import Conduct, pause, send, watch_job
from runner.session import FORGET, LOCK, Session
from runner.source import Job, Message

_XID = "pg_catalog.pg_current_xact_id()::text"
_GUARD = "RN001"  # the SQLSTATE that our guard raises
_REPLAY = 5.0  # seconds: a file that failed within them is run again to find the statement


class Transactions:
    """Runs transactional jobs in one session.

    Parameters:
        session: holds the runner's lock.
        deadline: nothing is started past it, a running statement is cancelled at it.
    """

    def __init__(self, session: Session, conduct: Conduct):
        self._session = session
        self._conduct = conduct
        self._settings, self._deadline, self._progress = conduct
        self._xid: str | None = None  # of the transaction that the last message began

    def run(self, jobs: Sequence[Job], following: Job | None) -> list[tuple[int, int]]:
        """Run jobs in one transaction, again as a whole when a lock is not to be had.

        Parameters:
            following: the transactional job that the caller will run next, begun in the
                message that commits this one.

        Returns:
            For each job its duration in milliseconds and the number of attempts.

        Raises:
            MigrationFailed: it was rolled back.
            NeedsAttention: the file ended the transaction itself.
            Incomplete: the deadline came first.
        """
        for attempt in range(1, self._settings.lock_attempts + 1):
            last = attempt == self._settings.lock_attempts
            try:
                durations = self._attempt(jobs, following, look=attempt > 1 or last)
            except _Blocked as blocked:
                self._progress.note(
                    f"{blocked.failure.file}: {blocked.failure.message}; rolled back"
                    f" (attempt {attempt} of {self._settings.lock_attempts})"
                )
                if last or not pause(attempt, self._deadline):
                    raise blocked.failure from blocked.__cause__
            else:
                return [(duration, attempt) for duration in durations]
        raise AssertionError("at least one attempt is made")

    def _attempt(self, jobs: Sequence[Job], following: Job | None, *, look: bool) -> list[int]:
        durations = []
        for place, job in enumerate(jobs):
            inside = jobs[place + 1] if place + 1 < len(jobs) else None
            sent = _Sent()
            watch = watch_job(self._session, job, self._conduct, look=look)
            try:
                xid = self._begin(job)
                with watch:
                    self._send(job, sent)
                durations.append(sent.milliseconds())
                self._refuse_ended(job)
                self._finish(job, xid, durations[-1], inside, following)
            except psycopg2.Error as error:
                self._fail(job, error, sent, watch)
            except BaseException:
                self._abandon()
                raise
        for job, duration in zip(jobs, durations, strict=True):
            self._progress.finished(job, duration)
        return durations

    def _begin(self, job: Job) -> str:
        """Begin, unless the message that ended the last file did; return the transaction's id."""
        began, self._xid = self._xid, None
        return began or str(self._session.run(self._opening(job) + f"select {_XID}")[0])

    def _opening(self, job: Job) -> str:
        return "begin isolation level read committed read write; " + self._timeouts(job)

    def _timeouts(self, job: Job) -> str:
        wanted = job.migration.directives
        lock = milliseconds(wanted.lock_timeout or self._settings.lock_timeout)
        limit = milliseconds(wanted.statement_timeout or "0")
        left = self._deadline.left()
        if left is not None:
            # The server ends the statement in time even where the client has died.
            limit = min(limit or 1 << 30, max(1, round(left * 1000)))
        return f"set local lock_timeout = {lock}; set local statement_timeout = {limit}; "

    def _send(self, job: Job, sent: _Sent) -> None:
        self._progress.started(job)
        sent.start()
        with self._session.connection.cursor() as cursor:
            for message in job.messages:
                sent.base = message.start
                send(cursor, job, message)
        sent.file = True
        self._progress.notices(job, self._session.notices())

    def _refuse_ended(self, job: Job) -> None:
        """See that the transaction is open and text is still read as we send it; no round trip."""
        info = self._session.connection.info
        if info.transaction_status != TRANSACTION_STATUS_INTRANS:
            raise _ended(job)
        strings = info.parameter_status("standard_conforming_strings")
        if strings != "on" or info.parameter_status("client_encoding") != "UTF8":
            raise needs_attention(
                job,
                "the file changes how text is read (standard_conforming_strings or"
                " client_encoding); it was rolled back",
                fix="take that setting out of the file",
            )

    def _finish(
        self, job: Job, xid: str, duration: int, inside: Job | None, following: Job | None
    ) -> None:
        """Guard, record, and commit unless another file shares the transaction."""
        write = history.undone if job.step.action == "undo" else history.applied
        sql = (
            self._session.clean() + _guard(xid) + write(job.record(self._session.run_id), duration)
        )
        if inside:
            self._session.run(f"{sql}; {self._timeouts(inside)}")
            self._xid = xid
            return
        sql += f"; commit; {FORGET}"
        if following and not self._deadline.passed():
            locked, self._xid = self._session.run(
                f"{sql}{self._opening(following)}select {LOCK}, {_XID}"
            )
        else:
            (locked,) = self._session.run(f"{sql}select {LOCK}")
        if not locked:
            raise LockNotObtained(
                f"{job.migration.name} is applied, but it let the runner's lock go and another"
                " run took it",
                fix="take pg_advisory_unlock_all() out of your files; wait and run again",
            )

    def _abandon(self) -> None:
        self._xid = None
        self._session.rollback()

    def _fail(self, job: Job, error: psycopg2.Error, sent: _Sent, watch: Watch) -> NoReturn:
        """Roll back and raise what the error means."""
        if self._session.lost():
            raise self._lost(job, error) from error
        self._abandon()
        if error.pgcode == _GUARD:
            raise _ended(job) from error
        if error.pgcode == CANCELLED and (watch.cancelled or self._deadline.passed()):
            raise Incomplete(
                f"{job.migration.name} was stopped at the deadline and rolled back",
                fix="run again; if it never fits, run it from the command line or CodeBuild",
            ) from error
        blocked = error.pgcode in {LOCK_TIMEOUT, DEADLOCK}
        offset = None
        if sent.is_short() and not (blocked or error.diag.statement_position):
            offset = self._locate(job)
        failure = migration_failed(
            job, error, base=sent.base, offset=offset, blockers=watch.blockers
        )
        raise _Blocked(failure) if blocked else failure from error

    def _lost(self, job: Job, error: psycopg2.Error) -> MigrationFailed:
        """Ask a new session whether the commit had come through."""
        reopened = self._session.reopened()
        try:
            rows = {row.version: row for row in history.read(reopened.connection)}
        finally:
            reopened.close()
        row = rows.get(job.migration.key)
        recorded = row is not None and row.run_id == self._session.run_id
        if job.step.action == "undo":
            recorded = row is None
        note = "the history says: " + ("it was committed" if recorded else "it was rolled back")
        return migration_failed(job, error, base=0, note=f"the connection was lost; {note}")

    def _locate(self, job: Job) -> int | None:
        """Return where the failing statement begins, by running the file again one by one.

        The server names no place for errors that come up while a statement runs, such as a
        violated constraint. The file failed quickly, was rolled back, and fails again here.
        """
        found = None
        try:
            self._session.run(self._opening(job))
            for statement in statements.scan(job.text):
                found = statement.start
                message = Message(statement.start, statement.end, statement.copy_data)
                with self._session.connection.cursor() as cursor:
                    send(cursor, job, message)
            found = None  # it went through: whatever it was has passed
        except psycopg2.Error:
            pass
        self._session.rollback()
        return found


class _Sent:
    """How far a file has been sent."""

    def __init__(self) -> None:
        self.base = 0
        self.file = False
        self._began = time.monotonic()

    def start(self) -> None:
        self._began = time.monotonic()

    def milliseconds(self) -> int:
        return round((time.monotonic() - self._began) * 1000)

    def is_short(self) -> bool:
        return not self.file and self.milliseconds() < _REPLAY * 1000


class _Blocked(Exception):
    def __init__(self, failure: MigrationFailed):
        super().__init__()
        self.failure = failure


def _guard(xid: str) -> str:
    return (
        f"do $guard$ begin if pg_catalog.pg_current_xact_id()::text <> '{xid}' then"
        f" raise exception 'the transaction is another one' using errcode = '{_GUARD}';"
        " end if; end $guard$; "
    )


def _ended(job: Job) -> MigrationFailed:
    return needs_attention(
        job,
        "the file ended the runner's transaction; what it did before that is committed, and"
        " nothing is recorded",
        fix="undo by hand what it did, take the transaction control out, and run again",
    )
