"""Whether the history's tables are ours: looked at by name, before anything in them is read.

Who may create tables in the schema could have made them first, with triggers that run as whoever
migrates, or with rows that say that something was applied.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from psycopg2.extensions import connection as Connection

from runner.errors import ValidationFailed

# Whose code runs as us in any case: ours, and the superusers'.
_TRUSTED = """(
    select r.oid from pg_catalog.pg_roles r
    where r.rolsuper or r.rolname = current_user or r.rolname = session_user)"""

_LOOK = f"""
    select c.relname::text, n.nspname || '.' || c.relname, c.relkind::text,
           o.rolname::text, current_user::text,
           c.relowner in {_TRUSTED}
           -- Who only reads runs no trigger, and may read what those above it have made.
           or pg_catalog.current_setting('transaction_read_only') = 'on' and not me.rolsuper and (
               pg_catalog.pg_has_role(c.relowner, 'usage') or c.relowner = (
                   select datdba from pg_catalog.pg_database
                   where datname = pg_catalog.current_database())),
           c.relhasrules, c.relkind = 'r' and pg_catalog.row_security_active(c.oid),
           array(select t.tgname::text from pg_catalog.pg_trigger t
                 join pg_catalog.pg_proc p on p.oid = t.tgfoid
                 where t.tgrelid = c.oid and not t.tgisinternal and p.proowner not in {_TRUSTED}),
           (select coalesce(pg_catalog.jsonb_object_agg(
                a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)), '{{}}')
            from pg_catalog.pg_attribute a
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
           coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '')
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_roles o on o.oid = c.relowner
    join pg_catalog.pg_roles me on me.rolname = current_user
    where c.relname = any(%s)  -- by its index, whatever else the database holds
      and n.nspname = %s and c.relkind in ('r', 'p', 'v', 'm', 'f')
"""


_FORMAT = re.compile(r"\(format (\d{1,9})\)$")


class Found(NamedTuple):
    """A relation that is there: what it is, who owns it, and what could act when it is used.

    `table` is its name without the schema, `user` is whom we are, `trusted` whether the owner's
    code may run as us, `triggers` are those of others, `columns` the names with their types,
    `comment` what it says of itself.
    """

    table: str
    name: str
    kind: str
    owner: str
    user: str
    trusted: bool
    rules: bool
    filtered: bool
    triggers: Sequence[str]
    columns: dict[str, str]
    comment: str


def find(connection: Connection, schema: str, tables: Sequence[str]) -> dict[str, Found]:
    """Return those of the relations of a schema that are there, by their names.

    Raises:
        ValidationFailed: one could run somebody else's code, or hide rows.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOOK, (list(tables), schema))
        found = [Found(*row) for row in cursor]
    for relation in found:
        _require_ours(relation)
    return {relation.table: relation for relation in found}


def require_columns(found: Found, expected: dict[str, str]) -> None:
    """Refuse a table that lacks columns, or has them with other types.

    Raises:
        ValidationFailed: naming them.
    """
    missing = sorted(expected.keys() - found.columns.keys())
    if missing:
        raise _strange(found, f"no column {', '.join(missing)}")
    for name, type_ in expected.items():
        if found.columns[name] != type_:
            raise _strange(found, f"column {name} is {found.columns[name]} and not {type_}")


def require_format(found: Found, known: int) -> None:
    """Refuse a table whose comment says that a newer version made it, or changed what it means.

    Parameters:
        known: the newest format that is known; a table that names none is older than that.

    Raises:
        ValidationFailed: it has a later one.
    """
    said = _FORMAT.search(found.comment)
    if said and int(said[1]) > known:
        raise ValidationFailed(
            f"{found.name} has format {said[1]}, which a newer version of the runner made; this one"
            f" knows up to {known}",
            fix="use the version that migrated last, or a newer one: nothing was read or run",
        )


def _require_ours(found: Found) -> None:
    if not found.trusted:
        raise ValidationFailed(
            f"{found.name} belongs to {found.owner}, whose code must not run as {found.user}",
            fix="look what it is and who may create tables in that schema; a stranger's: drop it;"
            f" if {found.owner} is who migrates here: set DATABASE_ROLE={found.owner}, or alter"
            f" table {found.name} owner to {found.user}",
        )
    if found.kind != "r":
        raise _strange(found, "it is no table")
    reason = None
    if found.rules:
        reason = "it has rules"
    elif found.filtered:
        reason = "row security hides rows of it"
    elif found.triggers:
        reason = f"others' triggers: {', '.join(found.triggers)}"
    if reason:
        raise ValidationFailed(
            f"{found.name} cannot be relied on: {reason}", fix="take them off, and run again"
        )


def _strange(found: Found, why: str) -> ValidationFailed:
    return ValidationFailed(
        f"{found.name} exists, but it is not this runner's ({why})",
        fix="if pgmigrate made it: runner adopt pgmigrate; else rename it",
    )
