"""Other sessions of the server: who holds a lock, who blocks us, who is in a long transaction."""

from __future__ import annotations

import re
from typing import Any, cast

from psycopg2.extensions import connection as Connection

from runner.errors import Session

_TEXT = 300  # characters of another session's query that are shown

_SESSION = f"""
    a.pid, a.usename as "user", a.application_name as application,
    a.client_addr::text as address, a.state,
    greatest(extract(epoch from clock_timestamp() - a.xact_start), 0)::float8
        as transaction_seconds,
    left(a.query, {_TEXT}) as query
"""

_HOLDER = f"""
    select {_SESSION}
    from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'advisory' and l.granted and l.objsubid = 1
      and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
      and (l.classid::bigint << 32 | l.objid::bigint) = %s
"""

_ON_TABLES = f"""
    select {_SESSION}, l.mode, n.nspname || '.' || c.relname as relation
    from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a on a.pid = l.pid
    join pg_catalog.pg_class c on c.oid = l.relation
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where l.granted and l.pid <> pg_catalog.pg_backend_pid()
      and n.nspname = %s and c.relname = any(%s)
      and l.database = (select oid from pg_catalog.pg_database
                        where datname = pg_catalog.current_database())
      and l.mode not in ('AccessShareLock', 'RowShareLock')
    order by a.xact_start limit 5
"""

_BLOCKERS = f"""
    select {_SESSION}, w.mode, w.relation::regclass::text as relation
    from unnest(pg_catalog.pg_blocking_pids(%s)) as b (pid)
    join pg_catalog.pg_stat_activity a on a.pid = b.pid
    left join lateral (
        select mode, relation from pg_catalog.pg_locks where pid = %s and not granted limit 1
    ) w on true
"""


_LONGEST = f"""
    select {_SESSION} from pg_catalog.pg_stat_activity a
    where a.datname = current_database() and a.pid <> pg_catalog.pg_backend_pid()
      and a.xact_start is not null
    order by a.xact_start limit 1
"""


# What holds the data of others, their passwords above all: texts, numbers of some length, comments.
# One that is cut off goes to the end.
_LITERAL = re.compile(
    r"'(?:[^']|'')*(?:'|\Z)|(\$\w*\$).*?(?:\1|\Z)|/\*.*?(?:\*/|\Z)|--[^\n]*|\b\d{5,}\b", re.DOTALL
)


def _rows(connection: Connection, sql: str, values: tuple[Any, ...]) -> list[Session]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        names = [column.name for column in cursor.description or ()]
        found = [dict(zip(names, row, strict=True)) for row in cursor]
    for session in found:
        session["query"] = _LITERAL.sub("…", session["query"] or "") or None
    return [cast(Session, session) for session in found]


def lock_holder(connection: Connection, key: int) -> Session | None:
    """Return the session that holds an advisory lock in this database, None if it was freed."""
    found = _rows(connection, _HOLDER, (key,))
    return found[0] if found else None


def table_holders(connection: Connection, schema: str, tables: tuple[str, ...]) -> list[Session]:
    """Return the other sessions that hold locks on tables of a schema, which and how, to write."""
    return _rows(connection, _ON_TABLES, (schema, list(tables)))


def blockers(connection: Connection, pid: int) -> list[Session]:
    """Return the sessions that keep the backend `pid` from a lock it waits for, and which lock."""
    return _rows(connection, _BLOCKERS, (pid, pid))


def longest_transaction(connection: Connection) -> Session | None:
    """Return the session that has been in a transaction longest here, None where none is."""
    found = _rows(connection, _LONGEST, ())
    return found[0] if found else None


def describe_session(session: Session) -> str:
    """Return one line about a session for a person."""
    age = session["transaction_seconds"]
    parts = [
        f"pid {session['pid']}",
        f"user {session['user']}",
        f"application {session['application'] or '(none)'}",
        f"{session['state']}" + (f", in a transaction for {age:.0f} s" if age else ""),
    ]
    if session.get("relation"):
        parts.append(f"in the way of {session['mode']} on {session['relation']}")
    return ", ".join(parts) + f"; query: {' '.join((session['query'] or '').split())}"
