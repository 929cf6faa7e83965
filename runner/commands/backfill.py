"""`runner backfill`: go on with the backfills that a migrate has left for the background."""

from __future__ import annotations

from functools import partial

from runner.engine import lock
from runner.engine.backfill import Backfills
from runner.engine.job import prepare
from runner.engine.plan import Task, check
from runner.engine.run import Run, opened, reported
from runner.errors import ValidationFailed
from runner.files.folder import read_folder
from runner.history import read
from runner.result import Result


def backfill(run: Run) -> Result:
    """Run what is in the background, beside a migrate but never twice at once.

    Only what a migrate has begun is run: it is what was approved.
    """
    result = Result("backfill", run.run_id)
    with (
        reported(result),
        opened(run, result, locked=True, what=lock.BACKGROUND) as session,
    ):
        folder, rows = read_folder(run.sql_dir), read.read(session)
        problems = check(folder, rows, ahead=True)
        if problems:
            raise ValidationFailed(
                "files and history do not fit",
                details=tuple(problems),
                fix="nothing was run; each line says what to do",
            )
        files = folder.by_key()
        jobs = prepare(
            Task("apply", file, f"in the background, {row.progress()} done", row)
            for row in rows
            if row.state == "applying" and row.checkpoint and (file := files.get(row.version))
            if file.directives.in_background
        )
        result.await_tasks(job.describe() for job in jobs)
        progress, deadline = run.conduct.progress, run.conduct.deadline
        alone = partial(
            lock.taken, session, wait=run.lock_wait, deadline=deadline, progress=progress.note
        )
        backfills = Backfills(session, run.conduct, result.moved, lock=lock.BACKGROUND, alone=alone)
        progress.planned(len(jobs))
        for job in jobs:
            for _, done in backfills.run(job, first=not result.applied):
                result.done(done.entry(job))
    return result
