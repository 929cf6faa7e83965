"""The history: `schema_version`, what is in force, its log, and the schema as it was left.

`schema_version` holds one row for each migration in force; its primary key makes a second
application fail even where the runner's lock was lost. `schema_version_log` is only ever
added to: who did what, when, in which run. Every statement names its schema, because a
migration may leave search_path empty.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NamedTuple

from psycopg2.extensions import connection as Connection

from runner.database.catalog import Catalog
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
