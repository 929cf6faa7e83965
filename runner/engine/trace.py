"""Which locks a migration took on what was there before, and what it rewrote.

Read from pg_locks at the end of the migration's transaction, in messages that are sent anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runner.database.quoting import literal
from runner.database.session import SAFELY, Session
from runner.engine.job import Job
from runner.history.table import OURS
from runner.result import Trace
from runner.syntax.locks import locks_in
from runner.syntax.modes import MODES

_FILES = "runner.files"  # a setting of the transaction that holds what `before` found

# Relations that a user's migration may touch: not the system's, and not our own. Functions tell of
# one relation at a time, for planning a join with the catalog takes longer than all of them.
_PG_CLASS = 1259  # the oid of the catalog of relations
_KINDS = "('table', 'view', 'materialized view', 'foreign table')"
_TOUCHABLE = (
    f"(o).type in {_KINDS} and (o).schema !~ '^pg_' and (o).schema <> 'information_schema'"
    f" and (o).name !~ '{OURS}'"
)
# 13 fails to identify what is gone.
_THERE = "case when pg_catalog.pg_table_is_visible(oid) is not null then oid end"
_IDENTIFIED = f"pg_catalog.pg_identify_object({_PG_CLASS}, {_THERE}, 0) as o"

_NAMES = "runner.names"  # as well: the ids of what the file names

_NAMED = f"""recursive named (oid) as (
        select name::oid from pg_catalog.unnest(pg_catalog.string_to_array(
            pg_catalog.current_setting('{_NAMES}'), ' ')) name
        union
        select i.inhrelid from pg_catalog.pg_inherits i join named n on n.oid = i.inhparent)"""
_EVERY = """named (oid) as (
        select oid from pg_catalog.pg_class where relkind in ('r', 'p', 'm', 'v', 'f'))"""
_BEFORE = f"""
    select pg_catalog.set_config('{_FILES}', (
        with {{those}}
        select pg_catalog.jsonb_object_agg(oid, pg_catalog.jsonb_build_array(
            (o).identity, pg_catalog.pg_relation_filenode(oid)))::text
        from (select oid, {_IDENTIFIED} from named offset 0) named where {_TOUCHABLE}
    ), true)
"""


def before(job: Job, session: Session, call: Callable[[str], str] = str) -> str:
    """Return SQL that notes name and storage of what a file may rewrite or drop.

    That is what its text names, so that the cost is the file's and not the database's; all
    relations only where the text cannot tell, as for code that it calls.

    Parameters:
        call: returns the SQL that runs a query, where it is not sent as it is.
    """
    if job.replaced is None:
        return f"{_BEFORE.format(those=_EVERY)}; "
    if not job.replaced:
        return ""
    return _resolved(job.replaced, session) + f"{call(_BEFORE.format(those=_NAMED))}; "


def _resolved(names: Sequence[str], session: Session) -> str:
    """Return SQL that keeps the ids of names, by the path that the file has and nothing else."""
    texts = (literal(session.connection, name) for name in names)
    ids = ", ".join(f"pg_catalog.to_regclass({text})::pg_catalog.oid" for text in texts)
    kept = f"pg_catalog.set_config('{_NAMES}', pg_catalog.concat_ws(' ', {ids}), true)"
    return f"select {kept} from (select {session.files_path()} offset 0) first; {SAFELY}"


# A relation is old where one of its columns, system columns included, was not written by this
# transaction. Nobody waits for what is new. Within reach are ids that subtransactions may have;
# a frozen row's id may be of any age.
_REACH = 10_000_000
_OLD = f"""exists (
    select from pg_catalog.pg_attribute a where a.attrelid = oid
    and pg_catalog.age(a.xmin) not between -{_REACH} and 0)"""

_FIRST_OID = 16_384  # that a user's object can have (FirstNormalObjectId in access/transam.h)
_MODES = f"('{{{','.join(MODES)}}}'::text[])"

# Two moments that a transaction keeps, in seconds since 1970: its own beginning, and a file's.
_OPENED, _BEGAN = "runner.opened", "runner.began"
_NOW = "extract(epoch from pg_catalog.clock_timestamp())::pg_catalog.numeric"

OPENED = f"pg_catalog.set_config('{_OPENED}', ({_NOW})::text, true)"
BEGAN = f"pg_catalog.set_config('{_BEGAN}', ({_NOW})::text, true)"


def _since(setting: str) -> str:
    moment = f"nullif(pg_catalog.current_setting('{setting}', true), '')::pg_catalog.numeric"
    passed = f"pg_catalog.round(({_NOW} - {moment}) * 1000)"
    # SQL knows no clock but the one that may be set back.
    return f"case when {passed} < 0 then 0 else {passed} end"


def duration(otherwise: int) -> str:
    """Return SQL for the milliseconds since a file began, by the server's clock.

    Parameters:
        otherwise: for a file that reset all settings, and with them when it began.
    """
    return f"coalesce({_since(_BEGAN)}, {otherwise})::bigint"


# How large it was what a file worked on tells later plans how long that takes. What was done at
# once tells nothing, and nothing is measured for it.
_SLOW = 200  # milliseconds
_SIZE = f"""case when {_since(_OPENED)} >= {_SLOW}
    then pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'bytes', pg_catalog.pg_total_relation_size(oid)))
    else '{{}}' end"""

_LOCKS = f"""
    select {_MODES}[strength] as mode, o is null as dropped, {_SIZE} as size,
           coalesce(noted ->> 0, (o).identity) as relation,
           pg_catalog.pg_relation_filenode(oid) <> (noted ->> 1)::oid as rewritten
    from (select oid, strength, {_IDENTIFIED},
                 (select nullif(pg_catalog.current_setting('{_FILES}', true), '')::jsonb)
                     -> oid::text as noted
          from (select relation as oid,
                       max(pg_catalog.array_position({_MODES}, mode)) as strength
                from pg_catalog.pg_lock_status()
                where locktype = 'relation' and pid = pg_catalog.pg_backend_pid() and granted
                  and database <> 0 and relation >= {_FIRST_OID}
                group by relation) held offset 0) locked
    where noted is not null or ({_TOUCHABLE} and {_OLD})
"""

# The trace as the history's log keeps it, to be read before anything is reset; a file that
# resets all settings leaves nothing to compare with, and so neither rewritten nor dropped.
DETAILS = f"""(
    select pg_catalog.jsonb_build_object(
        'locks', coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'relation', relation, 'mode', mode) || size order by relation), '[]'),
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
        "rewritten": [lock.relation for lock in found if lock.may_rewrite],
    }
