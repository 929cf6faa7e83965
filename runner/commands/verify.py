"""Proof that migrations can be undone: up, down and up again on a database made for it.

After a down file the catalog must be what it was before the up file, to the last grant; after
the second up what it was after the first. With sample rows, a down that loses data is named.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import psycopg2
from psycopg2 import errorcodes

from runner.commands import samples
from runner.commands.lent import Lent
from runner.commands.validate import file_problems, refuse_reaching
from runner.database import catalog
from runner.database.catalog import Catalog
from runner.database.connection import connect, is_given
from runner.database.quoting import identifier
from runner.database.session import Session
from runner.engine.drift import schema
from runner.engine.execution import run_one
from runner.engine.progress import Silence
from runner.engine.run import Run, opened, reported
from runner.errors import (
    ConfigurationError,
    MigrationFailed,
    NotProved,
    RunnerError,
    Unreachable,
    ValidationFailed,
    extra,
)
from runner.files.folder import Folder, Migration, read_folder
from runner.history import write
from runner.report.text import as_json, write_text
from runner.result import Action, Document, Proof, Proofs, Result

_TRACED: tuple[Literal["locks", "rewritten", "dropped", "held_ms"], ...] = (
    "locks", "rewritten", "dropped", "held_ms",
)  # fmt: skip
_SHOWN = 30  # lines of a difference
# Where a file needs what its databases have, and a new server has not.
_LACKING = {
    errorcodes.INSUFFICIENT_PRIVILEGE, errorcodes.UNDEFINED_FUNCTION, errorcodes.UNDEFINED_OBJECT,
    errorcodes.UNDEFINED_TABLE, errorcodes.INVALID_SCHEMA_NAME,
}  # fmt: skip
_ALONE = (
    "prove them on a server of its own: runner verify without --database-url and without"
    " DATABASE_URL or PGHOST"
)
_LEND = (
    "correct the file; or where its databases have that, make it first: runner verify --given FILE,"
    " whose SQL a superuser runs (create role …; alter role migrator createrole; …)"
)


def verify(
    database: Callable[[str | None], Run],
    url: str | None,
    *,
    sample_rows: bool = False,
    evidence: Path | None = None,
    given: Path | None = None,
) -> Document:
    """Prove every migration of the folder, and write down what was proved.

    Parameters:
        database: gives the run on a URL, None: on the target that the caller named.
        url: the caller's URL; where nothing names a database, a server of our own serves.
        sample_rows: prove as well, on tables with rows, that nothing fails or gets lost.
        evidence: the file that gets what was proved, by the content of the files.
        given: a file of SQL that makes what the files find in their databases, on a server of
            our own.

    Raises:
        ConfigurationError: there is such a file, and the server is somebody's.
    """
    with ExitStack() as stack:
        lent = None
        if is_given(url):
            if given:
                raise ConfigurationError(
                    "--given makes what a server of the proof's own lacks, and here one is named",
                    fix="run that file there, or verify without a database",
                )
            run = database(None)
        else:
            with extra("verify", what="verify without a database"):
                from runner.embedded import temporary_server  # noqa: PLC0415 - not in the Lambda
                from runner.embedded.kept import owners_url  # noqa: PLC0415

            server = stack.enter_context(temporary_server())
            run = database(owners_url(server.url()))
            lent = Lent(server.url(), run.target.parameters["user"], server.home, given)
        document = _verify(run, lent, sample_rows=sample_rows).document()
    if evidence:
        write_text(evidence, as_json(_evidence(document)))
    return document


def _verify(run: Run, lent: Lent | None, *, sample_rows: bool) -> Result:
    """Prove every migration of the folder on a scratch database of the target's server.

    Parameters:
        lent: that server, where nobody else uses it and it goes afterwards.
    """
    result = Result("verify", run.run_id)
    run = run._replace(conduct=run.conduct._replace(progress=Silence()))
    with reported(result):
        folder = read_folder(run.sql_dir)
        problems = file_problems(folder)
        if problems:
            raise ValidationFailed("the files have problems", details=tuple(problems))
        if lent is None:
            files = (*folder.versioned, *folder.undo.values(), *folder.repeatable)
            refuse_reaching(files, "proved", fix=_ALONE)
        assumed = lent.equip(folder) if lent else []
        result.warnings += [f"assumed to be there: {what}" for what in assumed]
        entries: list[Proof] = []
        with scratch(run, result, lent) as session:
            _prove_each(run, session, folder, entries, folder.prompt)
            if folder.held:  # as migrate does it: what they take away is used by none of these
                for migration in folder.repeatable:
                    run_one(run, session, "repeat", migration)
            _prove_each(run, session, folder, entries, folder.held)
            _prove_whole(run, session, folder, entries)
        if sample_rows:
            with scratch(run, result, lent) as session:
                samples.prove(run, session, folder, entries)
        version = result.target["server_version"]
        result.data = {
            "server_version": version,
            "files": folder.digest(),
            "assumed": assumed,
            "migrations": entries,
        }
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
def scratch(run: Run, result: Result, lent: Lent | None) -> Iterator[Session]:
    """Give a session on a new, empty database of the target's server, dropped afterwards."""
    name = f"runner_verify_{secrets.token_hex(6)}"
    with closing(connect(run.target, run_id=run.run_id, wait=run.connect_wait)) as administrator:
        try:
            administrator.cursor().execute(f"create database {name}")
        except psycopg2.errors.InsufficientPrivilege as error:
            raise Unreachable(
                f"a scratch database cannot be made here: {str(error).strip()}",
                fix="verify on a server where this role has CREATEDB, or without --database-url"
                " on the embedded PostgreSQL",
            ) from error
        try:
            there = run._replace(target=run.target.elsewhere(name))
            _let_in(there)
            if lent:
                lent.give(name)
            with opened(there, result, locked=True) as session:
                write.ensure(session)
                yield session
        except MigrationFailed as error:
            if lent and error.sqlstate in _LACKING:
                error.fix = _LEND
            raise
        finally:
            administrator.cursor().execute(f"drop database if exists {name} with (force)")
            if lent:
                lent.clear()


