"""One run: lock, read the history, compute what remains, do it, in that order."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psycopg2
from psycopg2 import errorcodes

from runner.database.connection import Target
from runner.database.interrupt import cancelling
from runner.database.session import Session
from runner.database.watch import cut_at
from runner.engine import drift, lock, once, risk
from runner.engine.attempt import Conduct
from runner.engine.batch import Batches
from runner.engine.evidence import Evidence
from runner.engine.job import Done, Job, prepare
from runner.engine.outcome import settle
from runner.engine.plan import Policy, Task, plan_migrate, plan_rollback
from runner.engine.steps import Steps
from runner.engine.transaction import Transactions
from runner.errors import (
    ConfigurationError,
    Incomplete,
    Interrupted,
    MigrationFailed,
    RunnerError,
    Unreachable,
    ValidationFailed,
)
from runner.files.folder import Folder, Migration, Version, read_folder
from runner.history import others, owner, read, write
from runner.history.table import Row
from runner.result import Action, Applied, Preview, Result
from runner.signals import held

# Says what remains to be done: files and history in, tasks out.
_Planner = Callable[[Session, Folder, Sequence[Row]], list[Task]]

# Seconds after which the files may be others than were read: a deployment does not wait for us.
_FRESH = 1.0

_SHOWN = 1 << 20  # characters of a file that a preview holds

# Jobs with what came of them, as they are done.
_Entries = Iterator[tuple[Job, Done]]


class Run(NamedTuple):
    """What every command needs to know.

    `connect_wait` and `lock_wait` are seconds. `asked` is the text of a call that may come twice:
    under the same run id it is done once.
    """

    target: Target
    sql_dir: Path
    run_id: str
    conduct: Conduct
    connect_wait: float = 60.0
    lock_wait: float = 600.0
    asked: str | None = None


def migrate(
    run: Run,
    policy: Policy,
    *,
    single: bool = False,
    dry_run: bool = False,
    on_drift: str = "warn",
    plan_digest: str | None = None,
    evidence: Evidence | None = None,
) -> Result:
    """Apply what is pending.

    Parameters:
        policy: what is allowed, and up to which version.
        single: all pending files in one transaction.
        dry_run: only plan: nothing is locked or written.
        on_drift: "warn", "fail" or "ignore" changes made outside the migrations.
        plan_digest: refuse anything but the plan of this digest, which somebody approved.
        evidence: what is known of the files from before, or why it is done without.
    """
    result = Result("migrate", run.run_id)
    with reported(result), _planned(run, result, _pending(policy), locked=not dry_run) as found:
        if dry_run:
            _approve(found, plan_digest)
            _preview(result, found.jobs)
            return result
        files = found.folder.digest()
        said = evidence.hold(files) if evidence else None
        jobs = _left(run, found, result, plan_digest)
        _apply(run, found.session, result, jobs, single=single, on_drift=on_drift, said=said)
        result.data = None if policy.target else {"files": files}
    return result


def plan(run: Run, policy: Policy) -> Result:
    """Show what migrate would do to this database, and its digest; nothing is locked."""
    result = Result("plan", run.run_id)
    with reported(result), _planned(run, result, _pending(policy), locked=False) as found:
        result.planned = True
        result.data = risk.document(found.session, found.jobs, found.rows)
    return result


def plan_first(folder: Path, run_id: str, policy: Policy, database: str) -> Result:
    """Show what migrate would do to a database that is still to be made: everything is new.

    Its digest is the one that a database without a history will ask for.

    Parameters:
        database: the name that it will have.
    """
    result = Result("plan", run_id)
    with reported(result):
        jobs = prepare(plan_migrate(read_folder(folder), (), policy=policy))
        result.target = {"dbname": database}
        result.planned = True
        result.await_tasks(job.describe() for job in jobs)
        result.data = risk.first(jobs, database)
    return result


def rollback(
    run: Run, *, to: Version | None = None, steps: int | None = None, dry_run: bool = False
) -> Result:
    """Undo the newest versions, down to a version or by number."""
    result = Result("rollback", run.run_id)
    asked = partial(_to_undo, result, to=to, steps=steps)
    with reported(result), _planned(run, result, asked, locked=not dry_run) as found:
        if dry_run:
            _preview(result, found.jobs)
        else:
            # Another text than any other call's, where nobody asks for the same call twice.
            kept = run._replace(asked=run.asked or secrets.token_hex())
            _apply(kept, found.session, result, _left(run, found, result))
    return result


def _pending(policy: Policy) -> _Planner:
    def planner(session: Session, folder: Folder, rows: Sequence[Row]) -> list[Task]:
        if not rows and not policy.others:
            others.refuse(session.connection)
        return plan_migrate(folder, rows, policy=policy)

    return planner


def _to_undo(
    result: Result,
    session: Session,
    folder: Folder,
    rows: Sequence[Row],
    *,
    to: Version | None,
    steps: int | None,
) -> list[Task]:
    """Return what a rollback has to do; one by number that stopped is gone on with."""
    in_force = {row.version for row in rows if row.kind == "versioned"}
    asked = read.stopped_rollback(session.connection) if steps else []
    left = [version for version in asked if version in in_force]
    if len(left) == len(asked):  # it undid nothing
        left = []
    if left:
        result.warnings.append(
            "a rollback had stopped, and this run goes on with it: what it was to undo and did not"
            f" is {', '.join(left)}; to undo more, run again"
        )
    return plan_rollback(folder, rows, to=to, steps=steps, stopped=left)


def _preview(result: Result, jobs: Sequence[Job]) -> None:
    shown: list[Preview] = [
        {"file": job.migration.name, "sql": job.beginning(_SHOWN)} for job in jobs
    ]
    result.planned, result.data = True, shown


class _Planned(NamedTuple):
    """What remains to be done in a target, and the history that says so."""

    session: Session
    folder: Folder
    jobs: list[Job]
    rows: tuple[Row, ...]


def _left(run: Run, planned: _Planned, result: Result, digest: str | None = None) -> Sequence[Job]:
    """Return what is left to do of a call, which may have been made before under its run id."""
    connection, asked = planned.session.connection, run.asked
    earlier = None if asked is None else once.earlier(connection, run.run_id, asked)
    if earlier is None:
        _approve(planned, digest)
        return planned.jobs
    result.earlier = earlier.applied
    jobs = earlier.approved(planned.jobs) if digest else earlier.undone_once(planned.jobs)
    result.await_tasks(job.describe() for job in jobs)
    return jobs


def _approve(planned: _Planned, digest: str | None) -> None:
    """Refuse anything but the plan of the digest that was approved, where one was."""
    if digest is None:
        return
    found = risk.digest(planned.jobs, planned.session.server.database, planned.rows)
    if found != digest:
        raise once.not_approved(f"approved: {digest}", f"now:      {found}")


@contextmanager
def _planned(run: Run, result: Result, planner: _Planner, *, locked: bool) -> Iterator[_Planned]:
    """Open the target, read its history, and give what remains to be done there."""
    folder, began = read_folder(run.sql_dir), time.monotonic()
    with opened(run, result, locked=locked) as session:
        if time.monotonic() - began > _FRESH:
            folder = read_folder(run.sql_dir)
        rows = read.read(session.connection)
        jobs = prepare(planner(session, folder, rows))
        result.await_tasks(job.describe() for job in jobs)
        yield _Planned(session, folder, jobs, rows)


def _apply(
    run: Run,
    session: Session,
    result: Result,
    jobs: Sequence[Job],
    *,
    single: bool = False,
    on_drift: str = "warn",
    said: str | None = None,
) -> None:
    """Run the jobs and keep the schema as they leave it; without jobs nothing is written."""
    deadline = run.conduct.deadline
    if not jobs:
        if on_drift == "fail":  # whoever asks for it wants to hear of it at every run
            drift.check(session, on_drift, left=deadline.left())
        return
    write.ensure(session.connection)
    if run.asked is not None:
        tasks = [job.describe() for job in jobs]
        write.begin_run(session.connection, run.run_id, run.asked, tasks)
    if said is not None:
        write.remark(session.connection, run.run_id, "without-evidence", {"why": said})
        result.warnings.append(f"ran without evidence: {said}")
    result.warnings += drift.check(session, on_drift, left=deadline.left())
    drift.begin(session)
    run.conduct.progress.planned(len(jobs))
    try:
        execute(run, session, result, jobs, single=single)
    finally:
        if not session.lost():
            result.warnings += drift.record(session, left=deadline.left())


@contextmanager
def reported(result: Result) -> Iterator[None]:
    """Put what goes wrong inside into the result: an error of ours never loses what was done."""
    try:
        yield
    except RunnerError as error:
        result.error = error
    except KeyboardInterrupt:
        result.error = Interrupted("interrupted", fix="run again")
    except psycopg2.Error as error:  # of a statement of ours, outside of any file
        result.error = _refused(error)


def _refused(error: psycopg2.Error) -> RunnerError:
    state = error.pgcode or errorcodes.CONNECTION_EXCEPTION
    kind = RunnerError
    if state.startswith((errorcodes.CLASS_CONNECTION_EXCEPTION, "57P")):
        kind = Unreachable
    elif state == errorcodes.INSUFFICIENT_PRIVILEGE:
        kind = ConfigurationError
    return kind(
        f"the database refused: {str(error).strip()}",
        fix="mend that and run again; runner status tells where it stands",
    )


@contextmanager
def opened(run: Run, result: Result, *, locked: bool) -> Iterator[Session]:
    """Open a session to the target, with the runner's lock where something may be written.

    Without the lock the session is read-only, whatever is sent.
    """
    result.target = run.target.describe()
    progress, deadline = run.conduct.progress.note, run.conduct.deadline
    left = deadline.left()
    wait = run.connect_wait if left is None else min(run.connect_wait, left)
    session = Session(
        run.target,
        run_id=run.run_id,
        wait=wait,
        read_only=not locked,
        patience=left,
        progress=progress,
        prepare=partial(
            owner.prepare,
            target=run.target,
            run_id=run.run_id,
            wait=wait,
            read_only=not locked,
        ),
    )
    try:
        result.target = {
            **result.target,
            "dbname": session.server.database,
            "user": session.server.login,
            "server_version": session.server.version_text,
        }
        with cancelling(session.connection), cut_at(session.connection, deadline.left()):
            if locked:
                lock.take(session, wait=run.lock_wait, deadline=deadline, progress=progress)
            yield session
    except psycopg2.errors.LockNotAvailable as error:  # of a statement of ours
        raise lock.unavailable(session, error) from error
    finally:
        session.close()


def execute(
    run: Run, session: Session, result: Result, jobs: Sequence[Job], *, single: bool = False
) -> None:
    """Run jobs in a session that holds the lock; each is in the result as soon as it is done."""
    entries = _at_once if single else _one_by_one
    try:
        for job, done in entries(run, session, result, jobs):
            with held():
                result.done(done.entry(job))
    except KeyboardInterrupt as stop:
        left = jobs[len(result.applied) :]
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
    return Interrupted(
        f"interrupted; what {name} had finished stays and is recorded",
        fix="run again: it goes on there, or asks about the statement that was interrupted",
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
    place = 0
    while place < len(jobs):
        job = jobs[place]
        if run.conduct.deadline.passed():
            raise Incomplete(
                f"the deadline came before {job.migration.name}", fix="run again: it goes on there"
            )
        if shared := batches.take(jobs, place):
            entries = batches.run(shared)
        elif job.transactional:
            alone = not batches.take(jobs, place + 1)
            following = next(iter(jobs[place + 1 : place + 2]), None) if alone else None
            entries = _alone(transactions, [job], following)
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
    execute(run, session, result, prepare([Task(action, migration, "to prove it")]))
    return result.applied[0]


def _refuse_mixed(jobs: Sequence[Job]) -> None:
    alone = [job.migration.name for job in jobs if not job.transactional]
    if alone:
        raise ValidationFailed(
            "these files cannot share a transaction",
            details=tuple(f"{name} is not transactional" for name in alone),
            fix="run without --single-transaction, or up to the file before with --target",
        )
