"""Where a database stands against the files, as `status`, `validate` and `history` show it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from runner.engine import drift
from runner.engine.job import examine
from runner.engine.plan import baseline, check
from runner.engine.run import Run, opened, reported
from runner.errors import RunnerError, ValidationFailed
from runner.files.folder import Folder, parse_version, read_folder
from runner.history import table as history
from runner.result import Result
from runner.syntax.statements import executable


class Behind(RunnerError):
    """`status --check` found migrations that are not applied."""

    exit_code = 8
    kind = "incomplete"


def status(run: Run, *, check_only: bool, with_drift: bool = False) -> Result:
    """List every migration with its state.

    Parameters:
        check_only: fail unless the database is exactly at the files.
        with_drift: also look for changes outside the migrations, and fail where there are any.
    """
    result = Result("status", run.run_id)
    with reported(result):
        folder = read_folder(run.sql_dir)
        with opened(run, result, locked=False) as session:
            rows = history.read(session.connection)
            drifted = drift.found(session) if with_drift else []
        result.data = entries(folder, rows)
        problems = check(folder, rows)
        result.warnings = problems
        pending = [entry["version"] for entry in result.data if entry["state"] in _PENDING]
        if check_only and problems:
            raise ValidationFailed("files and history do not fit", details=tuple(problems))
        if check_only and pending:
            raise Behind(f"not applied: {', '.join(pending)}", fix="runner migrate")
        if drifted:
            raise drift.drifted(drifted)
    return result


_PENDING = {"pending", "to run again", "half applied", "half undone"}


def entries(folder: Folder, rows: Sequence[history.Row]) -> list[dict[str, Any]]:
    """Return one entry for each migration that is a file or in the history."""
    by_key = {row.version: row for row in rows}
    files = folder.by_key()
    floor = baseline(rows)
    found = [
        {
            "version": key,
            "description": (row.description if row else files[key].description),
            "state": _state(key, row, folder, floor),
            "undo": key in folder.undo,
            "file": files[key].name if key in files else None,
            "applied_at": row.applied_at.isoformat(timespec="seconds") if row else None,
            "applied_by": row.applied_by if row else None,
            "run_id": row.run_id if row else None,
            "duration_ms": row.duration_ms if row else None,
        }
        for key in {**by_key, **files}
        for row in (by_key.get(key),)
    ]
    return sorted(found, key=lambda entry: _order(entry["version"]))


def _order(key: str) -> tuple[bool, tuple[int, ...], str]:
    repeatable = key.startswith("R__")
    return repeatable, () if repeatable else parse_version(key), key


def _state(key: str, row: history.Row | None, folder: Folder, floor: tuple[int, ...]) -> str:
    file = folder.by_key().get(key)
    if row is None:
        below = not key.startswith("R__") and parse_version(key) <= floor
        return "below the baseline" if below else "pending"
    if row.kind == "baseline":
        return "baseline"
    if row.state != "applied":
        return {"applying": "half applied", "undoing": "half undone"}[row.state]
    if file is None:
        return "applied, file is gone" if row.kind == "repeatable" else "applied, file missing"
    if row.checksum == file.checksum:
        return "applied"
    return "to run again" if row.kind == "repeatable" else "applied, file changed"


def validate(run: Run | None, sql_dir: Any, run_id: str) -> Result:
    """Check every file offline and, given a run, the files against its database."""
    result = Result("validate", run_id)
    with reported(result):
        folder = read_folder(sql_dir)
        problems = file_problems(folder)
        if run:
            with opened(run, result, locked=False) as session:
                problems += check(folder, history.read(session.connection))
        if problems:
            raise ValidationFailed(
                f"{len(problems)} problem{'s' * (len(problems) > 1)}", details=tuple(problems)
            )
    return result


def file_problems(folder: Folder) -> list[str]:
    """Return what is wrong with the SQL of any file."""
    migrations: Iterable[Any] = (*folder.versioned, *folder.undo.values(), *folder.repeatable)
    problems: list[str] = []
    for migration in migrations:
        problems += examine(migration, executable(migration.text()))[0]
    return problems


def show_history(run: Run, limit: int) -> Result:
    """List what was done, undone, repaired: by whom, when, in which run."""
    result = Result("history", run.run_id)
    with reported(result), opened(run, result, locked=False) as session:
        result.data = history.log(session.connection, limit)
    return result
