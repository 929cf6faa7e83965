"""All SQL on the history: `schema_version`, what is in force, and its log.

`schema_version` holds one row for each migration in force; its primary key makes a second
application fail even where the runner's lock was lost. `schema_version_log` is only ever
added to: who did what, when, in which run. Every statement names its schema, because a
migration may leave search_path empty.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from psycopg2.extensions import connection as Connection

from runner.catalog import Catalog
from runner.errors import ValidationFailed

TABLE = "public.schema_version"
LOG = "public.schema_version_log"
SNAPSHOT = "public.schema_version_snapshot"

CREATE = f"""
create table if not exists {TABLE} (
    version text constraint schema_version_pkey primary key,
    kind text not null constraint schema_version_kind
        check (kind in ('versioned', 'repeatable', 'baseline')),
    state text not null constraint schema_version_state
        check (state in ('applied', 'applying', 'undoing')),
    description text not null,
    file text,
    checksum text,
    applied_order bigint generated always as identity,
    applied_at timestamptz not null default clock_timestamp(),
    applied_by text not null default session_user,
    run_id text not null,
    duration_ms bigint,
    steps text[] not null default '{{}}',
    step_in_doubt jsonb
);
create table if not exists {LOG} (
    id bigint generated always as identity constraint schema_version_log_pkey primary key,
    at timestamptz not null default clock_timestamp(),
    action text not null,
    version text,
    description text,
    file text,
    checksum text,
    run_id text not null,
    by text not null default session_user,
    duration_ms bigint,
    details jsonb
);
create table if not exists {SNAPSHOT} (
    one boolean constraint schema_version_snapshot_pkey primary key default true check (one),
    taken_at timestamptz not null,
    run_id text not null,
    major integer not null,
    objects jsonb not null
);
comment on table {SNAPSHOT} is 'the schema after the last run, to tell drift';
comment on table {TABLE} is 'migrations in force; written by the migration runner';
comment on table {LOG} is 'what the migration runner did, by whom, when, in which run'
"""

_COLUMNS = """
    select array_agg(attname::text) from pg_catalog.pg_attribute
    where attrelid = pg_catalog.to_regclass(%s) and attnum > 0 and not attisdropped
"""

_READ = f"""
    select version, kind, state, description, file, checksum, applied_order, applied_at,
           applied_by, run_id, duration_ms, steps, step_in_doubt
    from {TABLE} order by applied_order
"""


class Row(NamedTuple):
    """One migration in force, or half-way."""

    version: str
    kind: str
    state: str
    description: str
    file: str | None
    checksum: str | None
    applied_order: int
    applied_at: datetime
    applied_by: str
    run_id: str
    duration_ms: int | None
    steps: list[str]
    step_in_doubt: dict[str, Any] | None


class Record(NamedTuple):
    """What is written of a migration."""

    version: str
    kind: str
    description: str
    file: str | None
    checksum: str | None
    run_id: str


def exists(connection: Connection) -> bool:
    """Return whether the history is there.

    Raises:
        ValidationFailed: a table of that name belongs to something else.

    """
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS, (TABLE,))
        columns = (cursor.fetchone() or (None,))[0]
    if columns is None:
        return False
    missing = {"version", "state", "checksum", "steps"} - set(columns)
    if missing:
        raise ValidationFailed(
            f"{TABLE} exists, but it is not this runner's (no column {', '.join(sorted(missing))})",
            fix="if pgmigrate made it: runner adopt pgmigrate; else rename it",
        )
    return True


def ensure(connection: Connection) -> None:
    """Make the history where there is none. Called with the runner's lock held."""
    if not exists(connection):
        with connection.cursor() as cursor:
            cursor.execute(f"begin; {CREATE}; commit")


def read(connection: Connection) -> tuple[Row, ...]:
    """Return the rows in the order of application; nothing where there is no history yet."""
    if not exists(connection):
        return ()
    with connection.cursor() as cursor:
        cursor.execute(_READ)
        return tuple(Row(*row) for row in cursor)


def log(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """Return the newest entries of the log, the oldest of them first."""
    if not exists(connection):
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            select at, action, version, description, file, checksum, run_id, by, duration_ms,
                   details
            from (select * from {LOG} order by id desc limit %s) newest order by id
            """,
            (limit,),
        )
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def take_snapshot(connection: Connection, run_id: str, catalog: Catalog) -> None:
    """Keep the schema as a run leaves it, in place of the one before."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            insert into {SNAPSHOT} (taken_at, run_id, major, objects)
            values (clock_timestamp(), %s, %s, %s)
            on conflict (one) do update set taken_at = excluded.taken_at,
                run_id = excluded.run_id, major = excluded.major, objects = excluded.objects
            """,
            (run_id, catalog.major, json.dumps(catalog.objects)),
        )


def snapshot(connection: Connection) -> tuple[Catalog, datetime, str] | None:
    """Return the schema as the last run left it, when that was and which run; None if none did."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_catalog.to_regclass(%s) is not null", (SNAPSHOT,))
        if not (cursor.fetchone() or (False,))[0]:
            return None
        cursor.execute(f"select major, objects, taken_at, run_id from {SNAPSHOT}")
        row = cursor.fetchone()
    return (Catalog(row[0], row[1]), row[2], row[3]) if row else None


# The writers return SQL, because what they write shares a message with the guard and commit.


