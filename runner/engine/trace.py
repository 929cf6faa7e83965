"""Which locks a migration took on what was there before, and what it rewrote.

Read from pg_locks at the end of the migration's transaction, in messages that are sent anyway.
"""

from __future__ import annotations

from runner.engine.job import Job
from runner.history.table import OURS
from runner.result import Trace
from runner.syntax.locks import expect_all
from runner.syntax.modes import MODES

_FILES = "runner.files"  # a setting of the transaction that holds what BEFORE found

# Every relation with its storage, so that what is new, gone or rewritten shows at the end.
BEFORE = f"""
    select pg_catalog.set_config('{_FILES}', (
        select pg_catalog.jsonb_object_agg(c.oid, pg_catalog.jsonb_build_array(
            pg_catalog.format('%I.%I', n.nspname, c.relname), c.relfilenode))::text
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'm', 'v', 'f')
          and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
          and c.relname !~ '{OURS}'
    ), true);
"""

_ORDER = "array_position(array[" + ", ".join(f"'{mode}'" for mode in MODES) + "], l.mode)"

# What is not in the list of before is new, and nobody waits for it.
_LOCKS = f"""
    select distinct on (l.relation) l.mode, b.value ->> 0 as relation,
           c.oid is null as dropped,
           c.relfilenode <> 0 and c.relfilenode <> (b.value ->> 1)::bigint as rewritten
    from pg_catalog.pg_locks l
    join pg_catalog.jsonb_each(
        nullif(pg_catalog.current_setting('{_FILES}', true), '')::jsonb) b
      on b.key = l.relation::text
    left join pg_catalog.pg_class c on c.oid = l.relation
    where l.locktype = 'relation' and l.pid = pg_catalog.pg_backend_pid() and l.granted
      and l.database = (select oid from pg_catalog.pg_database
                        where datname = pg_catalog.current_database())
    order by l.relation, {_ORDER} desc
"""


# The trace as the history's log keeps it, to be read before anything is reset; a file that
# resets all settings leaves nothing to compare with, and so no locks.
DETAILS = f"""(
    select pg_catalog.jsonb_build_object(
        'locks', coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'relation', relation, 'mode', mode) order by relation), '[]'),
        'rewritten', coalesce(pg_catalog.jsonb_agg(relation order by relation)
            filter (where rewritten), '[]'),
        'dropped', coalesce(pg_catalog.jsonb_agg(relation order by relation)
            filter (where dropped), '[]'),
        'held_ms', round(extract(epoch from
            clock_timestamp() - transaction_timestamp()) * 1000))
    from ({_LOCKS}) taken
)"""


def from_text(job: Job) -> Trace:
    """Return the locks of a file that runs outside a transaction, as its text tells them.

    Such a statement gives its locks back in transactions of its own, so nothing is left to read
    when it ends; PostgreSQL documents which they are. `source` says that they were not traced.
    """
    found = sorted(expect_all(job.text))
    return {
        "source": "text",
        "locks": [{"relation": lock.relation, "mode": lock.mode} for lock in found],
        "rewritten": [lock.relation for lock in found if lock.rewrite],
    }
