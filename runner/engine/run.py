"""One run: lock, read the history, compute what remains, do it, in that order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2

from runner.database import connection as connecting
from runner.database.interrupt import cancelling
from runner.database.session import Session
from runner.engine import drift, risk
from runner.engine.attempt import Conduct
from runner.engine.job import Job, prepare
from runner.engine.plan import Policy, Step, plan_migrate, plan_rollback
from runner.engine.steps import Steps
from runner.engine.transaction import Transactions
from runner.errors import (
    ConfigurationError,
    Incomplete,
    Interrupted,
    MigrationFailed,
    Refused,
    RunnerError,
    Unreachable,
    ValidationFailed,
)
from runner.files.folder import Folder, Migration, Version, read_folder
from runner.history import table as history
from runner.result import Result, describe


class Run(NamedTuple):
    """What every command needs to know.

    `connect_wait` and `lock_wait` are seconds.
    """

    target: connecting.Target
    sql_dir: Path
    run_id: str
    conduct: Conduct
    connect_wait: float = 60.0
    lock_wait: float = 600.0


def migrate(
    run: Run,
    policy: Policy,
    *,
    single: bool = False,
    dry_run: bool = False,
    on_drift: str = "warn",
    plan_digest: str | None = None,
) -> Result:
    """Apply what is pending.

    Parameters:
        policy: what is allowed, and up to which version.
        single: all pending files in one transaction.
        dry_run: only plan: nothing is locked or written.
        on_drift: "warn", "fail" or "ignore" changes made outside the migrations.
        plan_digest: refuse anything but the plan of this digest, which somebody approved.
    """

    def plan(folder: Folder, rows: Sequence[history.Row]) -> list[Step]:
        return plan_migrate(folder, rows, policy)

    def approve(session: Session, jobs: Sequence[Job]) -> None:
        found = risk.digest(jobs, session.server.database)
        if plan_digest and found != plan_digest:
            raise Refused(
                "what would run now is not what was approved",
                details=(f"approved: {plan_digest}", f"now:      {found}"),
                fix="look at the plan again (runner plan) and approve its digest",
            )

    return _perform(
        run, "migrate", plan, single=single, show=_sql if dry_run else None, on_drift=on_drift,
        approve=approve,
    )  # fmt: skip


def plan(run: Run, policy: Policy) -> Result:
    """Show what migrate would do to this database, and its digest; nothing is locked."""

    def steps(folder: Folder, rows: Sequence[history.Row]) -> list[Step]:
        return plan_migrate(folder, rows, policy)

    return _perform(run, "plan", steps, show=risk.document)


def rollback(
    run: Run, *, to: Version | None = None, steps: int | None = None, dry_run: bool = False
) -> Result:
    """Undo the newest versions, down to a version or by number."""

    def plan(folder: Folder, rows: Sequence[history.Row]) -> list[Step]:
        return plan_rollback(folder, rows, to=to, steps=steps)

    return _perform(run, "rollback", plan, show=_sql if dry_run else None)


def _sql(_: Session, jobs: Sequence[Job]) -> list[dict[str, str]]:
    return [{"file": job.migration.name, "sql": job.text} for job in jobs]


@contextmanager
def reported(result: Result) -> Iterator[None]:
    """Put what goes wrong inside into the result: an error of ours never loses what was done."""
    try:
        yield
    except RunnerError as error:
        result.error = error
    except KeyboardInterrupt:
        result.error = Interrupted(
            "interrupted; the running file was rolled back",
            fix="run again: it goes on where this run stopped",
        )
    except psycopg2.Error as error:  # of a statement of ours, outside of any file
        state = error.pgcode or "08000"
        lost = state.startswith(("08", "57P"))
        kind = Unreachable if lost else ConfigurationError if state == "42501" else RunnerError
        result.error = kind(
            f"the database refused: {str(error).strip()}",
            fix="mend that and run again; runner status tells where it stands",
        )


@contextmanager
def opened(run: Run, result: Result, *, locked: bool) -> Iterator[Session]:
    """Open a session to the target, with the runner's lock where something may be written."""
    result.target = run.target.describe()
    session = Session(
        run.target, run_id=run.run_id, wait=run.connect_wait, progress=run.conduct.progress.note
    )
    try:
        result.target |= {
            "dbname": session.server.database,
            "user": session.server.login,
            "server_version": session.server.version_text,
        }
        if locked:
            session.lock(
                wait=run.lock_wait,
                deadline=run.conduct.deadline,
                progress=run.conduct.progress.note,
            )
        with cancelling(session.connection):
            yield session
    finally:
        session.close()


