"""Tell from what a crash left behind whether a statement took effect, and heal what is half.

Only the catalog is asked, never the clock. The answer is "done" (it took effect: skip it),
"run" (it did not, or running it again is harmless), other SQL to run in its place, or None:
a person must look.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg2

from runner.database.checks import said
from runner.database.session import Session
from runner.deadline import Deadline, backoff
from runner.errors import Incomplete
from runner.syntax import names
from runner.syntax.lexer import unquoted
from runner.syntax.names import Detach, Index, Rebuilt
from runner.syntax.scanner import Statement

DONE = "done"
RUN = "run"

_EVERYTHING = {"DATABASE", "SYSTEM"}

_POLL = (0.1, 2.0)  # seconds: first and longest pause between two looks at another's build

# A build holds this lock on its table from its beginning to its end. Unlike the progress view,
# pg_locks shows it to everybody. An autovacuum has it too, and gives way by itself.
_BUSY = """exists (
    select from pg_catalog.pg_locks l
    left join pg_catalog.pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'relation' and l.relation = i.indrelid
      and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
      and l.mode = 'ShareUpdateExclusiveLock' and l.granted
      and l.pid <> pg_catalog.pg_backend_pid()
      and a.backend_type is distinct from 'autovacuum worker')"""

_INDEX = f"""
    select i.indexrelid, i.indisvalid, format('%%I.%%I', n.nspname, c.relname), {_BUSY}
    from pg_catalog.pg_index i
    join pg_catalog.pg_class c on c.oid = i.indexrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where i.indrelid = %s::oid and c.relname = %s and c.relkind = 'i'
"""

# What a failed REINDEX CONCURRENTLY leaves on what it rebuilds: an index, a table with its
# partitions, a schema, everything; and on what is stored beside them.
_LEFTOVERS = f"""
    with recursive named (oid) as (
        select c.oid from pg_catalog.pg_class c
        where c.oid = %(relation)s::oid or c.relnamespace = %(schema)s::oid or %(everything)s
        union
        select i.indrelid from pg_catalog.pg_index i where i.indexrelid = %(relation)s::oid
    ), meant (oid) as (
        select oid from named
        union
        select h.inhrelid from meant m join pg_catalog.pg_inherits h on h.inhparent = m.oid
    )
    select pg_catalog.array_agg(format('%%I.%%I', n.nspname, c.relname))
    from pg_catalog.pg_index i
    join pg_catalog.pg_class c on c.oid = i.indexrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where not i.indisvalid and c.relname ~ '_cc(new|old)[0-9]*$' and c.relkind = 'i'
      and i.indrelid in (
          select oid from meant union
          select t.reltoastrelid from meant join pg_catalog.pg_class t on t.oid = meant.oid)
      and not {_BUSY}
"""
_SCHEMA = "select oid from pg_catalog.pg_namespace where nspname = %s"

# Partitions are detached concurrently from version 14 on; before, the column is not there.
_PARTITION = """
    select p.inhrelid,
           coalesce((pg_catalog.to_jsonb(p) ->> 'inhdetachpending')::boolean, false)
    from pg_catalog.pg_inherits p
    where p.inhrelid = %s::oid and p.inhparent = %s::oid
