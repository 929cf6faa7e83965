"""Who owns what a migration makes, where an owner role is set (DATABASE_ROLE)."""

from __future__ import annotations

NOT_OWNED = "RN002"  # the SQLSTATE that the check raises


def check(role: str) -> str:
    """Return SQL that fails, naming them, if this transaction made objects of another owner.

    A file may reset its role, or a function make objects as another; the application then lacks
    its rights on them, which shows up much later. pg_shdepend gets a row for each new owned
    object, while an ALTER of an older one does not touch it. It has none for the bootstrap
    superuser, who is nobody's login on RDS.
    """
    literal = role.replace("'", "''")
    return (
        "do $owner$ declare strange text; begin"
        " select pg_catalog.string_agg(pg_catalog.pg_describe_object(classid, objid, objsubid)"
        "        || ' of ' || pg_catalog.pg_get_userbyid(refobjid), ', ') into strange"
        " from pg_catalog.pg_shdepend where deptype = 'o'"
        " and dbid = (select oid from pg_catalog.pg_database"
        "             where datname = pg_catalog.current_database())"
        " and xmin = pg_catalog.pg_current_xact_id()::xid"
        f" and refobjid <> (select oid from pg_catalog.pg_roles where rolname = '{literal}');"
        " if strange is not null then"
        f"  raise exception 'made for another owner than {literal}: %', strange"
        f"  using errcode = '{NOT_OWNED}',"
        "   hint = 'make them as the owner role, or alter … owner to in the file';"
        " end if; end $owner$; "
    )
