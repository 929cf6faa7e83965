"""The key that a backfill goes along: whether it can, the next range of it, and what is left."""

from __future__ import annotations

import json
from typing import NamedTuple

import psycopg2

from runner.database.quoting import literal
from runner.database.session import SAFELY, Session
from runner.errors import ValidationFailed
from runner.files.backfill import FIRST, LAST
from runner.files.directives import Batch
from runner.syntax.lexer import unquoted

# Types whose values have one order, that of their index, and a text that is read as the same value.
_TYPES = (
    "smallint", "integer", "bigint", "numeric", "uuid", "text", "character varying", "date",
    "timestamp without time zone", "timestamp with time zone",
)  # fmt: skip
_KINDS = {"v": "view", "m": "materialized view", "f": "foreign table"}

# An index in descending order is read backwards. Another operator class has another order.
_SERVES = """i.indkey[0] = a.attnum and i.indpred is null and i.indoption[0] in (0, 3)
    and i.indcollation[0] = a.attcollation and exists (
        select from pg_catalog.pg_opclass o
        join pg_catalog.pg_am m on m.oid = o.opcmethod and m.amname = 'btree'
        where o.oid = i.indclass[0] and o.opcdefault)"""

_FIND = f"""
    select c.relkind::text, c.relpersistence = 't',
           pg_catalog.format('%%I.%%I', n.nspname, c.relname), pg_catalog.quote_ident(a.attname),
           pg_catalog.format_type(coalesce(nullif(t.typbasetype, 0), a.atttypid), null),
           a.attnotnull, pg_catalog.has_column_privilege(c.oid, a.attnum, 'select'),
           pg_catalog.row_security_active(c.oid),
           (select pg_catalog.array_agg(i.indexrelid::pg_catalog.regclass::text)
            from pg_catalog.pg_index i
            where i.indrelid = c.oid and {_SERVES} and not i.indisvalid),
           (select pg_catalog.bool_or(i.indisunique and i.indnkeyatts = 1)
            from pg_catalog.pg_index i
            where i.indrelid = c.oid and {_SERVES} and i.indisvalid)
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    left join pg_catalog.pg_attribute a
        on a.attrelid = c.oid and a.attname = %s and a.attnum > 0 and not a.attisdropped
    left join pg_catalog.pg_type t on t.oid = a.atttypid
    where c.oid = %s::pg_catalog.oid
"""


class Key(NamedTuple):
    """A column that a backfill goes along, as SQL of ours writes it: names are quoted.

    `unique`: no two rows have the same.
    """

    table: str
    column: str
    type: str
    unique: bool


class Range(NamedTuple):
    """The keys of a batch, both ends with it, as text, and how many rows have them."""

    first: str
    last: str
    rows: int


class Unusable(ValidationFailed):
    """A backfill has no key that it could go along."""


def find(session: Session, batch: Batch) -> Key:
    """Return the key of a backfill.

    Raises:
        Unusable: there is none, or not every row would be met once by it.
    """
    (oid,) = session.resolve_for_files([batch.table])
    name = f"batch={batch.table}.{batch.column}"
    if oid is None:
        raise _unusable(name, f"there is no table {batch.table}", "check its name and its schema")
    (kind, temporary, table, column, type_, not_null, may_read, hidden, invalid, unique) = (
        session.look(_FIND, (unquoted(batch.column), oid))
    )
    if kind not in {"r", "p"} or temporary:
        what = "temporary table" if temporary else _KINDS.get(kind, "relation of another kind")
        raise _unusable(name, f"{table} is a {what}", "go along a table that stays")
    if column is None:
        raise _unusable(name, f"{table} has no column {batch.column}", "check its name")
    key = Key(table, column, type_, bool(unique))
    if not may_read:
        fix = f"grant select on {table} to the migrating role"
        raise _unusable(name, "the login may not read the key", fix)
    if hidden:
        fix = "run as the table's owner, or as a role with BYPASSRLS"
        raise _unusable(name, f"row level security may hide rows of {table}", fix)
    if type_ not in _TYPES:
        fix = f"go along a column of type {', '.join(_TYPES)}"
        raise _unusable(name, f"{column} is of type {type_}", fix)
    if not not_null:
        fix = f"in an earlier file: alter table {table} alter column {column} set not null"
        raise _unusable(name, f"{column} may be null, and such rows would never be met", fix)
    if unique is None:
        raise _unusable(name, *_index(key, kind, invalid))
    return key


