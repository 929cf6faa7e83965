"""Sample rows: does a migration work on tables that are not empty, and what does undoing lose?"""

from __future__ import annotations

import psycopg2

from runner.database.session import Session
from runner.engine.execution import run_one
from runner.engine.run import Run
from runner.errors import RunnerError
from runner.files.folder import Folder
from runner.history.table import OURS
from runner.result import Proof

_ROWS = 2

# A value for each column that needs one, in SQL; n is the number of the row.
_VALUES = {
    "B": "n % 2 = 0",
    "D": "timestamp '2001-01-01' + n * interval '1 day'",
    "N": "n",
    "S": "'sample' || n || '@example.org'",
    "T": "n * interval '1 hour'",
    "A": "'{}'",
    "I": "'10.0.0.1'",
}

_COLUMNS = f"""
    select format('%I.%I', n.nspname, c.relname), quote_ident(a.attname),
           format_type(a.atttypid, a.atttypmod), t.typcategory, t.typname,
           (select enumlabel from pg_enum where enumtypid = t.oid order by enumsortorder limit 1),
           (select format('(select %I from %s offset (n - 1) %% {_ROWS} limit 1)', fa.attname,
                          f.confrelid::regclass)
            from pg_constraint f join pg_attribute fa
              on fa.attrelid = f.confrelid
             and fa.attnum = f.confkey[array_position(f.conkey, a.attnum)]
            where f.conrelid = c.oid and f.contype = 'f' and a.attnum = any (f.conkey) limit 1),
           a.atthasdef or a.attidentity <> ''
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    join pg_type t on t.oid = a.atttypid
    where c.relkind in ('r', 'p') and not c.relispartition and a.attgenerated = ''
      and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      and c.relname !~ '{OURS}'
    order by c.oid, a.attnum
"""


def prove(run: Run, session: Session, folder: Folder, entries: list[Proof]) -> None:
    """Apply and undo each migration on tables with rows; add problems to the entries.

    It ends at the first file that fails on rows, since those after it have nothing to stand on.
    """
    by_key = {entry["version"]: entry for entry in entries}
    for migration in (*folder.prompt, *folder.held):
        entry = by_key[migration.key]
        entry["unsampled"] = fill(session)
        before = contents(session)
        undo = folder.undo.get(migration.key)
        name = migration.name
        try:
            run_one(run, session, "apply", migration)
            if undo:
                name = undo.name
                run_one(run, session, "undo", undo)
                lost = losses(before, contents(session))
                entry["problems"] += [f"{undo.name} loses data: {line}" for line in lost]
                name = f"{migration.name}, again,"
                run_one(run, session, "apply", migration)
        except RunnerError as error:
            entry["problems"].append(f"{name} fails on tables with rows: {error.message}")
        entry["proved"] = entry["proved"] and not entry["problems"]
        if entry["problems"]:
            return


def fill(session: Session) -> list[str]:
    """Put rows into every empty table and return the tables that take none of ours.

    A foreign key needs the other table's rows first, so it goes round while that helps.
    """
    todo = {table: sql for table, sql in _inserts(session).items() if _is_empty(session, table)}
    progress = True
    while todo and progress:
        progress = False
        for table, sql in list(todo.items()):
            try:
                session.run(sql)
            except psycopg2.Error:
                continue
            if not _is_empty(session, table):
                del todo[table]
                progress = True
    return sorted(todo)


def contents(session: Session) -> dict[str, str]:
    """Return for each column a count and a hash of its values, whatever the order of the rows."""
    with session.connection.cursor() as cursor:
        cursor.execute(_COLUMNS)
        columns = [(row[0], row[1]) for row in cursor]
    found = {}
    for table, column in columns:
        found[f"{table}.{column}"] = session.run(
            f"select count({column}) || ' values ' || coalesce(md5(string_agg({column}::text, ','"
            f" order by {column}::text)), '') from {table}"
        )[0]
    return found


def losses(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the columns whose values are not what they were."""
    lines = []
    for column, values in before.items():
        now = after.get(column)
        if now != values:
            count = values.split(" ")[0]
            left = now.split(" ")[0] if now else "no"
            lines.append(f"{column} had {count} values, {left} are left or they are others")
    return lines


def _inserts(session: Session) -> dict[str, str]:
    with session.connection.cursor() as cursor:
        cursor.execute(_COLUMNS)
        rows = cursor.fetchall()
    tables: dict[str, list[tuple[str, str]]] = {}
    for table, column, type_, category, name, label, reference, has_default in rows:
        values = tables.setdefault(table, [])
        if not has_default:
            values.append((column, reference or _value(type_, category, name, label)))
    return {table: _insert(table, values) for table, values in tables.items()}


def _insert(table: str, values: list[tuple[str, str]]) -> str:
    if not values:
        return f"insert into {table} default values"
    columns = ", ".join(column for column, _ in values)
    chosen = ", ".join(value for _, value in values)
    return f"insert into {table} ({columns}) select {chosen} from generate_series(1, {_ROWS}) n"


def _value(type_: str, category: str, name: str, label: str | None) -> str:
    if label is not None:
        return "'" + label.replace("'", "''") + f"'::{type_}"
    special = {
        "uuid": "md5(n::text)::uuid", "json": "'{}'", "jsonb": "'{}'", "bytea": "'x'",
    }.get(name)  # fmt: skip
    return f"({special or _VALUES.get(category, 'null')})::{type_}"


def _is_empty(session: Session, table: str) -> bool:
    return session.run(f"select not exists (select from {table})")[0] is True
