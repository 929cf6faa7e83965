"""What migrate, plan and rollback do: lock, read the history, compute what remains, do it.

What is needed to run files is imported where there are any: most runs find nothing to do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from runner.database.session import Session
from runner.engine import once
from runner.engine.evidence import Evidence
from runner.engine.plan import Policy, Task, late, newest, plan_migrate, plan_rollback, waiting
from runner.engine.run import Files, Run, opened, reported
from runner.engine.snapshot import NONE, Snapshot
from runner.files.folder import Folder, Version, read_folder
from runner.history import others, read
from runner.history.table import Row
from runner.result import Preview, Result

if TYPE_CHECKING:
    from runner.engine.job import Job

# Says what remains to be done: files and history in, tasks out.
_Planner = Callable[[Session, Folder, Sequence[Row]], list[Task]]

# Seconds after which the files may be others than were read: a deployment does not wait for us.
_FRESH = 1.0


def migrate(
    run: Run,
    policy: Policy,
    *,
    single: bool = False,
    dry_run: bool = False,
    on_drift: str = "warn",
    plan_digests: Sequence[str] = (),
    evidence: Evidence | None = None,
    snapshot: Snapshot = NONE,
) -> Result:
    """Apply what is pending.

    Parameters:
        policy: what is allowed, and up to which version.
        single: all pending files in one transaction.
        dry_run: only plan: nothing is locked or written.
        on_drift: "warn", "fail" or "ignore" changes made outside the migrations.
        plan_digests: refuse anything but a plan of these digests, which somebody approved.
        evidence: what is known of the files from before, or why it is done without.
        snapshot: of the database as it is before, or that one is required.
    """
    result = Result("migrate", run.run_id)
    with reported(result), _open(run, result, policy, locked=not dry_run) as found:
        if dry_run:
            _approve(found, plan_digests)
            _preview(result, found.jobs)
            return result
        remarks = evidence.hold(_digests(found)) if evidence else {}
        jobs = _left(run, found, result, plan_digests)
        if jobs:
            result.warnings += [f"ran without evidence: {said['why']}" for said in remarks.values()]
            how = _How(remarks, snapshot, single=single, on_drift=on_drift)
            _apply(once.kept_for_fleet(run, plan_digests), found, result, jobs, how)
        elif on_drift == "fail":  # whoever asks for it wants to hear of it at every run
            from runner.engine import drift

            drift.check(found.session, on_drift, left=run.conduct.deadline.left())
        left = bool(policy.target) or len(result.held) > len(found.waits)
        result.data = None if left else {"files": found.folder.digest(held=not found.waits)}
    return result


def plan(run: Run, policy: Policy) -> Result:
    """Show what migrate would do to this database, and its digest; nothing is locked."""
    result = Result("plan", run.run_id)
    with reported(result), _open(run, result, policy, locked=False) as found:
        _look(run, result, found)
    return result


def look(run: Run, policy: Policy) -> tuple[Result, str | None]:
    """Return what migrate would run in a target of a fleet, and the digest of all in its state.

    Nothing is locked, and nothing but the history is looked at.
    """
    result, digest = Result("plan", run.run_id), None
    with reported(result), _open(run, result, policy, locked=False) as found:
        from runner.engine import risk

        result.planned = True
        digest = risk.fleet_digest(found.jobs, found.rows, after_deploy=found.after_deploy)
    return result, digest


def plan_first(folder: Path, run_id: str, policy: Policy, database: str) -> Result:
    """Show what migrate would do to a database that is still to be made: everything is new.

    Its digest is the one that a database without a history will ask for.

    Parameters:
        database: the name that it will have.
    """
    result = Result("plan", run_id)
    with reported(result):
        from runner.engine import risk

        jobs = _all_new(result, folder, policy)
        result.target = {"dbname": database}
        result.data = risk.first(jobs, database, after_deploy=policy.after_deploy)
    return result


def look_first(folder: Path, run_id: str, policy: Policy) -> tuple[Result, str | None]:
    """Return what `look` would of a target that is still to be made: everything is new."""
    result, digest = Result("plan", run_id), None
    with reported(result):
        from runner.engine import risk

        jobs = _all_new(result, folder, policy)
        digest = risk.fleet_digest(jobs, (), after_deploy=policy.after_deploy)
    return result, digest


def _all_new(result: Result, folder: Path, policy: Policy) -> list[Job]:
    """Return what would run where there is no history, and put it into the result of a plan."""
    files = Files(read_folder(folder), {})
    waits = waiting(files.folder, (), policy)
    tasks = plan_migrate(files.folder, (), policy=policy)
    jobs = _for_now(result, files, (), tasks, waits)
    result.planned = True
    result.await_tasks(job.describe() for job in jobs)
    return jobs


def rollback(
    run: Run,
    *,
    to: Version | None = None,
    steps: int | None = None,
    plan_digests: Sequence[str] = (),
    yes: bool = False,
    snapshot: Snapshot = NONE,
) -> Result:
    """Undo the newest versions, down to a version or by number; without `yes` show what it loses.

    Parameters:
        plan_digests: refuse anything but what was shown with one of these digests.
        snapshot: of the database as it is before, or that one is required.
    """
    result = Result("rollback", run.run_id)
    asked = partial(_to_undo, result, to=to, steps=steps)
    with reported(result), _planned(run, result, asked, locked=yes) as found:
        if yes:
            # Another text than any other call's, where nobody asks for the same call twice.
            kept = run._replace(asked=run.asked or os.urandom(16).hex())
            if jobs := _left(run, found, result, plan_digests):
                _apply(kept, found, result, jobs, _How({}, snapshot))
        else:
            _approve(found, plan_digests)
            _look(run, result, found)
    return result


def _open(
    run: Run, result: Result, policy: Policy, *, locked: bool
) -> AbstractContextManager[_Planned]:
    """Open the target, and give what a policy lets migrate do there."""

    def planner(session: Session, folder: Folder, rows: Sequence[Row]) -> list[Task]:
        if not rows and not policy.others:
            others.refuse(session)
        return plan_migrate(folder, rows, policy=policy, excused=_excused)

    return _planned(run, result, planner, locked=locked, policy=policy)


def _digests(found: _Planned) -> set[str]:
    """Return the digests of files that may be proved elsewhere for what is done here.

    Where the new code is still to come, an environment in which it is there as well as one in
    which it is not have had all that runs here.
    """
    every = {found.folder.digest()}
    return every if found.after_deploy else {*every, found.folder.digest(held=False)}


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
    asked = read.stopped_rollback(session) if steps else []
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
    shown: list[Preview] = [{"file": job.migration.name, "sql": job.beginning()} for job in jobs]
    result.planned, result.data = True, shown


class _Planned(NamedTuple):
    """What remains to be done in a target, and the history that says so."""

    session: Session
    folder: Folder
    jobs: list[Job]
    rows: tuple[Row, ...]
    waits: Mapping[str, str] = {}
    after_deploy: bool = False


class _How(NamedTuple):
    """How jobs are run; `remarks` are what the history says of the run, by the name of the line."""

    remarks: Mapping[str, Mapping[str, str]]
    snapshot: Snapshot
    single: bool = False
    on_drift: str = "warn"


def _apply(run: Run, planned: _Planned, result: Result, jobs: Sequence[Job], how: _How) -> None:
    from runner.engine.execution import apply

    if how.snapshot.missing:
        from runner.engine import risk

        how.snapshot.refuse(risk.losing(planned.session, jobs))
    with how.snapshot.advised():
        apply(
            run,
            planned.session,
            result,
            jobs,
            single=how.single,
            on_drift=how.on_drift,
            remarks={**how.remarks, **how.snapshot.remarks},
        )


def _look(run: Run, result: Result, planned: _Planned) -> None:
    from runner.engine import risk

    throttle = run.conduct.throttle.words()
    result.planned = True
    result.data = risk.document(
        planned.session, planned.jobs, planned.rows, throttle, after_deploy=planned.after_deploy
    )


def _left(
    run: Run, planned: _Planned, result: Result, digests: Sequence[str] = ()
) -> Sequence[Job]:
    """Return what is left to do of a call, which may have been made before under its run id."""
    asked = run.asked
    earlier = None if asked is None else once.earlier(planned.session, run.run_id, asked)
    if earlier is None:
        _approve(planned, digests)
        return planned.jobs
    result.earlier = earlier.applied
    jobs = earlier.approved(planned.jobs) if digests else earlier.undone_once(planned.jobs)
    result.await_tasks(job.describe() for job in jobs)
    return jobs


def _approve(planned: _Planned, digests: Sequence[str]) -> None:
    """Refuse anything but a plan whose digest was approved, where one was.

    It may be the plan's own, or that of every target of a fleet that is in the same state. There a
    target that is done needs none, and one that was stopped goes on with what was approved for it.
    """
    fleet = all(digest.startswith(once.FLEET) for digest in digests)
    if not digests or (fleet and not planned.jobs):
        return
    from runner.engine import risk

    jobs, rows, after = planned.jobs, planned.rows, planned.after_deploy
    own = risk.digest(jobs, risk.place(planned.session), rows, after_deploy=after)
    every = risk.fleet_digest(jobs, rows, after_deploy=after)
    if not {own, every} & set(digests):
        if fleet and once.is_rest(planned.session, digests, planned.jobs):
            return
        now = every if fleet else own
        raise once.not_approved(f"approved: {', '.join(digests)}", f"now:      {now}")


@contextmanager
def _planned(
    run: Run, result: Result, planner: _Planner, *, locked: bool, policy: Policy | None = None
) -> Iterator[_Planned]:
    """Open the target, read its history, and give what remains to be done there."""
    files = run.files or Files(read_folder(run.sql_dir), {})
    began = time.monotonic()
    with opened(run, result, locked=locked) as session:
        if run.files is None and time.monotonic() - began > _FRESH:
            files = Files(read_folder(run.sql_dir), {})
        folder, rows = files.folder, read.read(session)
        result.version = newest(rows)
        result.warnings += late(folder, rows, partial(read.baselined, session))
        waits = waiting(folder, rows, policy) if policy else {}
        jobs = _for_now(result, files, rows, planner(session, folder, rows), waits)
        if any(job.migration.directives.batch for job in jobs):
            from runner.engine.foresight import require

            require(session, run.conduct, jobs)
        result.await_tasks(job.describe() for job in jobs)
        after_deploy = policy is not None and policy.after_deploy
        yield _Planned(session, folder, jobs, rows, waits, after_deploy)


def _for_now(
    result: Result, files: Files, rows: Sequence[Row], tasks: list[Task], waits: Mapping[str, str]
) -> list[Job]:
    """Return the jobs that run now; those that wait are in the result, and checked as well.

    Parameters:
        waits: what waits for the new code, by version, and why.
    """
    now, held = _split(files.folder, rows, tasks, waits)
    jobs = _prepared([*now, *held], files)
    for job in jobs[len(now) :]:
        result.hold(job.describe())
    return jobs[: len(now)]


def _split(
    folder: Folder, rows: Sequence[Row], tasks: list[Task], waits: Mapping[str, str]
) -> tuple[list[Task], list[Task]]:
    """Return the tasks for now, and those that wait for the new code, or for a backfill or are one.

    Parameters:
        waits: what waits for the new code, by version, and why.
    """
    held = [
        task._replace(why=waits[task.migration.key])
        for task in tasks
        if task.migration.key in waits
    ]
    left = [task for task in tasks if task.migration.key not in waits]
    undo = any(task.action == "undo" for task in tasks)
    if undo or not any(file.directives.in_background for file in folder.versioned):
        return left, held
    from runner.engine.held import split

    now, later = split(folder, rows, left)
    return now, [*later, *held]


def _excused(folder: Folder) -> Collection[str]:
    from runner.engine.held import excused

    return excused(folder)


def _prepared(tasks: list[Task], files: Files) -> list[Job]:
    """Return tasks as jobs: their files are looked at here."""
    if not tasks:
        return []
    from runner.engine.job import prepare

    return prepare(tasks, files.checked)