def _perform(
    run: Run,
    command: str,
    plan: Callable[[Folder, Sequence[history.Row]], list[Step]],
    *,
    single: bool = False,
    show: Callable[[Session, Sequence[Job]], Any] | None = None,
    on_drift: str = "warn",
    approve: Callable[[Session, Sequence[Job]], None] = lambda *_: None,
) -> Result:
    """Plan and run; with `show`, only plan and put what that says into the result."""
    result = Result(command, run.run_id)
    with reported(result):
        folder = read_folder(run.sql_dir)
        with opened(run, result, locked=show is None) as session:
            jobs = prepare(plan(folder, history.read(session.connection)))
            result.pending = [describe(job) for job in jobs]
            approve(session, jobs)
            if show:
                result.planned = True
                result.data = show(session, jobs)
            elif jobs:
                history.ensure(session.connection)
                result.warnings += drift.check(session, on_drift)
                try:
                    execute(run, session, result, jobs, single=single)
                finally:
                    if result.applied and not session.lost():
                        drift.record(session)
    return result


def execute(
    run: Run, session: Session, result: Result, jobs: Sequence[Job], *, single: bool = False
) -> None:
    """Run jobs in a session that holds the lock; each is in the result as soon as it is done."""
    transactions = Transactions(session, run.conduct)
    steps = Steps(session, run.conduct)
    if single:
        _refuse_mixed(jobs)
        try:
            done = transactions.run(jobs, None)
        except Incomplete as stopped:
            raise _never_fits(jobs[0], stopped, result) from stopped
        for job, entry in zip(jobs, done, strict=True):
            result.done(job, entry)
        return
    for job, following in zip(jobs, [*jobs[1:], None], strict=True):
        if run.conduct.deadline.passed():
            raise Incomplete(
                f"the deadline came before {job.migration.name}", fix="run again: it goes on there"
            )
        if not job.transactional:
            result.done(job, steps.run(job, first=not result.applied))
            continue
        ahead = following if following and following.transactional else None
        try:
            (entry,) = transactions.run([job], ahead)
        except Incomplete as stopped:
            raise _never_fits(job, stopped, result) from stopped
        result.done(job, entry)


def run_one(run: Run, session: Session, action: str, migration: Migration) -> dict[str, Any]:
    """Run one file, whatever the plan would say, and return its entry of the result."""
    result = Result("verify", run.run_id)
    execute(run, session, result, prepare([Step(action, migration, "to prove it")]))
    return result.applied[0]


def _refuse_mixed(jobs: Sequence[Job]) -> None:
    alone = [job.migration.name for job in jobs if not job.transactional]
    if alone:
        raise ValidationFailed(
            "these files cannot share a transaction",
            details=tuple(f"{name} is not transactional" for name in alone),
            fix="run without --single-transaction, or up to the file before with --target",
        )


def _never_fits(job: Job, stopped: Incomplete, result: Result) -> RunnerError:
    """Tell a run that will go on next time from one whose first file needs more than all its time.

    Called incomplete, the second would be run again for ever.
    """
    if result.applied:
        return stopped
    return MigrationFailed(
        "the file takes longer than a whole run may; it was rolled back",
        file=str(job.migration.path),
        fix="split it, or run it from the command line or CodeBuild, where there is more time",
    )