def _index(key: Key, kind: str, invalid: list[str] | None) -> tuple[str, str]:
    """Return what is wrong where no index serves, and what to do about it."""
    if invalid:
        fix = f"drop index concurrently {invalid[0]}, and build it again in an earlier file"
        return f"the index {invalid[0]} is invalid, left by a build that failed", fix
    made = f"create index concurrently … on {key.table} ({key.column})"
    if kind == "p":
        made = f"create index … on only {key.table} ({key.column}), one on each partition, attach"
    why = f"no index of {key.table} begins with {key.column}, in its type's own order"
    return why, f"in an earlier file: {made}"


def _unusable(name: str, what: str, fix: str) -> Unusable:
    return Unusable(f"{name}: {what}", fix=fix)


def _above(session: Session, key: Key, last: str | None) -> str:
    """Return the condition on rows whose key is above one that is given as text."""
    if last is None:
        return "where true"
    return f"where {key.column} > {literal(session.connection, last)}::{key.type}"


def next_range(session: Session, key: Key, last: str | None, size: int) -> str:
    """Return a query for the next range above a key, which sets its ends for the transaction.

    It gives a Range, of no rows where no key is left. Rows of one key are in one range, however
    many they are; they are counted only where there may be such or fewer than the size.
    """
    column = key.column
    rows = f"from {key.table} {_above(session, key, last)}"
    return f"""
        with ends (first, last) as (
            select (select {column} {rows} order by {column} limit 1),
                   (select {column} {rows} order by {column} offset {size - 1} limit 1)
        ), range (first, last, full_size) as (
            select first, coalesce(last, (select {column} {rows} order by {column} desc limit 1)),
                   last is not null
            from ends
        )
        select pg_catalog.set_config('{FIRST}', first::text, true) as first,
               pg_catalog.set_config('{LAST}', last::text, true) as last,
               case when full_size and {key.unique} then {size}
                    else (select pg_catalog.count(*) {rows} and {column} <= range.last)
               end as rows
        from range"""


_BRIEF = 100  # milliseconds that a look waits for a lock
_KNOWN = """
    select exists (select from pg_catalog.pg_stats s
                   where pg_catalog.format('%%I.%%I', s.schemaname, s.tablename) = %s
                     and pg_catalog.quote_ident(s.attname) = %s)
"""


def total(session: Session, key: Key) -> int | None:
    """Return about how many rows the table has, by its size and what is known of its rows.

    None where somebody locks the table, for a look waits for nobody.
    """
    return _estimated(session, key, None)


def left(session: Session, key: Key, last: str | None) -> int | None:
    """Return about how many rows are above a key, as `total` does.

    None as well where ANALYZE has not seen the table.
    """
    known = session.look(_KNOWN, (key.table, key.column))[0]
    return _estimated(session, key, last) if known else None


def _estimated(session: Session, key: Key, last: str | None) -> int | None:
    """Return the planner's estimate: it reads statistics and the size, and no row."""
    condition = _above(session, key, last)
    try:
        row = session.run(
            f"{SAFELY}set local lock_timeout = {_BRIEF}; explain (format json)"
            f" select {key.column} from {key.table} {condition}"
        )
    except psycopg2.errors.LockNotAvailable:
        return None
    plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
    return int(plan[0]["Plan"]["Plan Rows"])
