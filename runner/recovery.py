"""Tell from what a crash left behind whether a statement took effect.

Only the catalog is asked, never the clock. The answer is "done" (it took effect: skip it),
"run" (it did not, or running it again is harmless), other SQL to run in its place, or None:
a person must look.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from runner.lexer import unquoted
from runner.session import Deadline, Session
from runner.statements import Statement

DONE = "done"
RUN = "run"

_POLL = 1.0  # seconds between two looks at somebody else's index build

_INDEX = """
    select i.indexrelid, i.indisvalid, format('%%I.%%I', n.nspname, c.relname),
           exists (select from pg_catalog.pg_stat_progress_create_index p
                   where p.datname = current_database() and p.relid = i.indrelid
                     and p.index_relid in (i.indexrelid, 0))
    from pg_catalog.pg_index i
    join pg_catalog.pg_class c on c.oid = i.indexrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where i.indrelid = pg_catalog.to_regclass(%s) and c.relname = %s
"""

# What a failed REINDEX CONCURRENTLY leaves, on the table of an index or on a table.
_LEFTOVERS = """
    select format('%%I.%%I', n.nspname, c.relname)
    from pg_catalog.pg_index i
    join pg_catalog.pg_class c on c.oid = i.indexrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where not i.indisvalid and c.relname ~ '_cc(new|old)[0-9]*$'
      and i.indrelid in (
          select pg_catalog.to_regclass(%(name)s)::oid union all
          select indrelid from pg_catalog.pg_index
          where indexrelid = pg_catalog.to_regclass(%(name)s))
      and not exists (select from pg_catalog.pg_stat_progress_create_index p
                      where p.relid = i.indrelid and p.datname = current_database())
"""

_PARTITION = """
    select inhdetachpending from pg_catalog.pg_inherits
    where inhrelid = pg_catalog.to_regclass(%s) and inhparent = pg_catalog.to_regclass(%s)
"""

_CATALOGS = {
    "DATABASE": "select from pg_catalog.pg_database where datname = %s",
    "TABLESPACE": "select from pg_catalog.pg_tablespace where spcname = %s",
    "SUBSCRIPTION": "select from pg_catalog.pg_subscription where subname = %s",
}

# Running one of these again is harmless: it sets or refreshes, and does not add.
_REPEATABLE = {"VACUUM", "CLUSTER", "DISCARD", "ALTER"}


class Index(NamedTuple):
    """A concurrent index that a statement builds: names as SQL writes them and as the catalog."""

    name: str
    table: str


def index_built(statement: Statement) -> Index | None:
    """Return the index that CREATE INDEX CONCURRENTLY builds, None for another statement."""
    tokens = _without(list(statement.tokens()), "UNIQUE")
    if tokens[:3] != ["CREATE", "INDEX", "CONCURRENTLY"]:
        return None
    rest = tokens[6:] if tokens[3:6] == ["IF", "NOT", "EXISTS"] else tokens[3:]
    if rest[0] == "ON" or "ON" not in rest:
        return None  # unnamed: PostgreSQL makes a name up
    return Index(unquoted(rest[0]), _qualified(_without(rest[rest.index("ON") + 1 :], "ONLY")))


def identity(session: Session, statement: Statement) -> int | None:
    """Return the id of the index that the statement is about to build, where one is there."""
    index = index_built(statement)
    row = session.run(_INDEX, (index.table, index.name)) if index else None
    return int(row[0]) if row else None


def heal_index(
    session: Session, statement: Statement, *, deadline: Deadline, note: Callable[[str], None]
) -> None:
    """Drop what a failed build left under the name that the statement is about to use.

    An invalid index serves no query, but IF NOT EXISTS would take it for the finished one. One
    that is still being built is waited for; a valid one is never touched.
    """
    index = index_built(statement)
    told = False
    while index and not deadline.passed():
        row = session.run(_INDEX, (index.table, index.name))
        if row is None or row[1]:
            return
        _, _, name, building = row
        if not building:
            note(f"index {name} is invalid, left by a build that failed: dropping it")
            session.run(f"drop index concurrently {name}")
            return
        if not told:
            note(f"index {name} is still being built by another session: waiting for it")
            told = True
        time.sleep(_POLL)


def in_doubt(session: Session, statement: Statement, before: int | None) -> str | None:
    """Return what to do about a statement that was begun and not recorded as finished.

    Parameters:
        before: the id of the index of that name when the statement was begun.
    """
    tokens = list(statement.tokens())
    index = index_built(statement)
    if index:
        row = session.run(_INDEX, (index.table, index.name))
        return DONE if row and row[1] and row[0] != before else RUN
    if tokens[:3] == ["DROP", "INDEX", "CONCURRENTLY"]:
        name = _qualified(tokens[5:] if tokens[3:5] == ["IF", "EXISTS"] else tokens[3:])
        return RUN if _exists(session, name) else DONE
    if tokens[0] == "REINDEX":
        return _reindex(session, tokens)
    if "DETACH" in tokens and tokens[:2] == ["ALTER", "TABLE"]:
        return _detach(session, tokens)
    if tokens[0] in {"CREATE", "DROP"} and tokens[1] in _CATALOGS:
        name = unquoted(tokens[4] if tokens[2:4] == ["IF", "EXISTS"] else tokens[2])
        there = session.run(_CATALOGS[tokens[1]], (name,)) is not None
        return DONE if there == (tokens[0] == "CREATE") else RUN
    return RUN if tokens[0] in _REPEATABLE else None


def _reindex(session: Session, tokens: list[str]) -> str:
    rest = [token for token in tokens[1:] if token != "CONCURRENTLY"]  # noqa: S105
    if rest[:1] == ["("] and ")" in rest:
        rest = rest[rest.index(")") + 1 :]
    if rest[0] in {"INDEX", "TABLE"}:
        with session.connection.cursor() as cursor:
            cursor.execute(_LEFTOVERS, {"name": _qualified(rest[1:])})
            for (name,) in cursor.fetchall():
                session.run(f"drop index concurrently if exists {name}")
    return RUN


def _detach(session: Session, tokens: list[str]) -> str:
    rest = tokens[4:] if tokens[2:4] == ["IF", "EXISTS"] else tokens[2:]
    parent = _qualified(_without(rest, "ONLY"))
    child = _qualified(tokens[tokens.index("DETACH") + 2 :])
    row: Any = session.run(_PARTITION, (child, parent))
    if row is None:
        return DONE
    return f"alter table {parent} detach partition {child} finalize" if row[0] else RUN


def _exists(session: Session, name: str) -> bool:
    return session.run("select pg_catalog.to_regclass(%s) is not null", (name,))[0] is True


def _without(tokens: list[str], word: str) -> list[str]:
    """Return the tokens without an optional word among the first two."""
    head = [token for token in tokens[:2] if token != word]
    return head + tokens[2:]


def _qualified(tokens: list[str]) -> str:
    """Return the possibly qualified name that the tokens begin with, as SQL."""
    name = _sql(tokens[0])
    for dot, part in zip(tokens[1::2], tokens[2::2], strict=False):
        if dot != ".":
            break
        name += "." + _sql(part)
    return name


def _sql(token: str) -> str:
    return token if token.startswith('"') else token.lower()
