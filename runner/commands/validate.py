"""`runner validate`: every file, offline; and the files against a database's history."""

from __future__ import annotations

from pathlib import Path

from runner.engine.plan import check
from runner.engine.run import Run, opened, reported
from runner.errors import ValidationFailed
from runner.files.folder import Folder, read_folder
from runner.files.pieces import problems_in
from runner.history import read
from runner.result import Result


def validate(run: Run | None, sql_dir: Path, run_id: str) -> Result:
    """Check every file offline and, given a run, the files against its database."""
    result = Result("validate", run_id)
    with reported(result):
        folder = read_folder(sql_dir)
        problems = file_problems(folder)
        if run:
            with opened(run, result, locked=False) as session:
                problems += check(folder, read.read(session))
        if problems:
            raise ValidationFailed(
                f"{len(problems)} problem{'s' * (len(problems) > 1)}", details=tuple(problems)
            )
    return result


def file_problems(folder: Folder) -> list[str]:
    """Return what is wrong with the SQL of any file."""
    files = (*folder.versioned, *folder.undo.values(), *folder.repeatable)
    return [problem for migration in files for problem in problems_in(migration)]
