"""The role that owns what migrations make, where the login is another user: the master, say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg2

from runner.database.connection import Target
from runner.database.quoting import identifier
from runner.errors import ConfigurationError
from runner.history.table import TABLE

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

# Whether the role exists, and who owns the history without the role's being able to act as them.
_FIND = """
    select r.oid is not null,
           (select pg_catalog.pg_get_userbyid(c.relowner) from pg_catalog.pg_class c
            where c.oid = pg_catalog.to_regclass(%s)
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


def prepare(connection: Connection, target: Target, *, read_only: bool) -> str | None:
    """Return the role to act as, made where the login is the master user's own secret.

    Parameters:
        connection: to the target, in autocommit; its login may make roles where it is a secret's.
        target: what it is a connection to.
        read_only: nothing may be made; what is not the role's yet is looked at as the login.

    Raises:
        ConfigurationError: the history belongs to somebody else.
        psycopg2.Error: the role could not be made.
    """
    role = target.role
    if not role or not target.secret_arn:
        return role
    exists, foreign = _found(connection, role)
    if foreign and not read_only:
        raise ConfigurationError(
            f"the migrations' history belongs to {foreign}, and DATABASE_ROLE is {role}",
            fix=f"hand it over, once, as {foreign}: {_handing_over(connection, role, exists)}",
        )
    if not exists and not read_only:
        _make(connection, role)
    return None if foreign or (read_only and not exists) else role


def _handing_over(connection: Connection, role: str, exists: bool) -> str:
    """Return the SQL with which the owner of everything hands it over to the role."""
    name = identifier(connection, role)
    made = "" if exists else " ".join(_making(connection, role).split()) + "; "
    return f"{made}reassign owned by current_user to {name}"


def _found(connection: Connection, role: str) -> tuple[bool, str | None]:
    with connection.cursor() as cursor:
        cursor.execute(_FIND, (TABLE, role))
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
