"""Non-transactional migrations: statement by statement, with a journal that survives a crash.

A statement that can share a transaction with its journal entry does: it is then either done
and recorded or neither. What cannot (CREATE INDEX CONCURRENTLY and its like) is announced
before and recorded after; if a crash comes between, `recovery` asks the catalog.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from typing import Any, NoReturn

import psycopg2
from psycopg2 import errorcodes

from runner.database.checks import said
from runner.database.session import DISCARD, SAFELY, Session
from runner.database.watch import Watch
from runner.engine import recovery, trace
from runner.engine.attempt import BEGIN, Attempts, limits, send, timeouts, watch_job
from runner.engine.conduct import Conduct
from runner.engine.failures import (
    BLOCKED,
    changed_since,
    gone,
    half_committed,
    lock_lost,
    migration_failed,
    undecided,
    unrecorded,
)
from runner.engine.job import Done, Job
from runner.engine.kept import Kept
from runner.engine.lock import for_session, for_transaction
from runner.engine.outcome import settle
from runner.errors import Incomplete, NeedsAttention
from runner.files.pieces import piece_of
from runner.history.table import Doubt, Left, Step
from runner.history.write import Writer
from runner.report.wording import and_more
from runner.signals import held
from runner.syntax.names import Index, index_built
from runner.syntax.nontransactional import non_transactional
from runner.syntax.remains import remains
from runner.syntax.scanner import Statement, scan

# Only the server knows of REINDEX on a partitioned table, or a CALL that commits.
_NOT_INSIDE = {errorcodes.ACTIVE_SQL_TRANSACTION, errorcodes.INVALID_TRANSACTION_TERMINATION}
_MAY_COMMIT = {"CALL", "DO"}
_SHORT = 200  # characters of a statement in a message
_SOME = 3  # of what is gone, in a message


class Steps:
    """Runs non-transactional jobs in one session that holds the runner's lock."""

    def __init__(self, session: Session, conduct: Conduct):
        self._session = session
        self._conduct = conduct
        self._deadline, self._progress = conduct.deadline, conduct.progress
        self._history = Writer.of(session)

    def run(self, job: Job, *, first: bool) -> Iterator[tuple[Job, Done]]:
        """Run a job from where it stands and yield it with what came of it.

        Parameters:
            first: nothing was applied before it in this run, so it had all the time there is.

        Raises:
            NeedsAttention: a statement failed, or nothing can tell whether it took effect;
                what came before it stays and is recorded.
            Incomplete: the deadline came; running again goes on.
            Unreachable: the connection was lost, and nobody can be asked what was recorded.
        """
        began = time.monotonic()
        self._moved = not first
        try:
            notices = self._run(job)
            took = round((time.monotonic() - began) * 1000)
            done = Done(took, trace.from_text(job), notices)
            late = finish(self._session, self._conduct, job, done)
        finally:
            leave(self._session)
        yield from told(self._conduct, job, done, late)

    def _run(self, job: Job) -> list[str]:
        """Run what is left of a job's statements and return what the server said."""
        done, doubt = self._open(job)
        self._progress.started(job)
        self._session.run("set search_path to default")
        self._kept = Kept(self._session, job.text, done)
        told: list[str] = []
        count = 0
        for statement in scan(job.text):
            count += 1
            if count <= len(done):
                self._again(job, statement, done[count - 1], last=count == len(done))
                continue
            if self._deadline.passed():
                raise Incomplete(
                    f"{job.migration.name} stopped at the deadline before statement {count}",
                    fix="run again: it goes on there",
                )
            self._step(job, statement, doubt if count == len(done) + 1 else None)
            self._moved = True
            notices = self._session.notices()
            self._progress.notices(job, notices)
            told += notices
        if count < len(done):
            raise changed_since(job, len(job.text))
        if count == len(done) and doubt and not doubt.failed:
            raise undecided(job, len(job.text), doubt)
        return told

    def _open(self, job: Job) -> tuple[list[Step], Doubt | None]:
        """Open the journal, or find it; return the finished statements and the one in doubt."""
        row = job.task.resumes
        if row and row.state != "applied":
            return row.steps, row.step_in_doubt
        state = "undoing" if job.task.action == "undo" else "applying"
        self._session.run(self._history.begin_steps(job.record(self._session.run_id), state))
        return [], None

    def _again(self, job: Job, statement: Statement, done: Step, *, last: bool) -> None:
        """Pass over a finished statement, but for what it left in the session that is gone.

        Parameters:
            last: it is the last of those, so that the session becomes as it was after them.
        """
        if _digest(statement) != done.digest:
            raise changed_since(job, statement.start)
        if lost := self._kept.is_gone(done):
            what = and_more(lost[:_SOME], len(lost[_SOME:]), "objects")
            raise gone(job, statement.start, ", ".join(what))
        if name := self._kept.unseen(statement):
            raise gone(job, statement.start, f"a setting whose name code of {name} computes")
        left = remains(statement)
        if left == "again" or (left == "set" and done.left is None):
            self._session.run(statement.text)
        elif left == "gone" or (left == "session" and done.left is None):
            raise gone(job, statement.start)
        if last:
            try:
                self._kept.restore()
            except psycopg2.Error as error:
                raise gone(job, statement.start, f"a setting: {said(error)}") from error

    def _step(self, job: Job, statement: Statement, doubt: Doubt | None) -> None:
        if doubt and self._corrected(statement, doubt):
            doubt = None
        alone = bool(doubt) or non_transactional(statement) is not None
        attempts = Attempts(self._conduct)
        while True:
            watch = watch_job(self._session, job, self._conduct, look=attempts.look)
            try:
                with watch:
                    alone = alone or not self._together(job, statement)
                    if alone:
                        self._session.run(limits(job, self._conduct, statement))
                        recovery.heal(self._session, statement, self._deadline, self._progress.note)
                        sql = self._decide(job, statement, doubt)
                        doubt = self._announce(job, statement) if sql else doubt
                        self._alone(job, statement, sql)
            except psycopg2.Error as error:
                doubt = doubt and doubt._replace(failed=True)
                if not self._may_retry(job, error, attempts, watch):
                    self._fail(job, statement, error, watch)
            else:
                return

    def _together(self, job: Job, statement: Statement) -> bool:
        """Run a statement and its journal entry in one transaction; False: it must be alone."""
        try:
            limited = timeouts(job, self._conduct)
            if not self._session.run(f"{BEGIN}{limited}select {for_transaction(self._session)}")[0]:
                raise lock_lost(job)
            with self._session.connection.cursor() as cursor:
                send(cursor, piece_of(statement))
            self._session.run("set constraints all immediate")
            left = self._kept.left()
            done = self._history.step_done(job.migration.key, Step(_digest(statement), left))
            self._session.run(
                f"{limited}{self._session.own_role_locally()}{SAFELY}{done};"
                f" select {for_session(self._session)}; commit"
            )
        except psycopg2.Error as error:
            self._session.rollback()
            if error.pgcode in _NOT_INSIDE:
                return False
            raise
        self._correct(job, statement, left)
        return True

    def _correct(self, job: Job, statement: Statement, left: Left) -> None:
        """Keep what a statement has left when it was committed: some of it ended with that."""
        if not any(left):
            return
        stays = self._kept.left()
        if stays != left:
            step = Step(_digest(statement), stays)
            self._write(job, self._history.step_left(job.migration.key, step))

    def _announce(self, job: Job, statement: Statement) -> Doubt:
        """Write down that a statement is about to run which must be alone in its message."""
        doubt = Doubt(
            digest=_digest(statement),
            before=recovery.identity(self._session, statement),
            text=_short(statement),
            builds=index_built(statement),
        )
        begun = self._history.step_begun(job.migration.key, doubt)
        self._write(job, begun, then=limits(job, self._conduct, statement))
        return doubt

    def _alone(self, job: Job, statement: Statement, sql: str | None) -> None:
        """Run what an announced statement needs, if it needs anything, and record it."""
        if sql is None:
            self._progress.note(f"{job.migration.name}: found finished: {_short(statement)}")
        else:
            self._send(job, statement, sql)
        try:
            step = Step(_digest(statement), self._kept.left())
            done = self._history.step_done(job.migration.key, step)
            row = self._write(job, done, then=f"select {for_session(self._session)}")
        except psycopg2.Error as error:
            raise unrecorded(job, statement.start, error) from error
        if not row[0]:
            raise lock_lost(job)

    def _send(self, job: Job, statement: Statement, sql: str) -> None:
        """Run a statement that is alone in its message.

        Raises:
            NeedsAttention: it failed, and may have committed a part of its work before that.
        """
        try:
            self._session.run(sql)
        except psycopg2.Error as error:
            if statement.keyword in _MAY_COMMIT:
                raise half_committed(job, error, statement.start) from error
            raise

    def _write(self, job: Job, sql: str, *, then: str = "") -> Any:
        """Write to the journal as ourselves, whatever the file made of the session."""
        own = f"{BEGIN}{timeouts(job, self._conduct)}{self._session.own_role_locally()}"
        own += SAFELY
        return self._session.run(f"{own}{sql}; commit; {then}")

    def _decide(self, job: Job, statement: Statement, doubt: Doubt | None) -> str | None:
        """Return the SQL to run for a statement, None if it took effect when it was begun before.

        One that works in several transactions can have got somewhere even where it failed.
        """
        if doubt is None:
            return statement.text
        verdict = None
        if doubt.digest == _digest(statement):
            verdict = recovery.in_doubt(self._session, statement, doubt.before)
            if verdict is None and doubt.failed:
                verdict = recovery.RUN
        if verdict is None:
            raise undecided(job, statement.start, doubt)
        if verdict == recovery.DONE:
            return None
        return statement.text if verdict == recovery.RUN else verdict

    def _corrected(self, statement: Statement, doubt: Doubt) -> bool:
        """Say whether a statement that failed was corrected; then clear what the old one left."""
        corrected = doubt.failed and doubt.digest != _digest(statement)
        if corrected and doubt.builds:
            index = Index(*doubt.builds)
            recovery.heal_index(self._session, index, self._deadline, self._progress.note)
        return corrected

    def _may_retry(self, job: Job, error: psycopg2.Error, attempts: Attempts, watch: Watch) -> bool:
        """Pause after a lock that was not to be had; say whether it is tried again."""
        if error.pgcode not in BLOCKED or self._session.lost():
            return False
        return attempts.again(f"{job.migration.name}: {said(error)}", watch.blockers)

    def _fail(
        self, job: Job, statement: Statement, error: psycopg2.Error, watch: Watch
    ) -> NoReturn:
        with contextlib.suppress(psycopg2.Error):  # else it stays in doubt
            self._write(job, self._history.step_failed(job.migration.key))
        note = "the statements before it are done and recorded; the next run goes on here"
        if index_built(statement):
            note += ", and drops the INVALID index that a failed build leaves"
        passed = watch.cancelled or self._deadline.passed()
        if error.pgcode == errorcodes.QUERY_CANCELED and passed:
            if self._moved:
                raise Incomplete(
                    f"{job.migration.name} was stopped at the deadline in: {_short(statement)}",
                    fix="run again: it goes on there",
                ) from error
            note = "the deadline came: this statement takes longer than a whole run may; " + note
        raise migration_failed(
            job,
            error,
            base=statement.start,
            offset=statement.start,
            blockers=watch.blockers,
            note=note,
            kind=NeedsAttention,
        ) from error


