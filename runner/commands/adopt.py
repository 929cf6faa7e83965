"""Take over the history of another tool, after checking that the files are those it applied.

The other tool's table is only read, but for pgmigrate's, which has our table's name: it is
kept under another name.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2

from runner.database.quoting import identifier
from runner.database.session import Session
from runner.engine.run import Run, opened, reported
from runner.errors import ConfigurationError, ValidationFailed
from runner.files.folder import Folder, Migration, Version, canonical, parse_version, read_folder
from runner.history import read, trust
from runner.history.table import COLUMNS, TABLE, Record, create
from runner.history.write import SET_PGMIGRATE_ASIDE, Writer, ensure
from runner.result import Result


class Applied(NamedTuple):
    """One migration of another tool's history."""

    key: str
    name: str
    at: datetime | None = None
    by: str | None = None
    crc32: int | None = None
    kind: str = "versioned"


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
            problems = _mismatches(folder, found)
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
        rows = read.read(session.connection)
    except ValidationFailed:
        if tool == "pgmigrate":
            return
        raise
    if rows:
        raise ValidationFailed(f"there is a history of {len(rows)} migrations already")
    if tool == "pgmigrate":
        raise ValidationFailed(f"{TABLE} is not pgmigrate's")


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


_SCHEMAS = """
    select n.nspname from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relname = %s and c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_'
    order by 1
"""


def _rows(session: Session, table: str, columns: str, order: str = "") -> list[Any]:
    """Return what another tool's table holds, in whatever schema that is.

    Raises:
        ValidationFailed: there is none, or several, or one that could run others' code.
    """
    with session.connection.cursor() as cursor:
        cursor.execute(_SCHEMAS, (table,))
        schemas = [schema for (schema,) in cursor]
        if not schemas:
            raise psycopg2.errors.UndefinedTable(f"no schema has a table {table}")
        if len(schemas) > 1:
            raise ValidationFailed(f"{table} is in several schemas: {', '.join(schemas)}")
        trust.find(session.connection, [f"{schemas[0]}.{table}"])
        name = f"{identifier(session.connection, schemas[0])}.{table}"
        cursor.execute(f"select {columns} from {name}{f' order by {order}' if order else ''}")
        return cursor.fetchall()


def _flyway(session: Session, _: Folder) -> list[Applied]:
    """Read flyway_schema_history: the newest word on each version counts."""
    found: dict[str, Applied] = {}
    for version, name, kind, script, crc, by, at, success in _rows(
        session,
        "flyway_schema_history",
        "version, description, type, script, checksum, installed_by, installed_on, success",
        "installed_rank",
    ):
        if not success:
            raise ValidationFailed(f"Flyway's {script} failed and was never repaired")
        key = canonical(parse_version(version)) if version else f"R__{Path(script).stem[3:]}"
        if kind in {"SQL", "SQL_REPEATABLE"}:
            sort = "versioned" if version else "repeatable"
            found[key] = Applied(key, script, at, by, crc, sort)
        elif kind in {"BASELINE", "SQL_BASELINE"}:
            found[key] = Applied(key, name, at, by, None, "baseline")
        elif kind in {"UNDO_SQL", "DELETE"}:
            found.pop(key, None)
        elif kind != "SCHEMA":
            raise ValidationFailed(f"Flyway's {script} is of type {kind}, which is no SQL file")
    return list(found.values())


def _golang_migrate(session: Session, folder: Folder) -> list[Applied]:
    """Read golang-migrate's one row: every file up to it is applied."""
    rows = _rows(session, "schema_migrations", "version, dirty")
    if len(rows) != 1 or rows[0][1]:
        state = "dirty" if rows else "empty"
        raise ValidationFailed(f"golang-migrate's history is {state}: mend it there first")
    newest = parse_version(str(rows[0][0]))
    found = [Applied(file.key, file.name) for file in folder.versioned if file.version <= newest]
    if not found or found[-1].key != canonical(newest):
        found.append(Applied(canonical(newest), f"version {newest[0]}"))
    return found


