"""Backfills: a file that runs range after range of a key, each with its checkpoint in one commit.

    message   begin, the next range, its ends set │ the file │ checkpoint, commit
    answer    lock, ends, rows                    │          │

The checkpoint says up to which key all is done, and is written by whoever finds it as it was read:
whatever dies, and whoever else does the same, no row is done twice by it or missed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import NoReturn

import psycopg2
from psycopg2 import errorcodes

from runner.database.checks import said
from runner.database.session import DISCARD, SAFELY, Session
from runner.database.watch import Watch
from runner.engine import guard, trace
from runner.engine import key as keys
from runner.engine.attempt import BEGIN, Attempts, send, timeouts, watch_job
from runner.engine.conduct import Conduct
from runner.engine.failures import BLOCKED, lock_lost, migration_failed, needs_attention
from runner.engine.job import Done, Job
from runner.engine.key import Range
from runner.engine.lock import RUN, for_session, for_transaction
from runner.engine.outcome import asked
from runner.engine.standing import seen, standing
from runner.engine.steps import finish, leave, told
from runner.engine.waiting import Waiting
from runner.errors import Incomplete, NeedsAttention, Unreachable
from runner.files.directives import Batch
from runner.history.read import checkpoint
from runner.history.table import Checkpoint
from runner.history.write import Writer
from runner.report import wording
from runner.result import Backfill
from runner.signals import held
from runner.syntax.scanner import scan

# What was tried may be tried again: nothing of it stays.
_AGAIN = BLOCKED | {errorcodes.SERIALIZATION_FAILURE}
_SHOWN = 1.0  # seconds between two looks at how far it is
_NOTICES = 200  # of a whole backfill

# Why a run leaves one that is in the background.
BEGUN = "goes on in the background: runner backfill"

# Is told the name of a file and how far it is.
Told = Callable[[str, Backfill], None]


class Backfills:
    """Runs backfills in one session that holds the runner's lock.

    Parameters:
        told: learns how far one is.
        lock: which of the runner's locks the session holds.
        alone: keeps other runs out while a file is put into force, where that lock does not.
    """

    def __init__(
        self,
        session: Session,
        conduct: Conduct,
        told: Told,
        *,
        lock: str = RUN,
        alone: Callable[[], AbstractContextManager[None]] = nullcontext,
    ):
        self._session = session
        self._conduct = conduct
        self._told = told
        self._lock = lock
        self._alone = alone
        self._history = Writer.of(session)

    def begin(self, job: Job) -> Iterator[tuple[Job, None]]:
        """Open the journal of a backfill that goes on in the background, and yield it.

        Raises:
            Unusable: its key is none to go along.
        """
        self._begin(job, first=True)
        with held():
            yield job, None

    def run(self, job: Job, *, first: bool) -> Iterator[tuple[Job, Done]]:
        """Run a job from where it stands and yield it with what came of it.

        Parameters:
            first: nothing was applied before it in this run, so it had all the time there is.

        Raises:
            Unusable: its key is none to go along.
            NeedsAttention: a batch failed; those before it stay and are recorded.
            Incomplete: the deadline came; running again goes on.
            Unreachable: the connection was lost.
        """
        self._begin(job, first=first)
        try:
            notices = self._all(job)
            point = self._point
            done = Done(
                point.ms, trace.from_text(job), notices, backfill=standing(self._batch, point, 0)
            )
            same = f"{self._history.moved(job.migration.key, point, point)}; "
            with self._alone():
                late = finish(self._session, self._conduct, job, done, kept=same)
        finally:
            leave(self._session)
        yield from told(self._conduct, job, done, late)

    def _begin(self, job: Job, *, first: bool) -> None:
        """Find the key, and the journal, or open that."""
        self._batch = _batch_of(job)
        self._key = keys.find(self._session, self._batch)
        self._waiting = Waiting(self._session, self._conduct)
        self._moved = not first
        self._shown = 0.0
        row = job.task.resumes
        if row and row.state != "applied" and row.checkpoint:
            self._point = row.checkpoint
        else:
            total = keys.total(self._session, self._key)
            self._point = Checkpoint(job.migration.checksum, total=total)
            state = "undoing" if job.task.action == "undo" else "applying"
            record = job.record(self._session.run_id)
            self._session.run(self._history.begin_steps(record, state, self._point))
        self._worked = self._point.ms
        self._began = time.monotonic()

    def _all(self, job: Job) -> list[str]:
        """Run batch after batch until no key is left; return what the server said."""
        self._conduct.progress.started(job)
        notices: list[str] = []
        more, took = 0, 0.0
        while True:
            if not self._waiting.pause(job.migration.name, took) or self._is_late(took):
                raise self._stopped(job)
            began = time.monotonic()
            after = self._one(job)
            if after is None:
                return wording.and_more(notices, more, "notices")
            self._point, self._moved, took = after, True, time.monotonic() - began
            said_now = self._session.notices()
            room = _NOTICES - len(notices)
            self._conduct.progress.notices(job, said_now[:room])
            notices += said_now[:room]
            more += len(said_now[room:])
            self._show(job)

    def _is_late(self, took: float) -> bool:
        """Return whether the deadline leaves too little time for a batch such as the last."""
        left = self._conduct.deadline.left()
        return left is not None and left <= took

    def _stopped(self, job: Job) -> Incomplete:
        """Return the error for a backfill that stops between two batches."""
        far = self._far(job)
        why = self._waiting.reason
        told = f"{job.migration.name} stopped at the deadline after {wording.backfill(far)}"
        return Incomplete(
            f"{told}; it was waiting: {why}" if why else told, fix="run again: it goes on there"
        )

    def _far(self, job: Job) -> Backfill:
        """Look how far it is, as far as the server says, and tell it."""
        try:
            far = seen(self._session, self._key, self._batch, self._point)
        except psycopg2.Error:  # the next batch says what is wrong
            self._session.rollback()
            far = standing(self._batch, self._point)
        self._told(job.migration.name, far)
        return far

    def _show(self, job: Job) -> None:
        now = time.monotonic()
        if now - self._shown >= _SHOWN:
            self._shown = now
            self._conduct.progress.moved(job, self._far(job))

    def _one(self, job: Job) -> Checkpoint | None:
        """Do the next batch, again where a lock was not to be had; None: no key is left.

        Returns:
            The checkpoint after it, which is committed.
        """
        attempts = Attempts(self._conduct)
        while True:
            watch = watch_job(self._session, job, self._conduct, look=attempts.look)
            sent = _Sent()
            try:
                with watch:
                    return self._attempt(job, sent)
            except psycopg2.Error as error:
                if self._took_effect(job, sent):
                    return sent.after
                again = error.pgcode in _AGAIN and attempts.again(
                    f"{job.migration.name}: {said(error)}; the batch was rolled back",
                    watch.blockers,
                )
                if not again:
                    self._fail(job, error, sent, watch)

    def _attempt(self, job: Job, sent: _Sent) -> Checkpoint | None:
        found = self._next(job)
        if found is None:
            self._session.rollback()
            return None
        sent.range = found.first, found.last
        with self._session.connection.cursor() as cursor:
            for piece in job.pieces():
                sent.base = piece.start
                send(cursor, piece)
                guard.check(self._session, job)
        sent.base = None
        sent.after = self._point._replace(
            last=found.last,
            rows=self._point.rows + found.rows,
            batches=self._point.batches + 1,
            ms=self._worked + round((time.monotonic() - self._began) * 1000),
        )
        self._commit(job, sent.after)
        return sent.after

    def _next(self, job: Job) -> Range | None:
        """Begin a transaction, and set in it the next range; None: no key is left."""
        query = keys.next_range(self._session, self._key, self._point.last, self._batch.size)
        locked, over, *ends = self._session.run(
            f"{BEGIN}{timeouts(job, self._conduct)}{SAFELY}"
            f"select {for_transaction(self._session, self._lock)}, r.rows = 0, r.*,"
            f" {self._session.files_path()} from ({query}) r"
        )[:-1]
        if not locked:
            raise lock_lost(job)
        return None if over else Range(*ends)

    def _commit(self, job: Job, after: Checkpoint) -> None:
        limits = timeouts(job, self._conduct)
        own = f"{self._session.own_role()}{self._session.reset()}{limits}"
        written = self._history.moved(job.migration.key, self._point, after)
        self._session.run(
            f"set constraints all immediate; {limits}{SAFELY}{own}{written};"
            f" select {for_session(self._session, self._lock)}; commit; {DISCARD}"
        )

    def _took_effect(self, job: Job, sent: _Sent) -> bool:
        """Return whether a batch was committed whose commit was not answered: the history knows.

        Raises:
            Unreachable: the connection was lost.
        """
        lost = self._session.lost()
        self._session.rollback()
        if sent.after or lost:
            version = job.migration.key
            found = asked(
                self._session,
                [job],
                self._conduct.deadline,
                lambda living: checkpoint(living, version),
            )
            if sent.after and found == sent.after:
                self._point = sent.after
        if lost:
            far = wording.backfill(standing(self._batch, self._point))
            raise Unreachable(
                f"{job.migration.name}: the connection was lost after {far}",
                fix="run again: it goes on there",
            )
        return sent.after is not None and self._point == sent.after

    def _fail(self, job: Job, error: psycopg2.Error, sent: _Sent, watch: Watch) -> NoReturn:
        column = f"{self._batch.table}.{self._batch.column}"
        if sent.range is None:
            raise needs_attention(
                job,
                f"the next range of {column} cannot be found: {said(error)}",
                fix="mend that and run again: it goes on there",
            ) from error
        far = self._far(job)
        note = f"the batch of {column} from {sent.range[0]} to {sent.range[1]} was rolled back; "
        note += f"{wording.done_of(far)} stay and are recorded; the next run goes on there"
        passed = watch.cancelled or self._conduct.deadline.passed()
        if error.pgcode == errorcodes.QUERY_CANCELED and passed:
            if self._moved or self._waiting.waited:
                raise self._stopped(job) from error
            note = f"a batch takes longer than a whole run may: lower batch_size; {note}"
        raise migration_failed(
            job,
            error,
            base=sent.base,
            offset=_only_statement(job),
            blockers=watch.blockers,
            note=note,
            kind=NeedsAttention,
        ) from error


class _Sent:
    """How far a batch got.

    `range` is its ends once they are known, `base` where in the file the message began that is
    under way, None where it is ours, `after` the checkpoint that was sent to be committed.
    """

    def __init__(self) -> None:
        self.range: tuple[str, str] | None = None
        self.base: int | None = None
        self.after: Checkpoint | None = None


def _only_statement(job: Job) -> int | None:
    """Return where a file's statement begins, None where it holds several."""
    first, *others = (statement.start for statement in scan(job.text))
    return None if others else first


def _batch_of(job: Job) -> Batch:
    batch = job.migration.directives.batch
    assert batch is not None
    return batch
