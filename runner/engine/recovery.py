"""Tell from what a crash left behind whether a statement took effect, and heal what is half.

Only the catalog is asked, never the clock. The answer is "done" (it took effect: skip it),
"run" (it did not, or running it again is harmless), other SQL to run in its place, or None:
a person must look.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from runner.database.session import Session
from runner.deadline import Deadline, backoff
from runner.errors import Incomplete
from runner.syntax import names
from runner.syntax.lexer import unquoted
from runner.syntax.names import Index
from runner.syntax.scanner import Statement

DONE = "done"
RUN = "run"

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
    where i.indrelid = pg_catalog.to_regclass(%s) and c.relname = %s and c.relkind = 'i'
"""

# What a failed REINDEX CONCURRENTLY leaves, on the table of an index or on a table.
_LEFTOVERS = f"""
    select format('%%I.%%I', n.nspname, c.relname)
    from pg_catalog.pg_index i
    join pg_catalog.pg_class c on c.oid = i.indexrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where not i.indisvalid and c.relname ~ '_cc(new|old)[0-9]*$' and c.relkind = 'i'
      and i.indrelid in (
          select pg_catalog.to_regclass(%(name)s)::oid union all
          select indrelid from pg_catalog.pg_index
          where indexrelid = pg_catalog.to_regclass(%(name)s))
      and not {_BUSY}
"""

# Partitions are detached concurrently from version 14 on; before, the column is not there.
_PARTITION = """
    select p.inhrelid,
           coalesce((pg_catalog.to_jsonb(p) ->> 'inhdetachpending')::boolean, false)
    from pg_catalog.pg_inherits p
    where p.inhrelid = pg_catalog.to_regclass(%s) and p.inhparent = pg_catalog.to_regclass(%s)
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
        row = session.run(_INDEX, (index.table, index.name))
    elif dropped := names.index_dropped(tokens):
        row = session.run("select pg_catalog.to_regclass(%s)::oid", (dropped,))
    elif detached := names.detached(tokens):
        row = session.run(_PARTITION, (detached.partition, detached.parent))
    elif tokens[0] in {"CREATE", "DROP"} and tokens[1] in _CATALOGS:
        name = tokens[4] if tokens[2:4] == ["IF", "EXISTS"] else tokens[2]
        row = session.run(_CATALOGS[tokens[1]], (unquoted(name),))
    return row[0] if row else None


def in_doubt(session: Session, statement: Statement, before: int | None) -> str | None:
    """Return what to do about a statement that was begun and not recorded as finished.

    Parameters:
        before: its identity when it was begun.
    """
    tokens = list(statement.tokens())
    if index := names.index_built(statement):
        row = session.run(_INDEX, (index.table, index.name))
        return DONE if row and row[1] and row[0] != before else RUN
    now = identity(session, statement)
    if names.index_dropped(tokens):
        return RUN if now or not before else DONE
    if detached := names.detached(tokens):
        row = session.run(_PARTITION, (detached.partition, detached.parent))
        if row and row[1]:
            return f"alter table {detached.parent} detach partition {detached.partition} finalize"
        return RUN if now or not before else DONE
    if tokens[1:2] and tokens[1] in _CATALOGS and tokens[0] in {"CREATE", "DROP"}:
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
    table = names.reindexed(list(statement.tokens()))
    if table:
        with session.connection.cursor() as cursor:
            cursor.execute(_LEFTOVERS, {"name": table})
            leftovers = [name for (name,) in cursor]
        for name in leftovers:
            note(f"index {name} is invalid, left by a REINDEX that failed: dropping it")
            session.run(f"drop index concurrently if exists {name}")


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
        row = session.run(_INDEX, (index.table, index.name))
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
