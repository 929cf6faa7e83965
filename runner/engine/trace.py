"""Which locks a migration took on what was there before, and what it rewrote.

Read from pg_locks at the end of the migration's transaction, in messages that are sent anyway.
"""

from __future__ import annotations

from runner.database.quoting import literal
from runner.database.session import SAFELY, Session
from runner.engine.job import Job
from runner.history.table import OURS
from runner.result import Trace
from runner.syntax.locks import locks_in
from runner.syntax.modes import MODES

_FILES = "runner.files"  # a setting of the transaction that holds what `before` found

# Relations that a user's migration may touch: not the system's, and not our own.
_TOUCHABLE = f"""c.relkind in ('r', 'p', 'm', 'v', 'f')
      and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relname !~ '{OURS}'"""

_NAMES = "runner.names"  # as well: the ids of what the file names

# What a name means is told by the path that the file has, and nothing else is.
_RESOLVE = f"""
    select {{path}};
    select pg_catalog.set_config('{_NAMES}', (
        select pg_catalog.jsonb_agg(pg_catalog.to_regclass(name)::pg_catalog.oid)
        from pg_catalog.unnest(array[{{names}}]) name)::pg_catalog.text, true);
    {SAFELY}
"""

_NAMED = f"""where c.oid in (
        with recursive named (oid) as (
            select name::oid from pg_catalog.jsonb_array_elements_text(
                pg_catalog.current_setting('{_NAMES}')::jsonb) name
            union
            select i.inhrelid from pg_catalog.pg_inherits i join named n on n.oid = i.inhparent)
        select oid from named) and"""

_BEFORE = f"""
    select pg_catalog.set_config('{_FILES}', (
        select pg_catalog.jsonb_object_agg(c.oid, pg_catalog.jsonb_build_array(
            pg_catalog.format('%I.%I', n.nspname, c.relname), c.relfilenode))::text
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        {{where}} {_TOUCHABLE}
    ), true);
"""


def before(job: Job, session: Session) -> str:
    """Return SQL that notes name and storage of what a file may rewrite or drop.

    That is what its text names, so that the cost is the file's and not the database's; all
    relations only where the text cannot tell, as for code that it calls.
    """
    if job.replaced is None:
        return _BEFORE.format(where="where")
    if not job.replaced:
        return ""
    names = ", ".join(literal(session.connection, name) for name in job.replaced)
    resolved = _RESOLVE.format(path=session.files_path(), names=names)
    return resolved + _BEFORE.format(where=_NAMED)


# A relation is old where one of its columns, system columns included, was not written by this
# transaction. Nobody waits for what is new. Within reach are ids that subtransactions may have;
# a frozen row's id may be of any age.
_REACH = 10_000_000
_OLD = f"""exists (
    select from pg_catalog.pg_attribute a where a.attrelid = c.oid
    and pg_catalog.age(a.xmin) not between -{_REACH} and 0 offset 0)"""

_FIRST_OID = 16_384  # that a user's object can have (FirstNormalObjectId in access/transam.h)
_ORDER = f"pg_catalog.array_position('{{{','.join(MODES)}}}', l.mode)"

# The few locks first, then what they are on: planning every join at once took longer than all.
_LOCKS = f"""
    select l.mode, c.oid is null as dropped,
           coalesce(b.noted ->> 0, pg_catalog.format(
               '%s.%I', c.relnamespace::pg_catalog.regnamespace, c.relname)) as relation,
           c.relfilenode <> 0 and c.relfilenode <> (b.noted ->> 1)::bigint as rewritten
    from (select distinct on (l.relation) l.relation, l.mode from pg_catalog.pg_lock_status() l
          where l.locktype = 'relation' and l.pid = pg_catalog.pg_backend_pid() and l.granted
            and l.database <> 0 and l.relation >= {_FIRST_OID}
          order by l.relation, {_ORDER} desc offset 0) l
    cross join (select nullif(pg_catalog.current_setting('{_FILES}', true), '')::jsonb as noted
                offset 0) f
    cross join lateral (select f.noted -> l.relation::text as noted) b
    left join pg_catalog.pg_class c on c.oid = l.relation
    where b.noted is not null
       or (c.relkind in ('r', 'p', 'm', 'v', 'f') and c.relname !~ '{OURS}'
           and c.relnamespace::pg_catalog.regnamespace::text !~ '^pg_' and {_OLD})
"""

# Two moments that a transaction keeps, in seconds since 1970: its own beginning, and a file's.
_OPENED, _BEGAN = "runner.opened", "runner.began"
_NOW = "extract(epoch from pg_catalog.clock_timestamp())::pg_catalog.numeric"

OPENED = f"pg_catalog.set_config('{_OPENED}', ({_NOW})::text, true)"
BEGAN = f"pg_catalog.set_config('{_BEGAN}', ({_NOW})::text, true)"


def _since(setting: str) -> str:
    moment = f"nullif(pg_catalog.current_setting('{setting}', true), '')::pg_catalog.numeric"
    return f"pg_catalog.round(({_NOW} - {moment}) * 1000)"


def duration(otherwise: int) -> str:
    """Return SQL for the milliseconds since a file began, by the server's clock.

    Parameters:
        otherwise: for a file that reset all settings, and with them when it began.
    """
    return f"coalesce({_since(_BEGAN)}, {otherwise})::bigint"


# The trace as the history's log keeps it, to be read before anything is reset; a file that
# resets all settings leaves nothing to compare with, and so neither rewritten nor dropped.
DETAILS = f"""(
    select pg_catalog.jsonb_build_object(
        'locks', coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'relation', relation, 'mode', mode) order by relation), '[]'),
        'rewritten', coalesce(pg_catalog.jsonb_agg(relation order by relation)
            filter (where rewritten), '[]'),
        'dropped', coalesce(pg_catalog.jsonb_agg(relation order by relation)
            filter (where dropped), '[]'),
        'held_ms', coalesce({_since(_OPENED)}, 0))
    from ({_LOCKS}) taken
)"""


def from_text(job: Job) -> Trace:
    """Return the locks of a file that runs outside a transaction, as its text tells them.

    Such a statement gives its locks back in transactions of its own, so nothing is left to read
    when it ends; PostgreSQL documents which they are. `source` says that they were not traced.
    """
    found = sorted(locks_in(job.text))
    return {
        "source": "text",
        "locks": [{"relation": lock.relation, "mode": lock.mode} for lock in found],
        "rewritten": [lock.relation for lock in found if lock.rewrite],
    }