def applied(record: Record, duration_ms: int, details: Mapping[str, Any] | None = None) -> str:
    """Return the SQL that records a versioned migration or a repeatable's newest run.

    Only a repeatable replaces its row: a version that is there already violates the key.
    """
    again = ""
    if record.kind == "repeatable":
        again = """ on conflict (version) do update set description = excluded.description,
            file = excluded.file, checksum = excluded.checksum, run_id = excluded.run_id,
            duration_ms = excluded.duration_ms, applied_at = clock_timestamp(),
            applied_by = session_user, state = 'applied'"""
    action = "repeat" if record.kind == "repeatable" else "apply"
    return (
        f"insert into {TABLE} (version, kind, state, description, file, checksum, run_id,"
        f" duration_ms) values ({_row(record)}, {duration_ms}){again}; "
        + event(action, record, duration_ms, details)
    )


def undone(record: Record, duration_ms: int, details: Mapping[str, Any] | None = None) -> str:
    """Return the SQL that takes a migration out of force; it fails if it was not in force.

    Repeatables may rest on what is gone: without their checksum the next run repeats them.
    """
    return (
        f"do $undo$ begin delete from {TABLE} where version = {_quote(record.version)};"
        f" if not found then raise exception 'version % is not in force', {_quote(record.version)}"
        " using errcode = 'no_data_found'; end if; end $undo$; "
        f"update {TABLE} set checksum = null where kind = 'repeatable'; "
        + event("undo", record, duration_ms, details)
    )


def event(
    action: str,
    record: Record,
    duration_ms: int | None = None,
    details: Mapping[str, Any] | None = None,
) -> str:
    """Return the SQL that adds a line to the log."""
    return (
        f"insert into {LOG} (version, description, file, checksum, run_id, action, duration_ms,"
        f" details) values ({_identity(record)}, {_quote(action)},"
        f" {'null' if duration_ms is None else duration_ms}, {_json(details)})"
    )


def begin_steps(record: Record, state: str) -> str:
    """Return the SQL that opens the journal of a non-transactional migration."""
    if state == "undoing":
        return (
            f"update {TABLE} set state = 'undoing', steps = '{{}}', step_in_doubt = null"
            f" where version = {_quote(record.version)}"
        )
    again = ""
    if record.kind == "repeatable":
        again = """ on conflict (version) do update set state = excluded.state,
            checksum = excluded.checksum, steps = '{}', step_in_doubt = null"""
    return (
        f"insert into {TABLE} (version, kind, state, description, file, checksum, run_id) values"
        f" ({_row(record, state)}){again}"
    )


def step_begun(version: str, doubt: Mapping[str, Any]) -> str:
    """Return the SQL that says which statement is about to run."""
    return f"update {TABLE} set step_in_doubt = {_json(doubt)} where version = {_quote(version)}"


def step_done(version: str, digest: str) -> str:
    """Return the SQL that records a finished statement by the digest of its text."""
    return (
        f"update {TABLE} set steps = steps || {_quote(digest)}::text, step_in_doubt = null"
        f" where version = {_quote(version)}"
    )


def step_failed(version: str) -> str:
    """Return the SQL that says that the statement begun last is known to have failed."""
    return (
        f"update {TABLE} set step_in_doubt = step_in_doubt || '{{\"failed\": true}}'"
        f" where version = {_quote(version)}"
    )


def steps_finished(record: Record, duration_ms: int) -> str:
    """Return the SQL that puts a non-transactional migration into force."""
    action = "repeat" if record.kind == "repeatable" else "apply"
    return (
        f"update {TABLE} set state = 'applied', checksum = {_quote(record.checksum)},"
        f" duration_ms = {duration_ms}, applied_at = clock_timestamp(),"
        f" run_id = {_quote(record.run_id)} where version = {_quote(record.version)}; "
        + event(action, record, duration_ms)
    )


def baselined(record: Record) -> str:
    """Return the SQL that begins a history at a version."""
    return (
        f"insert into {TABLE} (version, kind, state, description, file, checksum, run_id)"
        f" values ({_row(record)})"
    )


def adopted(record: Record, at: datetime | None, by: str | None) -> str:
    """Return the SQL that takes over what another tool applied, when and by whom it says."""
    when = f"{_quote(at.isoformat())}::timestamptz" if at else "clock_timestamp()"
    return (
        f"insert into {TABLE} (version, kind, state, description, file, checksum, run_id,"
        f" applied_at, applied_by) values ({_row(record)}, {when},"
        f" {_quote(by) if by else 'session_user'})"
    )


def accepted(version: str, checksum: str, file: str) -> str:
    """Return the SQL that takes a file as what was applied."""
    return (
        f"update {TABLE} set checksum = {_quote(checksum)}, file = {_quote(file)}"
        f" where version = {_quote(version)}"
    )


def forgotten(version: str) -> str:
    """Return the SQL that takes a row out, whatever the database holds of it."""
    return f"delete from {TABLE} where version = {_quote(version)}"


def _identity(record: Record) -> str:
    values = (record.version, record.description, record.file, record.checksum, record.run_id)
    return ", ".join(_quote(value) for value in values)


def _row(record: Record, state: str = "applied") -> str:
    values = (
        record.version, record.kind, state, record.description, record.file, record.checksum,
        record.run_id,
    )  # fmt: skip
    return ", ".join(_quote(value) for value in values)


def _json(details: Mapping[str, Any] | None) -> str:
    return "null" if details is None else f"{_quote(json.dumps(details))}::jsonb"


def _quote(value: str | None) -> str:
    """Quote a literal so that it reads the same whatever standard_conforming_strings says."""
    if value is None:
        return "null"
    doubled = value.replace("'", "''")
    return f"'{doubled}'" if "\\" not in value else "E'" + doubled.replace("\\", "\\\\") + "'"