"""

_CATALOGS = {
    "DATABASE": "select oid from pg_catalog.pg_database where datname = %s",
    "TABLESPACE": "select oid from pg_catalog.pg_tablespace where spcname = %s",
    "SUBSCRIPTION": "select oid from pg_catalog.pg_subscription where subname = %s",
}

# Running one of these again is harmless: it sets or refreshes, and does not add.
_REPEATABLE = {"VACUUM", "CLUSTER", "DISCARD", "ALTER", "REINDEX"}


def identity(session: Session, statement: Statement) -> int | None:
    """Return the id of what a statement makes or takes away, None where that is not there.

    Noted before the statement runs, it tells afterwards whether the statement was at work.
    """
    tokens = list(statement.tokens())
    row = None
    if index := names.index_built(statement):
        row = _index(session, index)
    elif dropped := names.index_dropped(tokens):
        row = session.resolve([dropped])
    elif detached := names.detached(tokens):
        row = _partition(session, detached)
    elif name := _cataloged(tokens):
        row = session.look(_CATALOGS[tokens[1]], (name,))
    return row[0] if row else None


def _index(session: Session, index: Index) -> Any:
    return session.look(_INDEX, (*session.resolve([index.table]), index.name))


def _partition(session: Session, detached: Detach) -> Any:
    return session.look(_PARTITION, session.resolve([detached.partition, detached.parent]))


def _cataloged(tokens: list[str]) -> str | None:
    """Return the name of the database, tablespace or subscription that is made or dropped."""
    if tokens[0] not in {"CREATE", "DROP"} or not tokens[2:] or tokens[1] not in _CATALOGS:
        return None
    name = tokens[4:5] if tokens[2:4] == ["IF", "EXISTS"] else tokens[2:3]
    return unquoted(name[0]) if name else None


def in_doubt(session: Session, statement: Statement, before: int | None) -> str | None:
    """Return what to do about a statement that was begun and not recorded as finished.

    Parameters:
        before: its identity when it was begun.
    """
    tokens = list(statement.tokens())
    if index := names.index_built(statement):
        row = _index(session, index)
        return DONE if row and row[1] and row[0] != before else RUN
    now = identity(session, statement)
    if names.index_dropped(tokens):
        return RUN if now or not before else DONE
    if detached := names.detached(tokens):
        row = _partition(session, detached)
        if row and row[1]:
            return f"alter table {detached.parent} detach partition {detached.partition} finalize"
        return RUN if now or not before else DONE
    if _cataloged(tokens):
        took_effect = now not in {None, before} if tokens[0] == "CREATE" else before and not now
        return DONE if took_effect else RUN
    return RUN if tokens[0] in _REPEATABLE else None


def heal(
    session: Session, statement: Statement, deadline: Deadline, note: Callable[[str], None]
) -> None:
    """Take away what a failed statement of this kind left and would be in the way."""
    index = names.index_built(statement)
    if index:
        heal_index(session, index, deadline, note)
    for name in _leftovers(session, names.reindexed(list(statement.tokens()))):
        left = f"index {name} is invalid, left by a REINDEX that failed"
        try:
            session.run(f"drop index concurrently if exists {name}")
        except psycopg2.errors.InsufficientPrivilege as error:
            # Of a table's TOAST only a superuser may drop one, and of another's table only its
            # owner. Another REINDEX passes over it with a warning. Tried on 18.6: VACUUM FULL
            # leaves it there, an ALTER TABLE that rewrites its table does not.
            note(
                f"{left}; it stays ({said(error)}) until a superuser drops it, or an ALTER TABLE"
                " rewrites its table"
            )
        else:
            note(f"{left}: it is dropped")


def _leftovers(session: Session, rebuilt: Rebuilt | None) -> list[str]:
    if rebuilt is None:
        return []
    meant: dict[str, int | bool | None] = {
        "relation": None, "schema": None, "everything": rebuilt.kind in _EVERYTHING,
    }  # fmt: skip
    if rebuilt.kind == "SCHEMA":
        row = session.look(_SCHEMA, (unquoted(rebuilt.name),))
        meant["schema"] = row[0] if row else None
    elif rebuilt.name:
        (meant["relation"],) = session.resolve([rebuilt.name])
    return session.look(_LEFTOVERS, meant)[0] or []


def heal_index(
    session: Session, index: Index, deadline: Deadline, note: Callable[[str], None]
) -> None:
    """Drop what a failed build left under the name of an index.

    An invalid index serves no query, but IF NOT EXISTS would take it for the finished one. One
    that is still being built is waited for; a valid one is never touched.

    Raises:
        Incomplete: the deadline came while it was waited for.
    """
    told = False
    for pause in backoff(*_POLL):
        row = _index(session, index)
        if row is None or row[1]:
            return
        _, _, name, busy = row
        if not busy:
            note(f"index {name} is invalid, left by a build that failed: dropping it")
            session.run(f"drop index concurrently {name}")
            return
        if deadline.passed():
            raise Incomplete(
                f"the deadline came while another session was building index {name}",
                fix="run again when that has ended",
            )
        if not told:
            note(f"index {name} is still being built by another session: waiting for it")
            told = True
        time.sleep(pause)
