"""What keeps history and files together when people intervened: baseline and repair."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from runner.engine.plan import changed
from runner.engine.run import Run, opened, reported
from runner.errors import ConfigurationError, ValidationFailed
from runner.files.folder import Folder, Version, canonical, parse_version, read_folder
from runner.history import table as history
from runner.history import write as records
from runner.history.table import Record, Row
from runner.result import Result


class Change(NamedTuple):
    """One change to the history: what it is for a person, and its SQL."""

    text: str
    sql: str
    row: Row


def baseline(run: Run, version: Version) -> Result:
    """Take everything up to a version as applied: for a database that was there before us.

    A history that has anything in it already is refused.
    """
    result = Result("baseline", run.run_id)
    with reported(result), opened(run, result, locked=True) as session:
        rows = history.read(session.connection)
        if rows:
            raise ValidationFailed(
                f"the history has {len(rows)} migrations; a baseline begins one",
                fix="baseline only a database that no migration has been applied to",
            )
        history.ensure(session.connection)
        key = canonical(version)
        record = Record(key, "baseline", "baseline", None, None, run.run_id)
        logged = records.event("baseline", record)
        session.run(f"begin; {records.baselined(record)}; {logged}; commit")
        result.data = [f"everything up to version {key} counts as applied"]
        result.changed = True
    return result


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
            rows = {row.version: row for row in history.read(session.connection)}
            if done or again or forget:
                changes = list(_chosen(rows, done=done, again=again, forget=forget))
            else:
                changes = list(_differences(folder, rows.values()))
            result.data = [change.text for change in changes]
            if not yes:
                result.planned = True
            elif changes:
                written = [f"{change.sql}; {_logged(change, run.run_id)}" for change in changes]
                session.run(f"begin; {'; '.join(written)}; commit")
                result.changed = True
    return result


def _logged(change: Change, run_id: str) -> str:
    row = change.row
    record = Record(row.version, row.kind, row.description, row.file, row.checksum, run_id)
    return records.event("repair", record, details={"change": change.text})


def _differences(folder: Folder, rows: Iterable[Row]) -> Iterable[Change]:
    """Yield what makes the history fit the files.

    A version newer than every file may be of a newer deployment: only --forget forgets it.
    """
    files = folder.by_key()
    newest = max((migration.version for migration in folder.versioned), default=())
    for row in rows:
        if row.kind != "versioned":
            continue
        file = files.get(row.version)
        if file is None and parse_version(row.version) < newest:
            text = f"forget version {row.version} ({row.description}): its file is gone"
            yield Change(text, records.forgotten(row.version), row)
        elif file and changed(file, row):
            text = f"accept {file.name} as it is now ({row.checksum} becomes {file.checksum})"
            yield Change(text, records.accepted(row.version, file.checksum, file.name), row)


def _chosen(
    rows: dict[str, Row], *, done: str | None, again: str | None, forget: str | None
) -> Iterable[Change]:
    """Yield what a person decided about single versions."""
    if forget:
        row = _row(rows, forget)
        yield Change(f"forget version {row.version}", records.forgotten(row.version), row)
    for version, took_effect in ((done, True), (again, False)):
        if not version:
            continue
        row = _row(rows, version)
        if not row.step_in_doubt:
            raise ConfigurationError(f"version {row.version} has no statement in doubt")
        what = row.step_in_doubt
        if took_effect:
            sql = records.step_done(row.version, what["digest"])
        else:
            sql = records.step_failed(row.version)
        outcome = "took effect" if took_effect else "did not take effect"
        yield Change(f"version {row.version}: this {outcome}: {what['text']}", sql, row)


def _row(rows: dict[str, Row], version: str) -> Row:
    key = version if version.startswith("R__") else canonical(parse_version(version))
    if key not in rows:
        raise ConfigurationError(f"version {key} is not in the history", fix="see: runner status")
    return rows[key]
