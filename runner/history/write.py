"""What is written to the history, as SQL: it shares messages with the guard and the commit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from psycopg2.extensions import connection as Connection

from runner.database.catalog import Catalog
from runner.database.checks import UNWRITTEN, kept
from runner.database.quoting import literal, quoted
from runner.database.session import Session
from runner.files.folder import composed
from runner.history.read import tables
from runner.history.table import (
    COLUMNS,
    TABLE,
    Checkpoint,
    Doubt,
    Names,
    Record,
    Step,
    create,
    names,
)
from runner.result import Task

# pgmigrate's table has our table's name; it is kept under this one.
PGMIGRATE_KEPT = "schema_version_pgmigrate"


def set_pgmigrate_aside(schema: str) -> str:
    """Return the SQL that gives pgmigrate's table its other name."""
    name = f"{quoted(schema)}.{TABLE}"
    return (
        f"alter table {name} rename to {PGMIGRATE_KEPT};"
        f" alter index if exists {name}_pkey rename to {PGMIGRATE_KEPT}_pkey"
    )


# The order is what the rows say themselves: copies of a database come without its sequences.
def _next(table: str) -> str:
    return f"(select coalesce(pg_catalog.max(applied_order), 0) + 1 from {table})"


def _next_entry(log: str) -> str:
    return f"(select coalesce(pg_catalog.max(id), 0) + 1 from {log})"


_KEPT_RUNS = 1_000


def _once(written: str, also: str = "") -> str:
    """Return SQL that writes, and fails unless exactly one row was written.

    Parameters:
        also: what it writes besides, of which there may be any number.
    """
    count = "(select pg_catalog.count(*) from written) = 1"
    more = f", more as ({also} returning 1)" if also else ""
    return f"with written as ({written} returning 1){more} select {kept(count, UNWRITTEN)}"


def _unescaped(json_text: str) -> str:
    """Return JSON as an SQL literal that is the same however a file has backslashes read."""
    return "$${}$$".format(json_text.replace("$", "\\u0024"))


def _steps(checkpoint: Checkpoint | None) -> str:
    kept = f"{_unescaped(checkpoint.kept())}" if checkpoint else ""
    return f"array[{kept}]::text[]"


