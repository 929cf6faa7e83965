"""What is read of the history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

import psycopg2
from psycopg2.extensions import cursor as Cursor

from runner.database.catalog import Catalog
from runner.database.session import Session
from runner.errors import ValidationFailed
from runner.history import table as made
from runner.history import trust
from runner.history.table import (
    LOG,
    RUN,
    SNAPSHOT,
    TABLE,
    Begun,
    Checkpoint,
    Names,
    Row,
    names,
)
from runner.result import Event, Trace


def last_duration(here: Names) -> str:
    """Return SQL for how long the file took that was recorded last, for what comes with it."""
    return f"(select duration_ms from {here.log} order by id desc limit 1)"


def last_events(here: Names, count: int) -> str:
    """Return SQL for the newest entries of the log, as JSON: for the message that wrote them."""
    return f"""
        select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(file, duration_ms, details)
                                    order by id)
        from (select id, file, duration_ms, details from {here.log}
              order by id desc limit {count}) e
    """


class Standing(NamedTuple):
    """What the history says of one migration: its state, and which file and run it is from."""

    state: str
    checksum: str | None
    run_id: str


def standings(session: Session, versions: Sequence[str]) -> dict[str, Standing]:
    """Return what the history has of these migrations, by their name in it."""
    with session.connection.cursor() as cursor:
        cursor.execute(
            f"select version, state, checksum, run_id from {names(session).table}"
            " where version = any(%s)",
            (list(versions),),
        )
        return {version: Standing(*rest) for version, *rest in cursor}


def checkpoint(session: Session, version: str) -> Checkpoint | None:
    """Return how far a backfill is, None where none of this version has begun."""
    with _reading(session, TABLE) as cursor:
        here = names(session)
        cursor.execute(f"select steps from {here.table} where version = %s", (version,))
        row = cursor.fetchone()
    return Checkpoint.of(row[0]) if row else None


_READ = """
    select version, kind, state, description, file, checksum, applied_order, applied_at,
           applied_by, run_id, duration_ms, steps, step_in_doubt
    from {} order by applied_order
"""


def tables(session: Session) -> set[str]:
    """Return which of the history's tables are there.

    Raises:
        ValidationFailed: a relation of such a name is somebody else's.
    """
    found = trust.find(session.connection, session.target.home, list(made.COLUMNS))
    for name, relation in found.items():
        trust.require_format(relation, made.FORMAT)
        trust.require_columns(relation, made.types(name))
    return set(found)


def read(session: Session) -> tuple[Row, ...]:
    """Return the rows in the order of application; nothing where there is no history yet."""
    if TABLE not in tables(session):
        return ()
    with _reading(session, TABLE) as cursor:
        cursor.execute(_READ.replace("{}", names(session).table))
        return tuple(Row.of(row) for row in cursor)


@contextmanager
def _reading(session: Session, table: str) -> Iterator[Cursor]:
    """Give a cursor to read a table with, whose values may be nobody's who knows what they mean."""
    try:
        with session.connection.cursor() as cursor:
            yield cursor
    except (ValueError, OverflowError, psycopg2.DataError) as error:
        raise ValidationFailed(
            f"{table} holds what this version does not know: {error}".strip(),
            fix="was it written by a newer version, or by hand? nothing is run on it",
        ) from error


class Recorded(NamedTuple):
    """A file that the log says was done, with what it locked."""

    action: str
    file: str
    checksum: str
    duration_ms: int
    trace: Trace | None


def log(session: Session, limit: int) -> list[Event]:
    """Return the newest entries of the log, the oldest of them first."""
    if LOG not in tables(session):
        return []
    with _reading(session, LOG) as cursor:
        cursor.execute(
            f"""
            select at, action, version, description, file, checksum, run_id, by, duration_ms,
                   details
            from (select * from {names(session).log} order by id desc limit %s) newest order by id
            """,
            (limit,),
        )
        return [
            {
                "at": at.isoformat(timespec="milliseconds"),
                "action": action,
                "version": version,
                "description": description,
                "file": file,
                "checksum": checksum,
                "run_id": run_id,
                "by": by,
                "duration_ms": duration_ms,
                "details": details,
            }
            for (
                at, action, version, description, file, checksum, run_id, by, duration_ms, details,
            ) in cursor
        ]  # fmt: skip


