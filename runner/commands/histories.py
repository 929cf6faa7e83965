"""The histories of other tools, as they are read: what was applied, and how that is proved."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2

from runner.database.quoting import identifier
from runner.database.session import Session
from runner.errors import ValidationFailed
from runner.files.folder import Folder, Migration, canonical, parse_version, slug
from runner.history import others, trust
from runner.history.table import TABLE

# Says whether a text is the one that was applied.
Proof = Callable[[str], bool]


class Applied(NamedTuple):
    """One migration of another tool's history; `proof` where that has a checksum."""

    key: str
    name: str
    at: datetime | None = None
    by: str | None = None
    proof: Proof | None = None
    kind: str = "versioned"

    def was_edited(self, file: Migration) -> bool:
        """Return whether the history proves that a file is not what was applied."""
        return self.proof is not None and not self.proof(file.text())


def _rows(session: Session, table: str, columns: str, order: str = "") -> list[Any]:
    """Return what another tool's table holds, in whatever schema that is.

    Raises:
        ValidationFailed: there is none, or several, or one that could run others' code.
    """
    wanted = [column.partition("::")[0] for column in columns.split(", ")]
    schemas = others.schemas(session, table, wanted)
    if not schemas:
        raise psycopg2.errors.UndefinedTable(
            f"no schema has a table {table} with the columns {', '.join(wanted)}"
        )
    if len(schemas) > 1:
        raise ValidationFailed(
            f"{table} is in several schemas: {', '.join(schemas)}",
            fix="rename or drop those that are not this database's history",
        )
    trust.find(session.connection, schemas[0], [table])
    name = f"{identifier(session.connection, schemas[0])}.{table}"
    with session.connection.cursor() as cursor:
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
            found[key] = Applied(key, script, at, by, _equal(flyway_crc32, crc), sort)
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
    rows = _rows(session, TABLE, columns, "version")
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


def _goose(session: Session, _: Folder) -> list[Applied]:
    """Read goose_db_version: the newest word on each version counts, and 0 is its own."""
    rows = _rows(session, "goose_db_version", "version_id, is_applied, tstamp", "id")
    newest = {version: (applied, at) for version, applied, at in rows if version}
    return [
        _numbered(str(version), str(version), at)
        for version, (applied, at) in sorted(newest.items())
        if applied
    ]


def _diesel(session: Session, _: Folder) -> list[Applied]:
    rows = _rows(session, "__diesel_schema_migrations", "version, run_on", "version")
    return [_numbered(version, version, at) for version, at in rows]


def _sqlx(session: Session, _: Folder) -> list[Applied]:
    """Read _sqlx_migrations, whose checksum is the SHA-384 of a file."""
    columns = "version, description, installed_on, success, checksum"
    found = []
    for version, name, at, success, checksum in _rows(
        session, "_sqlx_migrations", columns, "version"
    ):
        if not success:
            raise ValidationFailed(f"sqlx's {version} ({name}) failed: mend it there first")
        proof = _equal(_sha384, bytes(checksum))
        found.append(_numbered(str(version), name, at)._replace(proof=proof))
    return found


def _sqitch(session: Session, folder: Folder) -> list[Applied] | None:
    """Read sqitch's changes in the order of their deployment; their hashes are SHA-1 of a file."""
    columns = "change, committed_at, committer_name, project, script_hash"
    rows = _rows(session, "changes", columns, "committed_at")
    projects = {project for *_, project, _ in rows}
    if len(projects) > 1:
        raise ValidationFailed(f"sqitch has several projects here: {', '.join(sorted(projects))}")
    found = (Applied(name, name, at, by, _equal(_sha1, digest)) for name, at, by, _, digest in rows)
    return _by_description(folder, found)


def _liquibase(session: Session, folder: Folder) -> list[Applied] | None:
    """Read databasechangelog: a changeset is known by its id, and what it was is not told."""
    columns = "id, dateexecuted, exectype"
    found = []
    for name, at, kind in _rows(session, "databasechangelog", columns, "orderexecuted"):
        if kind not in {"EXECUTED", "RERAN", "MARK_RAN"}:
            raise ValidationFailed(f"Liquibase's {name} is {kind}: mend it there first")
        found.append(Applied(name, name, at))
    return _by_description(folder, found)


def _by_description(folder: Folder, found: Iterable[Applied]) -> list[Applied] | None:
    """Return what was applied with the versions of the files whose descriptions are their names.

    None where several are called so, not all of them are applied, and nothing proves which.
    """
    left: dict[str, list[Migration]] = {}
    for file in (*folder.versioned, *folder.repeatable):
        left.setdefault(slug(file.description), []).append(file)
    matched = []
    for entry in found:
        files = left.get(slug(entry.name))
        matched.append(_matched(entry, files.pop(0)) if files else entry)
    unproved = {slug(entry.name) for entry in matched if entry.proof is None}
    return None if any(left.get(name) for name in unproved) else matched


def _matched(entry: Applied, file: Migration) -> Applied:
    if file.kind != "R":
        return entry._replace(key=file.key)
    # Which of its texts was applied last is not told: it is run again.
    return entry._replace(key=file.key, kind="repeatable", proof=_never)


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
    "goose": _goose,
    "diesel": _diesel,
    "sqlx": _sqlx,
    "sqitch": _sqitch,
    "liquibase": _liquibase,
}

# Our own lines on top of a file say nothing of what was applied.
_directives = re.compile(r"\A(?:--[ \t]*runner:[^\r\n]*(?:\r\n|\n|\r))+")


def _equal(digest: Callable[[str], object], expected: object) -> Proof | None:
    """Return the proof that a text has a digest, with our directives on top or without them."""
    if expected is None:
        return None
    return lambda text: expected in (digest(text), digest(_directives.sub("", text)))


def _never(_: str) -> bool:
    return False


def _sha384(text: str) -> bytes:
    return hashlib.sha384(text.encode()).digest()


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def flyway_crc32(text: str) -> int:
    r"""Return Flyway's checksum: CRC32 over the lines without their ends, as a signed 32-bit.

    A line ends with \n, \r\n or \r, as Java's BufferedReader reads it.
    """
    crc = 0
    for line in re.split(r"\r\n|\n|\r", text):
        crc = zlib.crc32(line.encode(), crc)
    return crc - (1 << 32) if crc >= 1 << 31 else crc
