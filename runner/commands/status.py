"""`runner status`: where a database stands against the files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from runner.database.session import Session
from runner.engine import drift
from runner.engine.key import Unusable, find
from runner.engine.plan import baseline, check, late, runs_by
from runner.engine.run import Run, opened, reported
from runner.engine.standing import seen, standing
from runner.errors import Behind, ValidationFailed
from runner.files.folder import Folder, Migration, Version, parse_version, read_folder
from runner.history import read
from runner.history.table import Row
from runner.result import Backfill, Result, Standing

HELD = "waits for the deploy"
PENDING = {"pending", HELD, "to run again", "half applied", "half undone"}


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
            rows = read.read(session)
            passed_over = late(folder, rows, partial(read.baselined, session))
            begun = _backfills(session, folder, rows)
            drifted = drift.differences(session) if with_drift else []
        result.data = standings = entries(folder, rows)
        for entry in standings:
            if entry["version"] in begun:
                entry["backfill"] = begun[entry["version"]]
        problems = check(folder, rows)
        result.warnings = [*problems, *passed_over]
        pending = [entry["version"] for entry in standings if entry["state"] in PENDING]
        if check_only and problems:
            raise ValidationFailed("files and history do not fit", details=tuple(problems))
        if check_only and pending:
            held = {entry["state"] for entry in standings} & PENDING == {HELD}
            more = " --after-deploy, once the new code is there" if held else ""
            raise Behind(f"not applied: {', '.join(pending)}", fix=f"runner migrate{more}")
        if drifted:
            raise drift.drifted(drifted)
    return result


def _backfills(session: Session, folder: Folder, rows: Sequence[Row]) -> dict[str, Backfill]:
    """Return how far the backfills are that have begun and are not done, by version."""
    found = {}
    for row in rows:
        file, point = runs_by(row, folder), row.checkpoint
        if row.state != "applied" and file and point and (batch := file.directives.batch):
            try:
                found[row.version] = seen(session, find(session, batch), batch, point)
            except Unusable:  # whoever goes on with it says why
                found[row.version] = standing(batch, point)
    return found


def entries(folder: Folder, rows: Sequence[Row]) -> list[Standing]:
    """Return one entry for each migration that is a file or in the history."""
    by_key = {row.version: row for row in rows}
    files = folder.by_key()
    floor = baseline(rows)
    found = [
        _entry(key, files.get(key), by_key.get(key), undo=key in folder.undo, floor=floor)
        for key in {**by_key, **files}
    ]
    return sorted(found, key=lambda entry: _order(entry["version"]))


def _order(key: str) -> tuple[bool, Version, str]:
    repeatable = key.startswith("R__")
    return repeatable, () if repeatable else parse_version(key), key


def _entry(
    key: str, file: Migration | None, row: Row | None, *, undo: bool, floor: Version
) -> Standing:
    return {
        "version": key,
        "description": row.description if row else file.description if file else "",
        "state": _state(key, file, row, floor),
        "undo": undo,
        "file": file.name if file else None,
        "applied_at": row.applied_at.isoformat(timespec="seconds") if row else None,
        "applied_by": row.applied_by if row else None,
        "run_id": row.run_id if row else None,
        "duration_ms": row.duration_ms if row else None,
    }


def _state(key: str, file: Migration | None, row: Row | None, floor: Version) -> str:
    if row is None:
        return _to_come(key, file, floor)
    if row.kind == "baseline":
        return "baseline"
    if row.state != "applied":
        return {"applying": "half applied", "undoing": "half undone"}[row.state]
    if file is None:
        return "applied, file is gone" if row.kind == "repeatable" else "applied, file missing"
    if row.checksum == file.checksum:
        return "applied"
    return "to run again" if row.kind == "repeatable" else "applied, file changed"


def _to_come(key: str, file: Migration | None, floor: Version) -> str:
    """Return the state of a file that the history does not know."""
    if not key.startswith("R__") and parse_version(key) <= floor:
        return "below the baseline"
    return HELD if file and file.directives.after_deploy else "pending"