class Writer:
    """Says what is written, in SQL whose values are quoted for one connection.

    Parameters:
        here: where the history is.
        quote: writes a value where it is not to be quoted as every other.
    """

    def __init__(
        self,
        connection: Connection,
        here: Names,
        quote: Callable[[str | None], str] | None = None,
    ):
        self._literal = quote or partial(literal, connection)
        self._table, self._log = here.table, here.log

    @classmethod
    def of(cls, session: Session) -> Writer:
        """Return what writes to a session's history."""
        return cls(session.connection, names(session))

    def applied(self, record: Record, duration: str) -> str:
        """Return the SQL that records a versioned migration or a repeatable's newest run.

        Only a repeatable replaces its row: a version that is there already violates the key.

        Parameters:
            duration: SQL for the milliseconds that it took.
        """
        again = ""
        if record.kind == "repeatable":
            again = """ on conflict (version) do update set description = excluded.description,
                file = excluded.file, checksum = excluded.checksum, run_id = excluded.run_id,
                duration_ms = excluded.duration_ms, applied_at = clock_timestamp(),
                applied_by = session_user, state = 'applied'"""
        return self._inserted(record, again=again, duration_ms=duration)

    def undone(self, record: Record, rests: Sequence[str]) -> str:
        """Return the SQL that takes a migration out of force; it fails if it was not in force.

        Parameters:
            rests: the repeatables, which may rest on what is gone: without their checksum the
                next run repeats them.
        """
        again = (
            f"update {self._table} set checksum = null where version in ({self._values(*rests)})"
        )
        return _once(
            f"delete from {self._table} {self._of(record.version)}", again if rests else ""
        )

    def done(self, action: str, record: Record, duration: str, rests: Sequence[str]) -> str:
        """Return the SQL that puts a migration into force, or out of it where it was undone."""
        if action == "undo":
            return self.undone(record, rests)
        return self.applied(record, duration)

    def event(
        self,
        action: str,
        record: Record,
        duration: int | str | None = None,
        details: Mapping[str, Any] | str | None = None,
    ) -> str:
        """Return the SQL that adds a line to the log.

        Parameters:
            action: "apply", "repeat", "undo", "baseline", "repair" or "adopt".
            duration: milliseconds, as a number or as an SQL expression.
            details: as a mapping, or as an SQL expression of type jsonb.
        """
        what = details if isinstance(details, str) else self._json(details)
        return _once(
            f"insert into {self._log} (id, version, description, file, checksum, run_id, action,"
            f" duration_ms, details) overriding system value"
            f" values ({_next_entry(self._log)}, {self._identity(record)}, {self._literal(action)},"
            f" {'null' if duration is None else duration}, {what})"
        )

    def begin_steps(self, record: Record, state: str, checkpoint: Checkpoint | None = None) -> str:
        """Return the SQL that opens the journal of a non-transactional migration.

        Parameters:
            checkpoint: where a backfill begins.
        """
        steps = _steps(checkpoint)
        if state == "undoing":
            return _once(
                f"update {self._table} set state = 'undoing', steps = {steps}, step_in_doubt = null"
                f" {self._of(record.version)}"
            )
        again = ""
        if record.kind == "repeatable":
            again = """ on conflict (version) do update set state = excluded.state,
                checksum = excluded.checksum, steps = '{}', step_in_doubt = null"""
        return self._inserted(record, state, again=again, steps=steps)

    def moved(self, version: str, before: Checkpoint, after: Checkpoint) -> str:
        """Return the SQL that takes a backfill on; it fails where that is elsewhere already."""
        return _once(
            f"update {self._table} set steps = {_steps(after)} {self._of(version)}"
            f" and state <> 'applied' and steps = {_steps(before)}"
        )

    def step_begun(self, version: str, doubt: Doubt) -> str:
        """Return the SQL that says which statement is about to run."""
        written = f"{_unescaped(json.dumps(doubt._asdict()))}::jsonb"
        return _once(f"update {self._table} set step_in_doubt = {written} {self._of(version)}")

    def step_done(self, version: str, step: Step) -> str:
        """Return the SQL that records a finished statement."""
        return _once(
            f"update {self._table} set steps = steps || {_unescaped(step.kept())}::text,"
            f" step_in_doubt = null {self._of(version)}"
        )

    def step_left(self, version: str, step: Step) -> str:
        """Return the SQL that corrects what the statement finished last has left."""
        return _once(
            f"update {self._table} set steps[pg_catalog.cardinality(steps)] ="
            f" {_unescaped(step.kept())} {self._of(version)}"
        )

    def step_failed(self, version: str) -> str:
        """Return the SQL that says that the statement begun last is known to have failed."""
        return _once(
            f"update {self._table} set step_in_doubt = step_in_doubt || '{{\"failed\": true}}'"
            f" {self._of(version)}"
        )

    def steps_finished(self, record: Record, duration_ms: int) -> str:
        """Return the SQL that puts a non-transactional migration into force."""
        return _once(
            f"update {self._table} set state = 'applied',"
            f" checksum = {self._literal(record.checksum)}, duration_ms = {duration_ms},"
            " applied_at = clock_timestamp(),"
            f" run_id = {self._literal(record.run_id)} {self._of(record.version)}"
        )

    def baselined(self, record: Record) -> str:
        """Return the SQL that begins a history at a version."""
        return self._inserted(record)

    def adopted(self, record: Record, at: datetime | None, by: str | None) -> str:
        """Return the SQL that takes over what another tool applied, when and by whom it says."""
        when = f"{self._literal(at.isoformat())}::timestamptz" if at else "clock_timestamp()"
        who = self._literal(by) if by else "session_user"
        return self._inserted(record, applied_at=when, applied_by=who)

    def accepted(self, version: str, checksum: str, file: str) -> str:
        """Return the SQL that takes a file as what was applied."""
        return _once(
            f"update {self._table} set checksum = {self._literal(checksum)},"
            f" file = {self._literal(file)} {self._of(version)}"
        )

    def forgotten(self, version: str) -> str:
        """Return the SQL that takes a row out, whatever the database holds of it."""
        return _once(f"delete from {self._table} {self._of(version)}")

    def _inserted(
        self, record: Record, state: str = "applied", *, again: str = "", **more: str
    ) -> str:
        """Return the SQL that adds a migration after the newest.

        Parameters:
            again: what is done where it is there already.
            more: SQL for further columns.
        """
        values = self._values(
            record.version, record.kind, state, record.description, record.file, record.checksum,
            record.run_id,
        )  # fmt: skip
        order = _next(self._table)
        columns = "applied_order, version, kind, state, description, file, checksum, run_id"
        return _once(
            f"insert into {self._table} ({', '.join((columns, *more))}) overriding system value"
            f" values ({', '.join((order, values, *more.values()))}){again}"
        )

    def _of(self, version: str) -> str:
        return f"where version = {self._literal(version)}"

    def _identity(self, record: Record) -> str:
        return self._values(
            record.version, record.description, record.file, record.checksum, record.run_id
        )

    def _values(self, *values: str | None) -> str:
        return ", ".join(self._literal(value) for value in values)

    def _json(self, details: Mapping[str, Any] | None) -> str:
        return "null" if details is None else f"{self._literal(json.dumps(details))}::jsonb"


