"""`runner baseline`: begin a history in a database that was there before us."""

from __future__ import annotations

from runner.database.session import Session
from runner.engine.run import Run, opened, reported
from runner.errors import ValidationFailed
from runner.files.folder import Folder, Version, canonical, read_folder
from runner.history import read, write
from runner.history.table import Record
from runner.report.wording import many
from runner.result import Result


def baseline(run: Run, version: Version, *, yes: bool = False) -> Result:
    """Take everything up to a version as applied: for a database that was there before us.

    A history that has anything in it already is refused.

    Parameters:
        yes: do it; without, the result says what that would mean.
    """
    result = Result("baseline", run.run_id)
    with reported(result):
        folder = read_folder(run.sql_dir)
        with opened(run, result, locked=yes) as session:
            rows = read.read(session)
            if rows:
                raise ValidationFailed(
                    f"the history has {many(len(rows), 'migration')}; a baseline begins one",
                    fix="baseline only a database that no migration has been applied to",
                )
            result.data = _meaning(folder, version)
            if yes:
                _write(run, session, version, _below(folder, version))
            result.planned, result.changed = not yes, yes
    return result


def _meaning(folder: Folder, version: Version) -> list[str]:
    """Return what a baseline does to each file: those up to it will never run here."""
    files = [(migration.version <= version, migration.name) for migration in folder.versioned]
    never, later = ([name for passed, name in files if passed is it] for it in (True, False))
    said = {"never run here": never, "still to run": later}
    return [
        f"everything up to version {canonical(version)} counts as applied",
        *(f"{what}: {', '.join(names)}" for what, names in said.items() if names),
    ]


def _below(folder: Folder, version: Version) -> list[str]:
    return [migration.key for migration in folder.versioned if migration.version <= version]


def _write(run: Run, session: Session, version: Version, below: list[str]) -> None:
    write.ensure(session)
    record = Record(canonical(version), "baseline", "baseline", None, None, run.run_id)
    writer = write.Writer.of(session)
    logged = writer.event("baseline", record, details={"below": below})
    session.run(f"begin; {writer.baselined(record)}; {logged}; commit")
