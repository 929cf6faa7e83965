"""`runner validate`: every file, offline; and the files against a database's history."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from runner.engine.plan import check
from runner.engine.run import Run, opened, reported
from runner.errors import ValidationFailed
from runner.files.examine import described
from runner.files.folder import Folder, Migration, read_folder
from runner.files.pieces import problems_in
from runner.history import read
from runner.result import Result
from runner.syntax.cluster import reaches_server
from runner.syntax.lexer import Problem
from runner.syntax.scanner import scan


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


def refuse_reaching(files: Iterable[Migration], what: str, *, fix: str) -> None:
    """Refuse files that would do to somebody's server what is meant for one of its databases.

    Parameters:
        what: is to be done with them, for a person.
        fix: how it can be done.

    Raises:
        ValidationFailed: with each place that reaches further.
    """
    found = []
    for migration in files:
        text = migration.text()
        for statement in scan(text):
            if reached := reaches_server(statement):
                problem = Problem(statement.start, f"{reached} reaches the whole server", "")
                found.append(described(migration, text, problem))
    if found:
        raise ValidationFailed(
            f"these files cannot be {what} on a server that has other databases",
            details=tuple(found),
            fix=fix,
        )