def ensure(session: Session) -> None:
    """Make what is missing of the history, and its schema. Called with the runner's lock held."""
    there = tables(session)
    home = session.target.home
    if missing := [create(name, home) for name in COLUMNS if name not in there]:
        if not session.has_schema():
            missing.insert(0, f"create schema {quoted(home)}")
        with session.connection.cursor() as cursor:
            cursor.execute(f"begin; {'; '.join(missing)}; commit")
    if TABLE in there:
        respell(session)


def respell(session: Session) -> None:
    """Let each repeatable's row have its name in the form that files are looked for by.

    Of two rows that differ in form only, the newer tells what is in force; which that is, the log
    says by its order: a clock may have been set back in between.
    """
    table, log = names(session).table, names(session).log
    with session.connection.cursor() as cursor:
        cursor.execute(
            f"select version from {table} t where kind = 'repeatable' and version !~ '^[ -~]*$'"
            f" order by coalesce((select max(id) from {log} l where l.version = t.version), 0),"
            " applied_order"
        )
        versions = [version for (version,) in cursor]
        newest = {composed(version): version for version in versions}
        older = sorted({*versions} - {*newest.values()})
        renamed = {key: version for key, version in newest.items() if key != version}
        if older or renamed:
            cursor.execute(f"begin; delete from {table} where version = any(%s)", (older,))
            for key, version in renamed.items():
                cursor.execute(
                    f"update {table} set version = %s where version = %s",
                    (key, version),
                )
            cursor.execute("commit")


def remark(session: Session, run_id: str, action: str, details: Mapping[str, Any]) -> None:
    """Add a line to the log that is of a run, and of no file."""
    log = names(session).log
    written = _once(
        f"insert into {log} (id, action, run_id, details) overriding system value"
        f" values ({_next_entry(log)}, %s, %s, %s)"
    )
    with session.connection.cursor() as cursor:
        cursor.execute(written, (action, run_id, json.dumps(details)))


def begin_run(session: Session, run_id: str, asked: str, tasks: Sequence[Task]) -> None:
    """Keep what a run sets out to do, unless the same call began it before.

    All but the newest are forgotten: nobody asks for them again. A moment is never before that of
    the run before it, though the clock may be: where no run did anything, it tells their order.

    Parameters:
        asked: the call's text.
    """
    here = names(session)
    with session.connection.cursor() as cursor:
        cursor.execute(
            f"""
            with old as (delete from {here.run} where run_id <> %s and run_id in (
                select run_id from {here.run}
                order by log_id desc, at desc offset {_KEPT_RUNS - 1}))
            insert into {here.run} as r (run_id, asked, log_id, tasks, at)
            select %s, %s, coalesce(max(id), 0), %s, greatest(clock_timestamp(),
                (select max(at) + interval '1 microsecond' from {here.run})) from {here.log}
            on conflict (run_id) do update set at = excluded.at, asked = excluded.asked,
                log_id = excluded.log_id, tasks = excluded.tasks
            where r.asked <> excluded.asked
            """,
            (run_id, run_id, asked, json.dumps(tasks)),
        )


def take_snapshot(session: Session, run_id: str, catalog: Catalog) -> None:
    """Keep the schema as a run leaves it, in place of the one before; no replica is waited for."""
    with session.connection.cursor() as cursor:
        cursor.execute(
            f"""
            set local synchronous_commit = local;
            insert into {names(session).snapshot} (taken_at, run_id, major, objects)
            values (clock_timestamp(), %s, %s, %s)
            on conflict (one) do update set taken_at = excluded.taken_at,
                run_id = excluded.run_id, major = excluded.major, objects = excluded.objects
            """,
            (run_id, catalog.major, json.dumps(catalog.objects)),
        )


def forget_snapshot(session: Session) -> None:
    """Keep no schema: what a run changes is nobody else's doing, wherever it stops.

    Nobody waits for this commit, neither for a disk nor for a replica: the log is written in order,
    so a migration that outlives a crash has this before it.
    """
    with session.connection.cursor() as cursor:
        cursor.execute(
            "begin; set local synchronous_commit = off;"
            f" delete from {names(session).snapshot}; commit"
        )
