"""Transactional migrations: all or nothing, recorded in the same transaction.

A file's text travels alone in its messages, so that a server's error points into the file and
nothing in the file can swallow the record. What surrounds it shares messages: the guard,
record and commit of one file, and the begin of the next. Two round trips a migration:

    message   begin 1 │ file 1 │ record 1, commit 1, begin 2 │ file 2 │ record 2, commit 2
    answer    lock, id│        │ lock, id of 2; trace of 1   │        │ trace of 2
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple, NoReturn

import psycopg2
from psycopg2 import errorcodes

from runner.database import checks
from runner.database.session import DISCARD, SAFELY, Session
from runner.database.watch import Watch
from runner.engine import guard, trace
from runner.engine.attempt import BEGIN, Attempts, send, timeouts, watch_job
from runner.engine.conduct import Conduct
from runner.engine.failures import BLOCKED, lock_lost, migration_failed
from runner.engine.job import Done, Job
from runner.engine.lock import for_session, for_transaction
from runner.engine.outcome import settle
from runner.engine.prepared import Prepared
from runner.engine.replay import failing_statement
from runner.errors import Incomplete, MigrationFailed
from runner.errors import Session as Blocker
from runner.history.read import last_duration, last_events
from runner.history.table import names
from runner.history.write import Writer
from runner.result import Trace
from runner.signals import held

_XID = "pg_catalog.pg_current_xact_id()::text"
_REPLAY = 5.0  # seconds: a file that failed within them is run again to find the statement


class _Open(NamedTuple):
    """A transaction that was begun: whether it has the runner's lock, and its id."""

    locked: bool
    xid: str


