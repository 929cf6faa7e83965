"""The role that owns what migrations make, where the login is another user: the master, say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg2

from runner.database.quoting import identifier
from runner.errors import ConfigurationError

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

# Whether the role exists, and who owns the history without the role's being able to act as them.
_FIND = """
    select r.oid is not null,
           (select pg_catalog.pg_get_userbyid(c.relowner) from pg_catalog.pg_class c
            where c.oid = pg_catalog.to_regclass('schema_version')
                and not coalesce(pg_catalog.pg_has_role(r.oid, c.relowner, 'usage'), false))
    from (select) as one left join pg_catalog.pg_roles r on r.rolname = %s
"""
# It cannot log in: whoever may act as it has logged in before. The grant names SET and INHERIT by
# default, which who makes a role has not by itself from PostgreSQL 16 on.
_MAKE = """
    begin;
    create role {role} nologin;
    grant {role} to current_user;
    grant create on database {database} to {role};
    grant usage, create on schema public to {role};
    commit
"""


def prepare(connection: Connection, role: str, *, read_only: bool) -> bool:
    """Make the role if it does not exist; return whether it may be acted as.

    Parameters:
        connection: in autocommit, logged in as a user that may make roles.
        role: what shall own everything.
        read_only: nothing may be made; where the role does not exist, nothing is its own yet.

    Raises:
        ConfigurationError: the history belongs to somebody else.
        psycopg2.Error: the role could not be made.
    """
    exists, foreign = _found(connection, role)
    if foreign and not read_only:
        raise ConfigurationError(
            f"the migrations' history belongs to {foreign}, and DATABASE_ROLE is {role}",
            fix=f"hand it over, once, as {foreign}: {handing_over(connection, role, exists)}",
        )
    if not exists and not read_only:
        _make(connection, role)
    return not foreign and (exists or not read_only)


def handing_over(connection: Connection, role: str, exists: bool) -> str:
    """Return the SQL with which the owner of everything hands it over to the role."""
    name = identifier(connection, role)
    made = "" if exists else " ".join(_making(connection, role).split()) + "; "
    return f"{made}reassign owned by current_user to {name}"


def _found(connection: Connection, role: str) -> tuple[bool, str | None]:
    with connection.cursor() as cursor:
        cursor.execute(_FIND, (role,))
        exists, foreign = cursor.fetchone() or (False, None)
    return bool(exists), foreign


def _make(connection: Connection, role: str) -> None:
    """Make the role, or let another session's be it."""
    with connection.cursor() as cursor:
        try:
            cursor.execute(_making(connection, role))
        except (psycopg2.errors.DuplicateObject, psycopg2.errors.UniqueViolation):
            cursor.execute("rollback")


def _making(connection: Connection, role: str) -> str:
    database = str(connection.info.dbname)
    return _MAKE.format(
        role=identifier(connection, role), database=identifier(connection, database)
    )