def leave(session: Session) -> None:
    """Let nothing of a job stay in the session."""
    with contextlib.suppress(psycopg2.Error):  # where it was lost
        session.rollback()
        session.run(f"{session.reset()}{DISCARD}")


def told(
    conduct: Conduct, job: Job, done: Done, late: BaseException | None
) -> Iterator[tuple[Job, Done]]:
    """Yield a job that is in force and what came of it, then raise what came too late for it."""
    with held():
        yield job, done
        conduct.progress.finished(job, done.duration_ms)
    if late:
        raise late


def finish(
    session: Session, conduct: Conduct, job: Job, done: Done, *, kept: str = ""
) -> BaseException | None:
    """Put a job whose work is committed into force, or out of it where it was undone.

    Parameters:
        kept: SQL that fails where somebody else has changed its journal meanwhile.

    Returns:
        An interrupt that came too late to stop that.
    """
    history, record = Writer.of(session), job.record(session.run_id)
    action = job.task.action
    if action == "undo":
        written = history.undone(record, job.task.rests)
    else:
        written = history.steps_finished(record, done.duration_ms)
    logged = history.event(action, record, done.duration_ms, done.trace)
    try:
        session.run(f"{BEGIN}{session.reset()}{kept}{written}; {logged}; commit")
    except BaseException as error:
        recorded, late = settle(session, [job], error, conduct.deadline)
        if not recorded:
            raise late or error from error
        return None if isinstance(late, psycopg2.Error) else late
    return None


def _digest(statement: Statement) -> str:
    return hashlib.sha256(statement.text.encode()).hexdigest()


def _short(statement: Statement) -> str:
    return " ".join(statement.text[:_SHORT].split())
