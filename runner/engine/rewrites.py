"""Whether a statement has PostgreSQL write a table anew, where that is not in its text."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg2

from runner.database.session import Session
from runner.syntax.locks import Doubt, Expected
from runner.syntax.types import is_rewritten

# A domain is the type below it, if it asks for nothing: the old one of any length. The length of
# the new type is its own where it is a domain, else in the text.
_TYPES = """
    with asked as (
        select a.atttypid, a.atttypmod, pg_catalog.to_regtype(%(type)s) as wanted
        from (select) one left join pg_catalog.pg_attribute a
            on a.attrelid = %(relation)s and a.attname = %(column)s and not a.attisdropped),
    plain as (
        select coalesce(nullif(o.typbasetype, 0), o.oid) as old,
               case when o.typbasetype <> 0 then null else atttypmod end as length,
               coalesce(nullif(n.typbasetype, 0), n.oid) as new,
               case when n.typbasetype <> 0 then n.typtypmod end as wanted,
               coalesce(n.typnotnull or exists (
                   select from pg_catalog.pg_constraint where contypid = n.oid), false) as strict
        from asked left join pg_catalog.pg_type o on o.oid = atttypid
        left join pg_catalog.pg_type n on n.oid = wanted)
    select pg_catalog.format_type(old, length), pg_catalog.format_type(new, wanted), strict,
           exists (select from pg_catalog.pg_cast
                   where castsource = old and casttarget = new and castmethod = 'b'),
           pg_catalog.current_setting('TimeZone') in ('UTC', 'Etc/UTC', 'GMT', 'Etc/GMT')
    from plain
"""
_STORED = """
    select %(stored)s = any(array[
        case c.relpersistence when 'p' then 'logged' when 'u' then 'unlogged' end,
        t.spcname::text, m.amname::text])
    from pg_catalog.pg_class c
    join pg_catalog.pg_database d on d.datname = pg_catalog.current_database()
    left join pg_catalog.pg_tablespace t
        on t.oid = coalesce(nullif(c.reltablespace, 0), d.dattablespace)
    left join pg_catalog.pg_am m on m.oid = c.relam
    where c.oid = %(relation)s
"""
_CALLS = """
    select count(distinct proname) filter (where provolatile <> 'v') = %s
        and count(*) filter (where provolatile = 'v') = 0
    from pg_catalog.pg_proc where proname = any(%s)
"""


def settled(session: Session, locks: Sequence[Expected]) -> list[Expected]:
    """Return locks without doubts: what the text does not tell is asked of the server.

    What that cannot tell either, of a column or a function that the plan itself makes, counts as
    a rewrite.
    """
    relations = session.resolve_for_files([lock.relation for lock in locks if lock.doubts])
    known = iter(relations)
    found = []
    for lock in locks:
        relation = next(known) if lock.doubts else None
        rewrite = lock.may_rewrite  # nothing to ask of what the plan itself makes
        if relation is not None:
            asked = (_rewrites(session, relation, doubt) for doubt in lock.doubts)
            rewrite = lock.rewrite or any(asked)
        found.append(lock._replace(rewrite=rewrite, doubts=()))
    return found


def _rewrites(session: Session, relation: int, doubt: Doubt) -> bool:
    if doubt.stored:
        stored = session.run(_STORED, {"stored": doubt.stored, "relation": relation})
        return not (stored and stored[0])
    try:
        calls = bool(doubt.calls) and not _are_stable(session, doubt.calls)
        return calls or (bool(doubt.type) and _is_written_anew(session, relation, doubt))
    except psycopg2.Error:  # to_regtype of what is no type
        return True


def _are_stable(session: Session, calls: tuple[str, ...]) -> bool:
    """Return whether all functions of these names are there, and give the same for every row."""
    (stable,) = session.run(_CALLS, (len(set(calls)), list(calls)))
    return bool(stable)


def _is_written_anew(session: Session, relation: int, doubt: Doubt) -> bool:
    asked = {"type": doubt.type, "relation": relation, "column": doubt.column}
    sql = f"select {session.files_path()}; {_TYPES}"  # its types are those that the file sees
    old, new, strict, same_bytes, utc = session.run(sql, asked)
    if doubt.column is None:  # a new one
        return bool(strict)
    if old is None or new is None or strict:
        return True
    return is_rewritten(old, new, doubt.type, same_bytes=same_bytes, utc=utc)
