"""Proof that migrations can be undone: up, down and up again on a database made for it.

After a down file the catalog must be what it was before the up file, to the last grant; after
the second up what it was after the first. With sample rows, a down that loses data is named.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import psycopg2

from runner.commands import samples
from runner.commands.status import file_problems
from runner.database import catalog, connection
from runner.database.catalog import Catalog
from runner.database.session import Session
from runner.engine.attempt import Silence
from runner.engine.run import Run, opened, reported, run_one
from runner.errors import Refused, RunnerError, Unreachable, ValidationFailed
from runner.files.folder import Folder, Migration, read_folder
from runner.history import table as history
from runner.result import Result

_TRACED = ("locks", "rewritten", "dropped", "held_ms")
_SHOWN = 30  # lines of a difference


class NotProved(Refused):
    """A migration is not undone by its U file."""


def verify(run: Run, *, sample_rows: bool = False) -> Result:
    """Prove every migration of the folder on a scratch database of the target's server.

    Parameters:
        sample_rows: prove as well, on tables with rows, that nothing fails or gets lost.
    """
    result = Result("verify", run.run_id)
    run = run._replace(conduct=run.conduct._replace(progress=Silence()))
    with reported(result):
        folder = read_folder(run.sql_dir)
        problems = file_problems(folder)
        if problems:
            raise ValidationFailed("the files have problems", details=tuple(problems))
        entries: list[dict[str, Any]] = []
        with scratch(run, result) as session:
            _prove_each(run, session, folder, entries)
            _prove_whole(run, session, folder, entries)
        if sample_rows:
            with scratch(run, result) as session:
                samples.prove(run, session, folder, entries)
        result.data = {"server_version": result.target["server_version"], "migrations": entries}
        wrong = [entry for entry in entries if entry["problems"]]
        if wrong:
            details = [f"{entry['file']}: {line}" for entry in wrong for line in entry["problems"]]
            raise NotProved(
                f"{len(wrong)} of {len(entries)} migrations are not proved",
                details=tuple(details),
                fix="mend the U files (or say why not: -- runner: irreversible: <reason>)",
            )
    return result


@contextmanager
def scratch(run: Run, result: Result) -> Iterator[Session]:
    """Give a session on a new, empty database of the target's server, dropped afterwards."""
    name = f"runner_verify_{secrets.token_hex(6)}"
    with closing(
        connection.connect(run.target, run_id=run.run_id, wait=run.connect_wait)
    ) as administrator:
        try:
            administrator.cursor().execute(f"create database {name}")
        except psycopg2.errors.InsufficientPrivilege as error:
            raise Unreachable(
                f"a scratch database cannot be made here: {str(error).strip()}",
                fix="verify on a server where this role has CREATEDB, or without --database-url"
                " on the embedded PostgreSQL",
            ) from error
        try:
            parameters = {**run.target.parameters, "dbname": name}
            there = run._replace(target=run.target._replace(parameters=parameters))
            with opened(there, result, locked=True) as session:
                history.ensure(session.connection)
                yield session
        finally:
            administrator.cursor().execute(f"drop database if exists {name} with (force)")


def _prove_each(run: Run, session: Session, folder: Folder, entries: list[dict[str, Any]]) -> None:
    """Prove the versions one after the other, each on what those before it left."""
    before = catalog.read(session.connection)
    for migration in folder.versioned:
        entry = _entry(folder, migration)
        entries.append(entry)
        undo = folder.undo.get(migration.key)
        applied = run_one(run, session, "apply", migration)
        entry["up_ms"] = applied["duration_ms"]
        entry |= {name: applied[name] for name in _TRACED if name in applied}
        after = catalog.read(session.connection)
        if undo:
            _round(run, session, entry, (migration, undo), (before, after))
        elif not migration.directives.irreversible:
            entry["problems"].append("there is no U file")
        entry["proved"] = bool(undo) and not entry["problems"]
        before = catalog.read(session.connection)


def _round(
    run: Run,
    session: Session,
    entry: dict[str, Any],
    files: tuple[Migration, Migration],
    catalogs: tuple[Catalog, Catalog],
) -> None:
    """Go down and up again, comparing each time; a failing U file is a problem, not an end."""
    up, down = files
    before, after = catalogs
    try:
        entry["down_ms"] = run_one(run, session, "undo", down)["duration_ms"]
    except RunnerError as error:
        entry["problems"].append(f"{down.name} fails: {error.message}")
        return
    entry["problems"] += _compare(before, session, f"after {down.name} the schema differs")
    try:
        entry["up_again_ms"] = run_one(run, session, "apply", up)["duration_ms"]
    except RunnerError as error:
        message = f"after {down.name}, {up.name} cannot be applied again: {error.message}"
        raise NotProved(
            message, details=tuple(entry["problems"]), fix=f"mend {down.name}"
        ) from error
    entry["problems"] += _compare(after, session, f"applied again, {up.name} gives another schema")


def _prove_whole(run: Run, session: Session, folder: Folder, entries: list[dict[str, Any]]) -> None:
    """Prove the repeatables, and that everything goes down and up with them in place."""
    for migration in folder.repeatable:
        entry = _entry(folder, migration)
        entries.append(entry)
        entry["up_ms"] = run_one(run, session, "repeat", migration)["duration_ms"]
        once = catalog.read(session.connection)
        entry["up_again_ms"] = run_one(run, session, "repeat", migration)["duration_ms"]
        entry["problems"] += _compare(once, session, "run again, it gives another schema")
        entry["proved"] = not entry["problems"]
    if any(entry["problems"] for entry in entries):
        return
    before = catalog.read(session.connection)
    undone: list[Migration] = []
    by_key = {entry["version"]: entry for entry in entries}
    for migration in reversed(folder.versioned):
        undo = folder.undo.get(migration.key)
        if undo is None:
            break
        try:
            run_one(run, session, "undo", undo)
        except RunnerError as error:
            by_key[migration.key]["problems"].append(
                f"{undo.name} fails when everything is applied: {error.message}"
            )
            by_key[migration.key]["proved"] = False
            return
        undone.append(migration)
    for action, files in (("apply", undone[::-1]), ("repeat", folder.repeatable)):
        for migration in files:
            run_one(run, session, action, migration)
    if undone:
        found = _compare(before, session, "everything down and up again gives another schema")
        by_key[undone[-1].key]["problems"] += found


def _entry(folder: Folder, migration: Migration) -> dict[str, Any]:
    undo = folder.undo.get(migration.key)
    return {
        "version": migration.key,
        "description": migration.description,
        "file": migration.name,
        "checksum": migration.checksum,
        "undo": undo.name if undo else None,
        "undo_checksum": undo.checksum if undo else None,
        "irreversible": migration.directives.irreversible,
        "proved": False,
        "problems": [],
    }


def _compare(expected: Catalog, session: Session, text: str) -> list[str]:
    found = catalog.differences(expected.objects, catalog.read(session.connection).objects)
    lines = catalog.describe(found)
    return [f"{text}:", *lines[:_SHOWN]] if lines else []


def evidence(document: dict[str, Any]) -> dict[str, Any]:
    """Return what was proved, by the content of the files: what a later stage can ask for."""
    data = document["data"] or {"server_version": None, "migrations": []}
    proved: Sequence[dict[str, Any]] = [e for e in data["migrations"] if e["proved"]]
    return {
        "evidence_version": 1,
        "run_id": document["run_id"],
        "at": document["started_at"],
        "server_version": data["server_version"],
        "proved": {
            entry["checksum"]: {"file": entry["file"], "undo": entry["undo_checksum"]}
            for entry in proved
        },
    }
