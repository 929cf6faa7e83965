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

from runner.database.session import FORGET, LOCK, TRANSACTION_LOCK, Session
from runner.database.watch import Watch
from runner.engine import guard, ownership, trace
from runner.engine.attempt import BEGIN, Conduct, pause, send, timeouts, watch_job
from runner.engine.failures import (
    CANCELLED,
    DEADLOCK,
    LOCK_TIMEOUT,
    lock_lost,
    migration_failed,
)
from runner.engine.job import Done, Job
from runner.engine.replay import failing_statement
from runner.errors import Incomplete, MigrationFailed, Unreachable
from runner.history import write as records

_XID = "pg_catalog.pg_current_xact_id()::text"
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
        # What the message that ended the last file found when it began the next transaction:
        # whether that has the lock, and its id.
        self._begun: tuple[bool, str] | None = None

    def run(self, jobs: Sequence[Job], following: Job | None) -> list[Done]:
        """Run jobs in one transaction, again as a whole when a lock is not to be had.

        Parameters:
            following: the transactional job that the caller will run next, begun in the
                message that commits this one.

        Returns:
            For each job what came of it.

        Raises:
            MigrationFailed: it was rolled back.
            NeedsAttention: the file ended the transaction itself.
            Incomplete: the deadline came first.
        """
        for attempt in range(1, self._settings.lock_attempts + 1):
            last = attempt == self._settings.lock_attempts
            try:
                done = self._attempt(jobs, following, look=attempt > 1 or last)
            except _Blocked as blocked:
                self._progress.note(
                    f"{blocked.failure.file}: {blocked.failure.message}; rolled back"
                    f" (attempt {attempt} of {self._settings.lock_attempts})"
                )
                if last or not pause(attempt, self._deadline):
                    raise blocked.failure from blocked.__cause__
            else:
                return [entry._replace(attempts=attempt) for entry in done]
        raise AssertionError("at least one attempt is made")

    def _attempt(self, jobs: Sequence[Job], following: Job | None, *, look: bool) -> list[Done]:
        done: list[Done] = []
        for place, job in enumerate(jobs):
            inside = jobs[place + 1] if place + 1 < len(jobs) else None
            sent, xid = _Sent(), None
            watch = watch_job(self._session, job, self._conduct, look=look)
            try:
                xid = self._begin(job)
                with watch:
                    self._send(job, sent)
                took = sent.milliseconds()
                done.append(self._finish(job, xid, took, inside, following))
            except psycopg2.Error as error:
                self._abandon()
                if not self._committed(job, xid, sent):
                    self._fail(jobs[: place + 1], error, sent, watch)
                if error.pgcode == guard.ANOTHER or not sent.file:
                    raise guard.ended(job) from error
                done.append(Done(took, None))
            except BaseException:
                self._abandon()
                raise
        for job, entry in zip(jobs, done, strict=True):
            self._progress.finished(job, entry.duration_ms)
        return done

    def _begin(self, job: Job) -> str:
        """Begin, unless the message that ended the last file did; return the transaction's id."""
        locked, xid = self._begun or self._session.run(self._opening(job))[:2]
        self._begun = None
        if not locked:
            raise lock_lost(job)
        return str(xid)

    def _opening(self, job: Job) -> str:
        return (
            f"{BEGIN}{timeouts(job, self._conduct)}{trace.BEFORE}"
            f" select {TRANSACTION_LOCK}, {_XID}, {trace.LAST}"
        )

    def _send(self, job: Job, sent: _Sent) -> None:
        self._progress.started(job)
        sent.start()
        with self._session.connection.cursor() as cursor:
            for message in job.messages:
                sent.base = message.start
                send(cursor, job, message)
                guard.check(self._session, job)
        sent.file = True
        self._progress.notices(job, self._session.notices())

    def _finish(
        self, job: Job, xid: str, duration: int, inside: Job | None, following: Job | None
    ) -> Done:
        """Trace, guard, record, and commit unless another file shares the transaction."""
        role = self._session.target.role
        record = job.record(self._session.run_id)
        undo = job.step.action == "undo"
        limits = timeouts(inside or job, self._conduct)
        sql = (
            # The trace is read before the reset, which would wipe what it compares with.
            f"{self._session.as_itself()}{limits}"
            f"{records.event(job.step.action, record, duration, trace.DETAILS)}; "
            f"{self._session.clean()}{limits}{guard.same(xid)}"
            f"{ownership.check(role) if role else ''}"
            f"{records.undone(record) if undo else records.applied(record, duration)}; "
            f"select {LOCK}"
        )
        if inside:
            (traced,) = self._session.run(f"{sql}; {trace.BEFORE} select {trace.LAST}")
            self._begun = (True, xid)
        elif following and not self._deadline.passed():
            opening = self._opening(following)
            *begun, traced = self._session.run(f"{sql}; commit; {FORGET}{opening}")
            self._begun = (begun[0], begun[1])
        else:
            (traced,) = self._session.run(f"{sql}; commit; {FORGET}select {trace.LAST}")
        return Done(duration, traced)

    def _abandon(self) -> None:
        self._begun = None
        self._session.rollback()

    def _committed(self, job: Job, xid: str | None, sent: _Sent) -> bool:
        """Say whether a transaction was committed although its last message failed.

        That message's answer was lost; or the file did it.
        """
        if xid is None or (self._session.lost() and not sent.file):
            return False
        try:
            return self._session.committed(xid)
        except Unreachable as error:
            raise Unreachable(
                f"the connection was lost while {job.migration.name} was committed, and nobody can"
                " be asked whether it was",
                details=(error.message,),
                fix="when the database answers: runner status, or simply run again",
            ) from error

    def _fail(
        self, jobs: Sequence[Job], error: psycopg2.Error, sent: _Sent, watch: Watch
    ) -> NoReturn:
        """Raise what an error means after which everything was rolled back."""
        job = jobs[-1]
        lost = self._session.lost()
        if error.pgcode == guard.ANOTHER:  # and the one we began was rolled back
            raise guard.ended(job) from error
        if error.pgcode == CANCELLED and (watch.cancelled or self._deadline.passed()):
            raise Incomplete(
                f"{job.migration.name} was stopped at the deadline and rolled back",
                fix="run again; if it never fits, run it from the command line or CodeBuild",
            ) from error
        blocked = error.pgcode in {LOCK_TIMEOUT, DEADLOCK} and not lost
        offset = None
        if sent.is_short() and not (blocked or lost or error.diag.statement_position):
            offset = failing_statement(self._session, self._opening(job), jobs)
        failure = migration_failed(
            job,
            error,
            base=None if sent.file else sent.base,
            offset=offset,
            blockers=watch.blockers,
            note="the connection was lost; the file was rolled back" if lost else None,
        )
        raise _Blocked(failure) if blocked else failure from error


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