def _dbmate(session: Session, _: Folder) -> list[Applied]:
    rows = _rows(session, "schema_migrations", "version", "version")
    if any(not isinstance(version, str) for (version,) in rows):
        raise ValidationFailed(
            "that is not dbmate's history: its versions are numbers", fix="is it golang-migrate's?"
        )
    return [_numbered(version, version) for (version,) in rows]


def _pgmigrate(session: Session, _: Folder) -> list[Applied]:
    columns = "version, description, installed_on, installed_by"
    rows = _rows(session, TABLE.partition(".")[2], columns, "version")
    return [
        Applied(canonical(parse_version(str(version))), name, at, by)
        for version, name, at, by in rows
    ]


def _knex(session: Session, folder: Folder) -> list[Applied] | None:
    """Read knex_migrations; its files are JavaScript, so only their numbers can be ours."""
    rows = _rows(session, "knex_migrations", "name, migration_time", "id")
    found = [_numbered(name, name, at) for name, at in rows]
    files = {file.key for file in folder.versioned}
    return found if files.issuperset(entry.key for entry in found) else None


def _alembic(session: Session, _: Folder) -> None:
    heads = _rows(session, "alembic_version", "version_num")
    if len(heads) != 1:
        raise ValidationFailed(f"Alembic has {len(heads)} heads: merge them there first")


def _numbered(text: str, name: str, at: datetime | None = None) -> Applied:
    digits = re.match(r"\d+", text)
    if not digits:
        raise ValidationFailed(f"{text!r} does not begin with a number")
    return Applied(canonical(parse_version(digits[0])), name, at)


TOOLS: dict[str, Callable[[Session, Folder], list[Applied] | None]] = {
    "flyway": _flyway,
    "golang-migrate": _golang_migrate,
    "dbmate": _dbmate,
    "pgmigrate": _pgmigrate,
    "knex": _knex,
    "alembic": _alembic,
}


def _mismatches(folder: Folder, found: list[Applied]) -> list[str]:
    files = folder.by_key()
    problems = []
    for entry in found:
        file = files.get(entry.key)
        if file is None and entry.kind != "baseline":
            problems.append(f"version {entry.key} ({entry.name}) is applied, but has no file")
        elif file and entry.kind == "versioned" and _was_edited(file, entry):
            problems.append(f"{file.name}: not the file that Flyway applied (its CRC32 differs)")
    return problems


def _was_edited(file: Migration, entry: Applied) -> bool:
    return entry.crc32 is not None and flyway_crc32(file.text()) != entry.crc32


def flyway_crc32(text: str) -> int:
    r"""Return Flyway's checksum: CRC32 over the lines without their ends, as a signed 32-bit.

    A line ends with \n, \r\n or \r, as Java's BufferedReader reads it.
    """
    crc = 0
    for line in re.split(r"\r\n|\n|\r", text):
        crc = zlib.crc32(line.encode(), crc)
    return crc - (1 << 32) if crc >= 1 << 31 else crc


def _write(session: Session, run: Run, tool: str, folder: Folder, found: list[Applied]) -> None:
    files = folder.by_key()
    writer = Writer(session.connection)
    parts = ["begin", *([SET_PGMIGRATE_ASIDE] if tool == "pgmigrate" else [])]
    if tool == "pgmigrate":
        parts += [create(name) for name in COLUMNS]
    else:
        ensure(session.connection)
    for entry in found:
        file = files.get(entry.key)
        record = Record(
            entry.key,
            entry.kind,
            file.description if file else entry.name,
            file.name if file else None,
            # A repeatable that was edited since waits to be run again, with Flyway as with us.
            file.checksum if file and not _was_edited(file, entry) else None,
            run.run_id,
        )
        parts.append(writer.adopted(record, entry.at, entry.by))
        parts.append(writer.event("adopt", record, details={"from": tool, "name": entry.name}))
    session.run("; ".join([*parts, "commit"]))