class Transactions:
    """Runs transactional jobs in one session.

    Parameters:
        session: holds the runner's lock.
        conduct: nothing is started past its deadline, a running statement is cancelled at it.
    """

    def __init__(self, session: Session, conduct: Conduct):
        self._session = session
        self._conduct = conduct
        self._write = Writer.of(session)
        self._here = names(session)
        # The next file's transaction, where the message that ended the last file began it.
        self._begun: _Open | None = None

    def run(self, jobs: Sequence[Job], following: Job | None) -> Iterator[tuple[Job, Done]]:
        """Run jobs in one transaction, again as a whole when a lock is not to be had.

        Parameters:
            following: the transactional job that the caller will run next, begun in the
                message that commits this one.

        Yields:
            Each job with what came of it, once it is committed.

        Raises:
            MigrationFailed: it was rolled back.
            NeedsAttention: the file ended the transaction itself.
            Incomplete: the deadline came first.
            Unreachable: the connection was lost, and nobody can be asked what was committed.
        """
        attempts = Attempts(self._conduct)
        while True:
            try:
                done, late = self._attempt(jobs, following, look=attempts.look)
            except Blocked as blocked:
                failure = blocked.failure
                what = f"{failure.file}: {failure.message}; rolled back"
                if not attempts.again(what, blocked.blockers):
                    raise failure from blocked.__cause__
            else:
                with held():
                    for job, entry in zip(jobs, done, strict=True):
                        yield job, entry._replace(attempts=attempts.number)
                        self._conduct.progress.finished(job, entry.duration_ms)
                if late:
                    raise late
                return

    def _attempt(
        self, jobs: Sequence[Job], following: Job | None, *, look: bool
    ) -> tuple[list[Done], BaseException | None]:
        """Try once; return what was committed, and an interrupt that came too late to stop it."""
        done: list[Done] = []
        for place, job in enumerate(jobs):
            inside = jobs[place + 1] if place + 1 < len(jobs) else None
            sent, xid, notices = _Sent(), None, []
            watch = watch_job(self._session, job, self._conduct, look=look)
            try:
                xid = self._begin(job)
                with watch:
                    self._send(job, sent)
                took, notices = round(sent.seconds() * 1000), self._notices(job)
                took, traced = self._finish(job, xid, took, inside, following)
                done.append(Done(took, traced, notices))
            except BaseException as error:  # noqa: BLE001 - told, unless it was committed
                late = self._settle(jobs[: place + 1], xid, sent, error, watch)
                done.append(Done(took, None, notices))
                return done, late
        return done, None

    def _settle(
        self,
        jobs: Sequence[Job],
        xid: str | None,
        sent: _Sent,
        error: BaseException,
        watch: Watch,
    ) -> BaseException | None:
        """Raise what an error means, unless the files were committed and only not answered for.

        Returns:
            An interrupt that came too late to stop them.
        """
        self._begun = None
        count = 0
        if sent.file:
            count, found = settle(self._session, jobs, error, self._conduct.deadline)
            error = found or error
        else:
            self._session.rollback()
        if count == len(jobs):
            return None if isinstance(error, psycopg2.Error) else error
        if not isinstance(error, psycopg2.Error):
            raise error
        if xid and not self._session.lost() and self._session.has_committed(xid):
            raise guard.ended(jobs[-1]) from error
        base = None if sent.file else sent.base
        return self.fail(jobs, error, watch, base=base, seconds=sent.seconds())

    def _begin(self, job: Job) -> str:
        """Begin, unless the message that ended the last file did; return the transaction's id."""
        begun = self._begun or _Open(*self._session.run(self.opening(job))[:2])
        self._begun = None
        if not begun.locked:
            raise lock_lost(job)
        return begun.xid

    def opening(self, job: Job) -> str:
        """Return the SQL that begins a file's transaction and notes what it starts from."""
        return (
            f"{BEGIN}{timeouts(job, self._conduct)}{trace.before(job, self._session)}"
            f" select {for_transaction(self._session)}, {_XID}, {trace.OPENED}, {trace.BEGAN},"
            f" ({last_events(self._here, 1)}), {self._session.files_path()}"
        )

    def _send(self, job: Job, sent: _Sent) -> None:
        self._conduct.progress.started(job)
        sent.start()
        with self._session.connection.cursor() as cursor:
            for piece in job.pieces():
                sent.base = piece.start
                send(cursor, piece)
                guard.check(self._session, job)
        sent.file = True

    def _notices(self, job: Job) -> list[str]:
        said = self._session.notices()
        self._conduct.progress.notices(job, said)
        return said

    def _finish(
        self, job: Job, xid: str, duration: int, inside: Job | None, following: Job | None
    ) -> tuple[int, Trace | None]:
        """Trace, guard, record, and commit unless another file shares the transaction.

        Returns:
            How long it took by the server's clock, and what it locked.
        """
        same = guard.same_transaction(xid)
        sql = self.closing(job, self._write, duration, same, inside)
        if inside:
            row = self._session.run(
                f"{sql}; {trace.before(inside, self._session)}"
                f" select {trace.BEGAN}, {self._session.files_path()},"
                f" ({last_events(self._here, 1)})"
            )
            self._begun = _Open(locked=True, xid=xid)
        elif following and not self._conduct.deadline.passed():
            row = self._session.run(f"{sql}; commit; {DISCARD}{self.opening(following)}")
            self._begun = _Open(*row[:2])
            row = row[:-1]
        else:
            row = self._session.run(f"{sql}; commit; {DISCARD}{last_events(self._here, 1)}")
        _, took, traced = row[-1][0]
        return took, traced

    def closing(
        self,
        job: Job,
        write: Writer | Prepared,
        duration: int,
        same: str,
        inside: Job | None = None,
    ) -> str:
        """Return the SQL that traces, guards and records a file in its transaction.

        Parameters:
            write: says how it is recorded.
            duration: milliseconds, for a file that made its beginning forgotten.
            same: SQL that fails in another transaction than the file's.
            inside: the next file, where it shares the transaction.
        """
        role = self._session.target.role
        record = job.record(self._session.run_id)
        limits = timeouts(inside or job, self._conduct)
        action, took = job.task.action, trace.duration(duration)
        logged = write.event(action, record, took, trace.DETAILS)
        recorded = write.done(action, record, last_duration(self._here), job.task.rests)
        return (
            # What the file deferred is due under its own settings, not under ours. Where another
            # file follows in the transaction it stays deferred, as it would be for psql.
            f"{'' if inside else 'set constraints all immediate; '}"
            # Our limits come first, for the file's may be too short for anything. The trace is
            # read before the reset, which would wipe what it compares with.
            f"{limits}{SAFELY}{same}{self._session.own_role()}{logged}; "
            f"{self._session.reset()}{limits}"
            f"{guard.owned_by(self._session, role) if role else ''}"
            f"{recorded}; select {for_session(self._session)}"
        )

    def fail(
        self,
        jobs: Sequence[Job],
        error: psycopg2.Error,
        watch: Watch,
        *,
        base: int | None,
        seconds: float,
    ) -> NoReturn:
        """Raise what an error means after which everything was rolled back.

        Parameters:
            jobs: the files of the transaction up to the one that failed.
            base: where in that file's text the message began that failed; None: it was ours.
            seconds: for how long the file had been running.
        """
        job = jobs[-1]
        lost = self._session.lost()
        if checks.code(error) == checks.ANOTHER:  # and the one we began was rolled back
            raise guard.ended(job) from error
        passed = watch.cancelled or self._conduct.deadline.passed()
        if error.pgcode == errorcodes.QUERY_CANCELED and passed:
            raise Incomplete(
                f"{job.migration.name} was stopped at the deadline and rolled back",
                fix="run again; if it never fits, run it from the command line or CodeBuild",
            ) from error
        blocked = error.pgcode in BLOCKED and not lost
        # What somebody cancelled would run again for as long as they did not want it to.
        unlimited = job.migration.directives.statement_timeout is None
        cancelled = error.pgcode == errorcodes.QUERY_CANCELED and unlimited
        known = blocked or lost or cancelled or error.diag.statement_position
        offset = None
        if base is not None and seconds < _REPLAY and not known:
            offset = failing_statement(self._session, self.opening(job), jobs)
        failure = migration_failed(
            job,
            error,
            base=base,
            offset=offset,
            blockers=watch.blockers,
            note="the connection was lost; the file was rolled back" if lost else None,
        )
        raise Blocked(failure, watch.blockers) if blocked else failure from error


class _Sent:
    """How far a file has been sent."""

    def __init__(self) -> None:
        self.base = 0
        self.file = False
        self._began = time.monotonic()

    def start(self) -> None:
        self._began = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._began


class Blocked(Exception):
    """A lock was not to be had for a file; `failure` is what that means if nobody tries again."""

    def __init__(self, failure: MigrationFailed, blockers: Sequence[Blocker]):
        super().__init__()
        self.failure = failure
        self.blockers = blockers
