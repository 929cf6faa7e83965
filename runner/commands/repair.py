"""`runner repair`: make the history fit the files after a person has looked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from runner.engine.plan import changed, other_than_begun, runs_by
from runner.engine.run import Run, opened, reported
from runner.errors import ConfigurationError
from runner.files.folder import Folder, canonical, composed, parse_version, read_folder
from runner.history import read, write
from runner.history.table import Record, Row, Step
from runner.history.write import Writer
from runner.result import Result


class Change(NamedTuple):
    """One change to the history: what it is for a person, its SQL, and the file it accepts."""

    text: str
    sql: str
    row: Row
    accepts: str | None = None


def repair(
    run: Run,
    *,
    done: str | None = None,
    again: str | None = None,
    forget: str | None = None,
    yes: bool = False,
) -> Result:
    """Mend the history after a person has looked; says what it would change, then needs `yes`.

    Parameters:
        done: a half-done version whose statement in doubt took effect.
        again: a half-done version whose statement in doubt did not.
        forget: a version whose row is to go; nothing in the database is undone.
        yes: do it. Without any version, the history is made to fit the files.
    """
    result = Result("repair", run.run_id)
    with reported(result):
        folder = read_folder(run.sql_dir)
        with opened(run, result, locked=True) as session:
            rows = {row.version: row for row in read.read(session)}
            writer = Writer.of(session)
            if done or again or forget:
                changes = list(_chosen(writer, rows, done=done, again=again, forget=forget))
            else:
                changes = list(_differences(writer, folder, rows.values()))
            result.data = [change.text for change in changes]
            result.warnings += _not_run(changes)
            if not yes:
                result.planned = True
            elif changes:
                write.respell(session)
                written = [f"{c.sql}; {_logged(writer, c, run.run_id)}" for c in changes]
                session.run(f"begin; {'; '.join(written)}; commit")
                result.changed = True
    return result


def _not_run(changes: Iterable[Change]) -> list[str]:
    """Return what the history will not tell of files that it takes as they are now."""
    names = ", ".join(change.accepts for change in changes if change.accepts)
    said = (
        f"repair runs no SQL: what {names} says now and did not say when it was applied is not in"
        " the database; a new migration brings it there: runner new"
    )
    return [said] if names else []


def _logged(writer: Writer, change: Change, run_id: str) -> str:
    row = change.row
    record = Record(row.version, row.kind, row.description, row.file, row.checksum, run_id)
    return writer.event("repair", record, details={"change": change.text})


def _differences(writer: Writer, folder: Folder, rows: Iterable[Row]) -> Iterable[Change]:
    """Yield what makes the history fit the files.

    A version newer than every file may be of a newer deployment: only --forget forgets it.
    """
    files = folder.by_key()
    newest = max((migration.version for migration in folder.versioned), default=())
    for row in rows:
        if row.kind != "versioned":
            continue
        file = files.get(row.version)
        going_on = runs_by(row, folder)
        if going_on and row.checkpoint and other_than_begun(going_on, row):
            text = f"go on with {going_on.name} as it is now, after {row.progress()}"
            sql = writer.moved(
                row.version, row.checkpoint, row.checkpoint._replace(checksum=going_on.checksum)
            )
            yield Change(text, sql, row, accepts=going_on.name)
        elif file is None and parse_version(row.version) < newest:
            text = f"forget version {row.version} ({row.description}): its file is gone"
            yield Change(text, writer.forgotten(row.version), row)
        elif file and changed(file, row):
            text = f"accept {file.name} as it is now ({row.checksum} becomes {file.checksum})"
            sql = writer.accepted(row.version, file.checksum, file.name)
            yield Change(text, sql, row, accepts=file.name)


def _chosen(
    writer: Writer, rows: dict[str, Row], *, done: str | None, again: str | None, forget: str | None
) -> Iterable[Change]:
    """Yield what a person decided about single versions."""
    if forget:
        row = _row(rows, forget)
        yield Change(f"forget version {row.version}", writer.forgotten(row.version), row)
    for version, took_effect in ((done, True), (again, False)):
        if not version:
            continue
        row = _row(rows, version)
        if not row.step_in_doubt:
            raise ConfigurationError(f"version {row.version} has no statement in doubt")
        doubt = row.step_in_doubt
        if took_effect:
            sql = writer.step_done(row.version, Step(doubt.digest))
        else:
            sql = writer.step_failed(row.version)
        outcome = "took effect" if took_effect else "did not take effect"
        yield Change(f"version {row.version}: this {outcome}: {doubt.text}", sql, row)


def _row(rows: dict[str, Row], version: str) -> Row:
    key = composed(version) if version.startswith("R__") else canonical(parse_version(version))
    if key not in rows:
        raise ConfigurationError(f"version {key} is not in the history", fix="see: runner status")
    return rows[key]
