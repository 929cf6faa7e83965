"""Non-transactional migrations: statement by statement, with a journal that survives a crash.

A statement that can share a transaction with its journal entry does: it is then either done
and recorded or neither. What cannot (CREATE INDEX CONCURRENTLY and its like) is announced
before and recorded after; if a crash comes between, `recovery` asks the catalog.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any, NoReturn

import psycopg2

from runner import history, recovery, statements
from runner.errors import Incomplete, NeedsAttention
from runner.failure import CANCELLED, DEADLOCK, LOCK_TIMEOUT, migration_failed, needs_attention
from runner.migration import milliseconds
from runner.observe import Watch
from runner.running import Conduct, pause, send, watch_job
from runner.session import FORGET, LOCK, Session
from runner.source import Job, Message
from runner.statements import Statement

_ENDS_TRANSACTION = "2D000"  # a procedure or block that commits, called in a transaction
_MAY_COMMIT = {"CALL", "DO"}
_SHORT = 200  # characters of a statement in a message


class Steps:
    """Runs non-transactional jobs in one session that holds the runner's lock."""

    def __init__(self, session: Session, conduct: Conduct):
        self._session = session
        self._conduct = conduct
        self._settings, self._deadline, self._progress = conduct

    def run(self, job: Job) -> int:
        """Run a job from where it stands and return its duration in milliseconds.

        Raises:
            NeedsAttention: a statement failed, or nothing can tell whether it took effect;
                what came before it stays and is recorded.
            Incomplete: the deadline came; running again goes on.

        """
        began = time.monotonic()
        try:
            self._run(job)
            duration = round((time.monotonic() - began) * 1000)
            write = history.undone if job.step.action == "undo" else history.steps_finished
            record = write(job.record(self._session.run_id), duration)
            self._session.run(f"begin; {self._session.clean()}{record}; commit")
        finally:
            if not self._session.lost():
                self._session.rollback()
                self._session.run(f"{self._session.clean()}{FORGET}select {LOCK}")
        self._progress.finished(job, duration)
        return duration

    def _run(self, job: Job) -> None:
        done, doubt = self._open(job)
        self._progress.started(job)
        for number, statement in enumerate(statements.scan(job.text)):
            if number < len(done):
                self._same(job, statement, done[number])
                continue
            if self._deadline.passed():
                raise Incomplete(
                    f"{job.migration.name} stopped at the deadline before statement {number + 1}",
                    fix="run again: it goes on there",
                )
            self._step(job, statement, doubt if number == len(done) else None)
            self._progress.notices(job, self._session.notices())

    def _open(self, job: Job) -> tuple[list[str], dict[str, Any] | None]:
        """Open the journal, or find it, and set the timeouts for the whole file.

        A concurrent build waits for locks without harm to others, so none of its waits is
        cut short unless the file asks for it.
        """
        row = job.step.resumes
        journal = ""
        if row is None or row.state == "applied":
            state = "undoing" if job.step.action == "undo" else "applying"
            journal = history.begin_steps(job.record(self._session.run_id), state) + "; "
        wanted = job.migration.directives
        limit = milliseconds(wanted.statement_timeout or "0")
        left = self._deadline.left()
        if left is not None:
            limit = min(limit or 1 << 30, max(1, round(left * 1000)))
        self._session.run(
            f"{journal}set lock_timeout = {milliseconds(wanted.lock_timeout or '0')};"
            f" set statement_timeout = {limit}"
        )
        return (row.steps, row.step_in_doubt) if row and not journal else ([], None)

    def _same(self, job: Job, statement: Statement, digest: str) -> None:
        if _digest(statement) != digest:
            raise needs_attention(
                job,
                "this statement was run before the last run stopped, and has been changed since",
                offset=statement.start,
                fix=f"put it back as it was, or forget the journal: runner repair --forget"
                f" {job.migration.key}",
            )

    def _step(self, job: Job, statement: Statement, doubt: dict[str, Any] | None) -> None:
        sql = self._decide(job, statement, doubt) if doubt else statement.text
        if sql is None:
            self._progress.note(f"{job.migration.name}: found finished: {_short(statement)}")
            self._session.run(history.step_done(job.migration.key, _digest(statement)))
            return
        alone = statements.non_transactional(statement) is not None
        for attempt in range(1, self._settings.lock_attempts + 1):
            last = attempt == self._settings.lock_attempts
            watch = watch_job(self._session, job, self._conduct, look=attempt > 1 or last)
            try:
                with watch:
                    self._alone(job, statement, sql) if alone else self._together(job, statement)
            except psycopg2.Error as error:
                if last or not self._may_retry(error, attempt):
                    self._fail(job, statement, error, watch)
            else:
                return

    def _decide(self, job: Job, statement: Statement, doubt: dict[str, Any]) -> str | None:
        """Return the SQL to run for a statement in doubt, None where it took effect."""
        verdict = None
        if doubt["digest"] == _digest(statement):
            verdict = recovery.in_doubt(self._session, statement, doubt["before"])
        if verdict is None:
            raise needs_attention(
                job,
                "the last run died while this statement ran; nothing can tell whether it took"
                f" effect: {doubt['text']}",
                offset=statement.start,
                fix=f"look; if it did: runner repair --done {job.migration.key}; if it did not:"
                f" runner repair --again {job.migration.key}; then run again",
            )
        if verdict == recovery.DONE:
            return None
        return statement.text if verdict == recovery.RUN else verdict

    def _together(self, job: Job, statement: Statement) -> None:
        """Run a statement and its journal entry in one transaction."""
        wanted = job.migration.directives.lock_timeout or self._settings.lock_timeout
        done = history.step_done(job.migration.key, _digest(statement))
        try:
            self._session.run(f"begin; set local lock_timeout = {milliseconds(wanted)}")
            with self._session.connection.cursor() as cursor:
                send(cursor, job, Message(statement.start, statement.end, statement.copy_data))
            self._session.run(f"{done}; commit")
        except psycopg2.Error as error:
            self._session.rollback()
            if error.pgcode != _ENDS_TRANSACTION or statement.keyword not in _MAY_COMMIT:
                raise
            self._alone(job, statement, statement.text)

    def _alone(self, job: Job, statement: Statement, sql: str) -> None:
        """Announce a statement that must be alone in its message, run it, record it."""
        key = job.migration.key
        recovery.heal_index(
            self._session, statement, deadline=self._deadline, note=self._progress.note
        )
        doubt = {
            "digest": _digest(statement),
            "before": recovery.identity(self._session, statement),
            "text": _short(statement),
        }
        self._session.run(history.step_begun(key, doubt))
        self._session.run(sql)
        self._session.run(history.step_done(key, _digest(statement)))

    def _may_retry(self, error: psycopg2.Error, attempt: int) -> bool:
        """Pause after a lock that was not to be had; say whether there is time to try again."""
        if error.pgcode not in {LOCK_TIMEOUT, DEADLOCK} or self._session.lost():
            return False
        return pause(attempt, self._deadline)

    def _fail(
        self, job: Job, statement: Statement, error: psycopg2.Error, watch: Watch
    ) -> NoReturn:
        if not self._session.lost():
            # The server has answered, so there is no doubt: it failed.
            self._session.run(history.step_failed(job.migration.key))
        if error.pgcode == CANCELLED and (watch.cancelled or self._deadline.passed()):
            raise Incomplete(
                f"{job.migration.name} was stopped at the deadline in: {_short(statement)}",
                fix="run again; if it never fits, run it from the command line or CodeBuild",
            ) from error
        note = "the statements before it are done and recorded; the next run goes on here"
        if recovery.index_built(statement):
            note += ", and drops the INVALID index that a failed build leaves"
        raise migration_failed(
            job,
            error,
            base=statement.start,
            offset=statement.start,
            blockers=watch.blockers,
            note=note,
            kind=NeedsAttention,
        ) from error


def _digest(statement: Statement) -> str:
    return hashlib.sha256(statement.text.encode()).hexdigest()


def _short(statement: Statement) -> str:
    return " ".join(statement.text[:_SHORT].split())
