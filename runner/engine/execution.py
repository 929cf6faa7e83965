"""Do what was planned: job after job, each in the result as soon as it is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runner.database.session import Session
from runner.engine import drift
from runner.engine.backfill import BEGUN, Backfills
from runner.engine.batch import Batches
from runner.engine.job import Done, Job, prepare
from runner.engine.outcome import settle
from runner.engine.plan import Task
from runner.engine.run import Run
from runner.engine.steps import Steps
from runner.engine.transaction import Transactions
from runner.errors import Incomplete, Interrupted, MigrationFailed, ValidationFailed
from runner.files.folder import Migration
from runner.history import write
from runner.result import Action, Applied, Result
from runner.signals import held

# Jobs with what came of them, as they are done; None: they go on in the background.
_Entries = Iterator[tuple[Job, Done | None]]


def apply(
    run: Run,
    session: Session,
    result: Result,
    jobs: Sequence[Job],
    *,
    single: bool = False,
    on_drift: str = "warn",
    remarks: Mapping[str, Mapping[str, Any]],
) -> None:
    """Run jobs, at least one, in a session that holds the lock, and keep the schema they leave.

    Parameters:
        single: all of them in one transaction.
        on_drift: "warn", "fail" or "ignore" changes made outside the migrations.
        remarks: what the history is to say of the run, by the name of its line.
    """
    deadline = run.conduct.deadline
    write.ensure(session)
    if run.asked is not None:
        # What goes on in the background is not this run's to finish.
        tasks = [job.describe() for job in jobs if not job.task.background]
        write.begin_run(session, run.run_id, run.asked, tasks)
    for name, details in remarks.items():
        write.remark(session, run.run_id, name, details)
    result.warnings += drift.check(session, on_drift, left=deadline.left())
    drift.begin(session)
    run.conduct.progress.planned(len(jobs))
    try:
        execute(run, session, result, jobs, single=single)
    finally:
        if not session.lost():
            result.warnings += drift.record(session, left=deadline.left())


def execute(
    run: Run, session: Session, result: Result, jobs: Sequence[Job], *, single: bool = False
) -> None:
    """Run jobs in a session that holds the lock; each is in the result as soon as it is done."""
    entries = _at_once if single else _one_by_one
    handled = 0
    try:
        for job, done in entries(run, session, result, jobs):
            with held():
                handled += 1
                if done:
                    result.done(done.entry(job))
                else:
                    result.hold({**job.describe(), "why": BEGUN})
    except KeyboardInterrupt as stop:
        left = jobs[handled:]
        count, _ = settle(session, left, stop, run.conduct.deadline)
        for job in left[:count]:  # committed, and stopped before that was told
            result.done(Done(0, None, []).entry(job))
        raise _interrupted(left[count:]) from stop


def _interrupted(left: Sequence[Job]) -> Interrupted:
    """Return the error for an interrupt, which says what became of the file that is next."""
    if not left:
        return Interrupted("interrupted, after every file had been applied")
    name = left[0].migration.name
    if left[0].transactional:
        return Interrupted(
            f"interrupted; {name} is not applied, and nothing of it stays",
            fix="run again: it goes on there",
        )
    batch = left[0].migration.directives.batch
    asks = "" if batch else ", or asks about the statement that was interrupted"
    return Interrupted(
        f"interrupted; what {name} had finished stays and is recorded",
        fix=f"run again: it goes on there{asks}",
    )


def _at_once(run: Run, session: Session, result: Result, jobs: Sequence[Job]) -> _Entries:
    """Run jobs in one transaction."""
    _refuse_mixed(jobs)
    transactions = Transactions(session, run.conduct)
    return _in_time(_alone(transactions, jobs, None), jobs[0], result)


def _one_by_one(run: Run, session: Session, result: Result, jobs: Sequence[Job]) -> _Entries:
    """Run jobs each in its own transaction, or without one; small ones share messages."""
    transactions = Transactions(session, run.conduct)
    batches = Batches(session, run.conduct, transactions)
    steps = Steps(session, run.conduct)
    backfills = Backfills(session, run.conduct, result.moved)
    place = 0
    while place < len(jobs):
        job = jobs[place]
        if run.conduct.deadline.passed():
            raise Incomplete(
                f"the deadline came before {job.migration.name}", fix="run again: it goes on there"
            )
        entries: _Entries
        if shared := batches.take(jobs, place):
            entries = batches.run(shared)
        elif job.transactional:
            alone = not batches.take(jobs, place + 1)
            following = next(iter(jobs[place + 1 : place + 2]), None) if alone else None
            entries = _alone(transactions, [job], following)
        elif job.task.background:
            entries = backfills.begin(job)
        elif job.migration.directives.batch:
            entries = backfills.run(job, first=not result.applied)
        else:
            entries = steps.run(job, first=not result.applied)
        for entry in _in_time(entries, job, result) if job.transactional else entries:
            place += 1
            yield entry


def _alone(transactions: Transactions, jobs: Sequence[Job], following: Job | None) -> _Entries:
    """Run jobs in a transaction of their own, and let it begin the next one's."""
    ahead = following if following and following.transactional else None
    yield from transactions.run(jobs, ahead)


def _in_time(entries: _Entries, first: Job, result: Result) -> _Entries:
    """Tell a run that will go on next time from one whose first file needs more than all its time.

    Called incomplete, the second would be run again for ever.
    """
    try:
        yield from entries
    except Incomplete as stopped:
        if result.applied:
            raise
        raise MigrationFailed(
            "the file takes longer than a whole run may; it was rolled back",
            file=str(first.migration.path),
            fix="split it, or run it from the command line or CodeBuild, where there is more time",
        ) from stopped


def run_one(run: Run, session: Session, action: Action, migration: Migration) -> Applied:
    """Run one file, whatever the plan would say, and return its entry of the result."""
    result = Result("verify", run.run_id)
    jobs = prepare([Task(action, migration, "to prove it")])
    result.await_tasks(job.describe() for job in jobs)
    execute(run, session, result, jobs)
    return result.applied[0]


def _refuse_mixed(jobs: Sequence[Job]) -> None:
    alone = [job.migration.name for job in jobs if not job.transactional]
    if alone:
        raise ValidationFailed(
            "these files cannot share a transaction",
            details=tuple(f"{name} is not transactional" for name in alone),
            fix="run without --single-transaction, or up to the file before with --target",
        )
