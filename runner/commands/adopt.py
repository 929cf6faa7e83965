"""Take over the history of another tool, after checking that the files are those it applied.

The other tool's table is only read, but for pgmigrate's, which has our table's name: it is
kept under another name.
"""

from __future__ import annotations

import psycopg2

from runner.commands.histories import TOOLS, Applied
from runner.database.session import Session
from runner.engine.run import Run, opened, reported
from runner.errors import ConfigurationError, ValidationFailed
from runner.files.folder import Folder, Version, read_folder
from runner.history import read
from runner.history.table import COLUMNS, TABLE, Record, create
from runner.history.write import Writer, ensure, set_pgmigrate_aside
from runner.result import Result


def adopt(run: Run, tool: str, *, at: Version | None = None, yes: bool = False) -> Result:
    """Write our history from another tool's; shows it first, and writes with `yes`.

    Parameters:
        tool: one of TOOLS.
        at: the newest of our files that the database holds already, where the other tool's
            names do not say it (Alembic, or Knex with other numbers).
    """
    result = Result("adopt", run.run_id)
    with reported(result):
        folder = read_folder(run.sql_dir)
        with opened(run, result, locked=True) as session:
            _refuse_history(session, tool)
            found = _found(session, tool, folder, at)
            problems = _mismatches(tool, folder, found)
            if problems:
                raise ValidationFailed(
                    f"{tool}'s history and the files do not match",
                    details=tuple(problems),
                    fix="nothing was written; bring the files that were applied into the folder",
                )
            result.data = [f"{entry.key}  {entry.name}" for entry in found]
            if yes:
                _write(session, run, tool, folder, found)
                result.changed = True
            else:
                result.planned = True
    return result


def _refuse_history(session: Session, tool: str) -> None:
    try:
        rows = read.read(session)
    except ValidationFailed:
        if tool == "pgmigrate":
            return
        raise
    if rows:
        raise ValidationFailed(f"there is a history of {len(rows)} migrations already")
    if tool == "pgmigrate":
        raise ValidationFailed(f"{session.target.home}.{TABLE} is not pgmigrate's")


def _found(session: Session, tool: str, folder: Folder, at: Version | None) -> list[Applied]:
    try:
        found = TOOLS[tool](session, folder)
    except psycopg2.errors.UndefinedTable as error:
        raise ValidationFailed(f"no history of {tool} here: {error}".strip()) from error
    except psycopg2.errors.UndefinedColumn as error:
        raise ValidationFailed(f"that is not {tool}'s history: {error}".strip()) from error
    if at is not None:
        return [Applied(file.key, file.name) for file in folder.versioned if file.version <= at]
    if found is None:
        raise ConfigurationError(
            f"{tool}'s names do not say which of the files are applied",
            fix="name the newest file whose changes are in the database: --at V",
        )
    return found


def _mismatches(tool: str, folder: Folder, found: list[Applied]) -> list[str]:
    files = folder.by_key()
    problems = []
    for entry in found:
        file = files.get(entry.key)
        if file is None and entry.kind != "baseline":
            what = f"version {entry.key} ({entry.name})" if entry.key != entry.name else entry.name
            problems.append(f"{what} is applied, but has no file")
        elif file and entry.kind == "versioned" and entry.was_edited(file):
            problems.append(f"{file.name}: not the file that {tool} applied (its checksum differs)")
    return problems


def _write(session: Session, run: Run, tool: str, folder: Folder, found: list[Applied]) -> None:
    files = folder.by_key()
    writer = Writer.of(session)
    parts, home = ["begin"], session.target.home
    if tool == "pgmigrate":
        parts += [set_pgmigrate_aside(home), *(create(name, home) for name in COLUMNS)]
    else:
        ensure(session)
    for entry in found:
        file = files.get(entry.key)
        record = Record(
            entry.key,
            entry.kind,
            file.description if file else entry.name,
            file.name if file else None,
            # A repeatable that was edited since waits to be run again, with others as with us.
            file.checksum if file and not entry.was_edited(file) else None,
            run.run_id,
        )
        parts.append(writer.adopted(record, entry.at, entry.by))
        parts.append(writer.event("adopt", record, details={"from": tool, "name": entry.name}))
    session.run("; ".join([*parts, "commit"]))