def _let_in(run: Run) -> None:
    """Let the role that migrations act as make something in the target's schema.

    From 15 on, public is the login's; another one is made here.
    """
    role, home = run.target.role, run.target.home
    if not role and home == "public":
        return
    with closing(connect(run.target, run_id=run.run_id, wait=run.connect_wait)) as connection:
        schema = identifier(connection, home)
        sql = [] if home == "public" else [f"create schema {schema}"]
        if role:
            name = identifier(connection, role)
            sql.append(f"grant usage, create on schema {schema} to {name}")
        connection.cursor().execute("; ".join(sql))


def _prove_each(
    run: Run,
    session: Session,
    folder: Folder,
    entries: list[Proof],
    files: Sequence[Migration],
) -> None:
    """Prove versions one after the other, each on what those before it left."""
    before = schema(session)
    for migration in files:
        entry = _entry(folder, migration)
        entries.append(entry)
        undo = folder.undo.get(migration.key)
        try:
            applied = run_one(run, session, "apply", migration)
        except MigrationFailed as error:
            _refuse_early(run, session, folder, migration, error)
            raise
        entry["up_ms"] = applied["duration_ms"]
        for name in _TRACED:
            if name in applied:
                entry[name] = applied[name]
        after = schema(session)
        if undo:
            _round(run, session, entry, (migration, undo), (before, after))
        elif not migration.directives.irreversible:
            entry["problems"].append("there is no U file")
        entry["proved"] = bool(undo) and not entry["problems"]
        before = schema(session)


def _refuse_early(
    run: Run, session: Session, folder: Folder, migration: Migration, error: MigrationFailed
) -> None:
    """Refuse a file that fails, and would not if a held one of before had gone first.

    The database is a scratch one, in which nothing else runs after a failure.
    """
    earlier = [file for file in folder.held if file.version < migration.version]
    if migration in folder.held or not earlier:
        return
    try:
        for file in (*earlier, migration):
            run_one(run, session, "apply", file)
    except RunnerError:
        return
    names = ", ".join(file.name for file in earlier)
    raise NotProved(
        f"{migration.name} cannot run before {names}, which waits for the new code, and migrate"
        f" runs it first: {error.message}",
        fix=f"let it wait for that one: put '-- runner: needs={earlier[-1].key}' on top of it, or"
        " '-- runner: after deploy'; or write it so that it needs nothing of that one",
    ) from error


def _round(
    run: Run,
    session: Session,
    entry: Proof,
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


def _prove_whole(run: Run, session: Session, folder: Folder, entries: list[Proof]) -> None:
    """Prove the repeatables, and that everything goes down and up with them in place."""
    for migration in folder.repeatable:
        entry = _entry(folder, migration)
        entries.append(entry)
        entry["up_ms"] = run_one(run, session, "repeat", migration)["duration_ms"]
        once = schema(session)
        entry["up_again_ms"] = run_one(run, session, "repeat", migration)["duration_ms"]
        entry["problems"] += _compare(once, session, "run again, it gives another schema")
        entry["proved"] = not entry["problems"]
    if any(entry["problems"] for entry in entries):
        return
    before = schema(session)
    undone: list[Migration] = []
    by_key = {entry["version"]: entry for entry in entries}
    for migration in reversed((*folder.prompt, *folder.held)):
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
    again: tuple[tuple[Action, Sequence[Migration]], ...] = (
        ("apply", undone[::-1]), ("repeat", folder.repeatable),
    )  # fmt: skip
    for action, files in again:
        for migration in files:
            run_one(run, session, action, migration)
    if undone:
        found = _compare(before, session, "everything down and up again gives another schema")
        by_key[undone[-1].key]["problems"] += found


def _entry(folder: Folder, migration: Migration) -> Proof:
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
    found = catalog.differences(expected.objects, schema(session).objects)
    lines = catalog.describe(found)
    return [f"{text}:", *lines[:_SHOWN]] if lines else []


def _evidence(document: Document) -> dict[str, Any]:
    """Return what was proved, by the content of the files: what a later stage can ask for."""
    data = cast(Proofs | None, document["data"])
    proved = [entry for entry in data["migrations"] if entry["proved"]] if data else []
    return {
        "evidence_version": 1,
        "run_id": document["run_id"],
        "at": document["started_at"],
        "server_version": data["server_version"] if data else None,
        "proved": {
            entry["checksum"]: {"file": entry["file"], "undo": entry["undo_checksum"]}
            for entry in proved
        },
    }