def slow(session: Session, among: int) -> list[Trace]:
    """Return the traces of files that took their time, and noted how large it was what they locked.

    Parameters:
        among: how many of the log's newest entries are looked at.
    """
    if LOG not in tables(session):
        return []
    with _reading(session, LOG) as cursor:
        cursor.execute(
            f"""
            select details
            from (select action, details from {names(session).log} order by id desc limit %s) newest
            where action in ('apply', 'repeat', 'undo') and details @? '$.locks[*].bytes'
            """,
            (among,),
        )
        return [trace for (trace,) in cursor]


def begun(session: Session, run_id: str) -> Begun | None:
    """Return how a run began, None where it did not or is not kept."""
    if RUN not in tables(session):
        return None
    with _reading(session, RUN) as cursor:
        cursor.execute(
            f"select asked, log_id, tasks from {names(session).run} where run_id = %s", (run_id,)
        )
        row = cursor.fetchone()
    return Begun(*row) if row else None


def newest_begun(session: Session, asked: str) -> tuple[str, Begun] | None:
    """Return the id of the newest run that was asked for in this way, and how it began."""
    if RUN not in tables(session):
        return None
    with _reading(session, RUN) as cursor:
        cursor.execute(
            f"select run_id, asked, log_id, tasks from {names(session).run} where asked = %s"
            " order by at desc limit 1",
            (asked,),
        )
        row = cursor.fetchone()
    return (row[0], Begun(*row[1:])) if row else None


def done_by(session: Session, run_id: str, since: int) -> list[Recorded]:
    """Return the files that a run has done, in their order.

    Parameters:
        since: the log's entry after which they are looked for.
    """
    if LOG not in tables(session):
        return []
    with _reading(session, LOG) as cursor:
        cursor.execute(
            f"""
            select action, file, checksum, duration_ms, details from {names(session).log}
            where id > %s and run_id = %s and action in ('apply', 'repeat', 'undo') order by id
            """,
            (since, run_id),
        )
        return [Recorded(*row) for row in cursor]


def baselined(session: Session) -> set[str] | None:
    """Return the versions whose files the baseline passed over, None where nobody wrote them."""
    if LOG not in tables(session):
        return None
    with _reading(session, LOG) as cursor:
        cursor.execute(
            f"select details -> 'below' from {names(session).log}"
            " where action = 'baseline' and details ? 'below' order by id desc limit 1"
        )
        row = cursor.fetchone()
    return set(map(str, row[0])) if row and isinstance(row[0], list) else None


def stopped_rollback(session: Session) -> list[str]:
    """Return the versions that the newest rollback was to undo, none where something came after.

    Those of them that are still in force are what it left to do when it stopped. Without the log
    nobody can tell what came after.
    """
    if not {RUN, LOG} <= tables(session):
        return []
    with _reading(session, RUN) as cursor:
        cursor.execute(
            f"""
            select r.tasks from {names(session).run} r
            where r.tasks @> '[{{"action": "undo"}}]' and not exists (
                select from {names(session).log} l
                where l.id > r.log_id and l.action not in ('undo', 'repair'))
            order by r.log_id desc, r.at desc limit 1
            """
        )
        row = cursor.fetchone()
    return [task["version"] for task in row[0]] if row else []


def snapshot(session: Session) -> tuple[Catalog, datetime, str] | None:
    """Return the schema as the last run left it, when that was and which run; None if none did.

    One that cannot be read is none: nothing is compared with it.
    """
    if SNAPSHOT not in tables(session):
        return None
    try:
        with _reading(session, SNAPSHOT) as cursor:
            cursor.execute(
                f"select major, objects, taken_at, run_id from {names(session).snapshot}"
            )
            row = cursor.fetchone()
    except ValidationFailed:
        return None
    if row is None or not _is_catalog(row[1]):
        return None
    return Catalog(row[0], row[1]), row[2], row[3]


def _is_catalog(objects: object) -> bool:
    """Return whether this is what a run keeps; nothing is compared with anything else."""
    return isinstance(objects, dict) and all(isinstance(text, str) for text in objects.values())
