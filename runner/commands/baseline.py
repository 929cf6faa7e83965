"""`runner baseline`: begin a history in a database that was there before us."""

from __future__ import annotations

from runner.engine.run import Run, opened, reported
from runner.errors import ValidationFailed
from runner.files.folder import Version, canonical
from runner.history import read, write
from runner.history.table import Record
from runner.report.wording import many
from runner.result import Result


def baseline(run: Run, version: Version) -> Result:
    """Take everything up to a version as applied: for a database that was there before us.

    A history that has anything in it already is refused.
    """
    result = Result("baseline", run.run_id)
    with reported(result), opened(run, result, locked=True) as session:
        rows = read.read(session.connection)
        if rows:
            raise ValidationFailed(
                f"the history has {many(len(rows), 'migration')}; a baseline begins one",
                fix="baseline only a database that no migration has been applied to",
            )
        write.ensure(session.connection)
        key = canonical(version)
        record = Record(key, "baseline", "baseline", None, None, run.run_id)
        writer = write.Writer(session.connection)
        logged = writer.event("baseline", record)
        session.run(f"begin; {writer.baselined(record)}; {logged}; commit")
        result.data = [f"everything up to version {key} counts as applied"]
        result.changed = True
    return result
