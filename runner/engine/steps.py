"""Non-transactional migrations: statement by statement, with a journal that survives a crash.

A statement that can share a transaction with its journal entry does: it is then either done
and recorded or neither. What cannot (CREATE INDEX CONCURRENTLY and its like) is announced
before and recorded after; if a crash comes between, `recovery` asks the catalog.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from typing import Any, NoReturn

import psycopg2

from runner.database.session import FORGET, LOCK, TRANSACTION_LOCK, Session
from runner.database.watch import Watch
from runner.engine import recovery, trace
from runner.engine.attempt import BEGIN, Conduct, limits, pause, send, timeouts, watch_job
from runner.engine.failures import (
    CANCELLED,
    DEADLOCK,
    LOCK_TIMEOUT,
    changed_since,
    lock_lost,
    migration_failed,
    undecided,
)
from runner.engine.job import Done, Job, Message
from runner.errors import Incomplete, NeedsAttention
from runner.history import write as records
from runner.syntax import statements
from runner.syntax.names import Index, index_built
from runner.syntax.statements import Statement

_NOT_INSIDE = "25001"  # cannot run inside a transaction
_ENDS_TRANSACTION = "2D000"  # a procedure or block that commits, called in a transaction
_MAY_COMMIT = {"CALL", "DO"}
_SETS = {"SET", "RESET"}
_SHORT = 200  # characters of a statement in a message


class Steps:
    """Runs non-transactional jobs in one session that holds the runner's lock."""

    def __init__(self, session: Session, conduct: Conduct):
        self._session = session
        self._conduct = conduct
        self._settings, self._deadline, self._progress = conduct

    def run(self, job: Job, *, first: bool) -> Done:
        """Run a job from where it stands and return what came of it.

        Parameters:
            first: nothing was applied before it in this run, so it had all the time there is.

        Raises:
            NeedsAttention: a statement failed, or nothing can tell whether it took effect;
                what came before it stays and is recorded.
            Incomplete: the deadline came; running again goes on.
        """
        began = time.monotonic()
        self._moved = not first
        try:
            self._run(job)
            done = Done(round((time.monotonic() - began) * 1000), trace.told(job))
            record = job.record(self._session.run_id)
            undo = job.step.action == "undo"
            written = (
                records.undone(record) if undo else records.steps_finished(record, done.duration_ms)
            )
            logged = records.event(job.step.action, record, done.duration_ms, done.trace)
            self._session.run(f"{BEGIN}{self._session.clean()}{written}; {logged}; commit")
        finally:
            with contextlib.suppress(psycopg2.Error):  # where the session was lost
                self._session.rollback()
                self._session.run(f"{self._session.clean()}{FORGET}")
        self._progress.finished(job, done.duration_ms)
        return done

    def _run(self, job: Job) -> None:
        done, doubt = self._open(job)
        self._progress.started(job)
        count = 0
        for statement in statements.scan(job.text):
            count += 1
            if count <= len(done):
                self._again(job, statement, done[count - 1])
                continue
            if self._deadline.passed():
                raise Incomplete(
                    f"{job.migration.name} stopped at the deadline before statement {count}",
                    fix="run again: it goes on there",
                )
            self._step(job, statement, doubt if count == len(done) + 1 else {})
            self._moved = True
            self._progress.notices(job, self._session.notices())
        if count < len(done):
            raise changed_since(job, len(job.text))
        if count == len(done) and doubt and not doubt.get("failed"):
            raise undecided(job, len(job.text), doubt)

    def _open(self, job: Job) -> tuple[list[str], dict[str, Any]]:
        """Open the journal, or find it."""
        row = job.step.resumes
        if row and row.state != "applied":
            return row.steps, row.step_in_doubt or {}
        state = "undoing" if job.step.action == "undo" else "applying"
        self._session.run(records.begin_steps(job.record(self._session.run_id), state))
        return [], {}

    def _again(self, job: Job, statement: Statement, digest: str) -> None:
        """Pass over a finished statement, but for what it set in the session that is gone."""
        if _digest(statement) != digest:
            raise changed_since(job, statement.start)
        if statement.keyword in _SETS or (
            statement.keyword == "SELECT" and "set_config" in statement.text.lower()
        ):
            self._session.run(statement.text)

    def _step(self, job: Job, statement: Statement, doubt: dict[str, Any]) -> None:
        if self._corrected(statement, doubt):
            doubt = {}
        alone = bool(doubt) or statements.non_transactional(statement) is not None
        for attempt in range(1, self._settings.lock_attempts + 1):
            last = attempt == self._settings.lock_attempts
            watch = watch_job(self._session, job, self._conduct, look=attempt > 1 or last)
            try:
                with watch:
                    alone = alone or not self._together(job, statement)
                    if alone:
                        self._alone(job, statement, doubt)
            except psycopg2.Error as error:
                doubt |= {"failed": True} if doubt else {}
                # A procedure that commits may have done a part of its work.
                again = not (alone and statement.keyword in _MAY_COMMIT)
                if last or not (again and self._may_retry(error, attempt)):
                    self._fail(job, statement, error, watch)
            else:
                return

    def _together(self, job: Job, statement: Statement) -> bool:
        """Run a statement and its journal entry in one transaction; False: it must be alone."""
        done = records.step_done(job.migration.key, _digest(statement))
        try:
            opening = f"{BEGIN}{timeouts(job, self._conduct)}select {TRANSACTION_LOCK}"
            if not self._session.run(opening)[0]:
                raise lock_lost(job)
            with self._session.connection.cursor() as cursor:
                send(cursor, job, Message(statement.start, statement.end, statement.copy_data))
            self._session.run(f"{self._session.within()}{done}; select {LOCK}; commit")
        except psycopg2.Error as error:
            self._session.rollback()
            # Only the server knows of REINDEX on a partitioned table, or a CALL that commits.
            if error.pgcode in {_NOT_INSIDE, _ENDS_TRANSACTION}:
                return False
            raise
        return True

    def _alone(self, job: Job, statement: Statement, doubt: dict[str, Any]) -> None:
        """Announce a statement that must be alone in its message, run it, record it.

        Parameters:
            doubt: what was announced of an earlier attempt; gets what is announced of this one.
        """
        key, digest = job.migration.key, _digest(statement)
        session = self._session
        recovery.heal(session, statement, self._deadline, self._progress.note)
        sql = self._decide(job, statement, doubt) if doubt else statement.text
        if sql is None:
            self._progress.note(f"{job.migration.name}: found finished: {_short(statement)}")
        else:
            doubt.clear()
            doubt |= {
                "digest": digest,
                "before": recovery.identity(session, statement),
                "text": _short(statement),
                "index": index_built(statement),
            }
            self._write(
                job, records.step_begun(key, doubt), then=limits(job, self._conduct, statement)
            )
            session.run(sql)
        if not self._write(job, records.step_done(key, digest), then=f"select {LOCK}")[0]:
            raise lock_lost(job)

    def _write(self, job: Job, sql: str, *, then: str = "") -> Any:
        """Write to the journal as ourselves, whatever the file made of the session."""
        own = f"{BEGIN}{timeouts(job, self._conduct)}{self._session.within()}"
        return self._session.run(f"{own}{sql}; commit; {then}")

    def _decide(self, job: Job, statement: Statement, doubt: dict[str, Any]) -> str | None:
        """Return the SQL to run for a statement that was begun before, None if it took effect.

        One that works in several transactions can have got somewhere even where it failed.
        """
        verdict = None
        if doubt["digest"] == _digest(statement):
            verdict = recovery.in_doubt(self._session, statement, doubt["before"])
            if verdict is None and doubt.get("failed"):
                verdict = recovery.RUN
        if verdict is None:
            raise undecided(job, statement.start, doubt)
        return {recovery.DONE: None, recovery.RUN: statement.text}.get(verdict, verdict)

    def _corrected(self, statement: Statement, doubt: dict[str, Any]) -> bool:
        """Say whether a statement that failed was corrected; then clear what the old one left."""
        corrected = bool(doubt.get("failed")) and doubt["digest"] != _digest(statement)
        if corrected and doubt["index"]:
            index = Index(*doubt["index"])
            recovery.heal_index(self._session, index, self._deadline, self._progress.note)
        return corrected

    def _may_retry(self, error: psycopg2.Error, attempt: int) -> bool:
        """Pause after a lock that was not to be had; say whether there is time to try again."""
        if error.pgcode not in {LOCK_TIMEOUT, DEADLOCK} or self._session.lost():
            return False
        return pause(attempt, self._deadline)

    def _fail(
        self, job: Job, statement: Statement, error: psycopg2.Error, watch: Watch
    ) -> NoReturn:
        with contextlib.suppress(psycopg2.Error):  # else it stays in doubt
            self._write(job, records.step_failed(job.migration.key))
        note = "the statements before it are done and recorded; the next run goes on here"
        if index_built(statement):
            note += ", and drops the INVALID index that a failed build leaves"
        if error.pgcode == CANCELLED and (watch.cancelled or self._deadline.passed()):
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


def _digest(statement: Statement) -> str:
    return hashlib.sha256(statement.text.encode()).hexdigest()


def _short(statement: Statement) -> str:
    return " ".join(statement.text[:_SHORT].split())
