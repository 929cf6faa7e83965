"""The role that owns what migrations make, where the login is another user: the master, say."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg2
from psycopg2.extensions import encrypt_password

from runner.database.connection import Target, connect, login
from runner.database.quoting import identifier, literal
from runner.errors import ConfigurationError, Unreachable
from runner.history.table import TABLE

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

# Whether the role exists, and who owns the history without the role's being able to act as them.
_FIND = """
    select r.oid is not null,
           (select pg_catalog.pg_get_userbyid(c.relowner) from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where n.nspname = %s and c.relname = %s
                and not coalesce(pg_catalog.pg_has_role(r.oid, c.relowner, 'usage'), false))
    from (select) as one left join pg_catalog.pg_roles r on r.rolname = %s
"""
# The grant names SET and INHERIT by default, which who makes a role has not by itself from
# PostgreSQL 16 on: people who log in as the master user see everything.
_MAKE = """
    begin;
    create role {role} nologin;
    grant {role} to current_user;
    grant create on database {database} to {role};
    grant usage, create on schema public to {role};
    commit
"""
_LET_LOG_IN = "alter role {role} login password {verifier}"


def prepare(
    connection: Connection, target: Target, *, run_id: str, wait: float, read_only: bool
) -> tuple[Connection, str | None]:
    """Return a connection of the target's role, made where the login is the master's own secret.

    Whoever only looks stays logged in as the master user and acts as the role, if it is there: a
    file runs in no such session. What runs files is logged in as the role itself, so that a file
    that resets its role gains nothing.

    Parameters:
        connection: to the target, in autocommit; its login may make roles where it is a secret's.
        target: what it is a connection to.
        run_id: shown in application_name.
        wait: seconds to wait for a server that does not answer.
        read_only: nothing may be made; what is not the role's yet is looked at as the login.

    Returns:
        the connection to go on with, and the role to act as in it, None for its own login.

    Raises:
        ConfigurationError: the history belongs to somebody else.
        Unreachable: the role cannot log in.
        psycopg2.Error: the role could not be made.
    """
    role = target.role
    if not role or not target.secret_arn:
        return connection, role
    exists, foreign = _found(connection, target.home, role)
    if read_only:
        return connection, role if exists and not foreign else None
    if foreign:
        raise ConfigurationError(
            f"the migrations' history belongs to {foreign}, and DATABASE_ROLE is {role}",
            fix=f"hand it over, once, as {foreign}: {_handing_over(connection, role, exists)}",
        )
    if not exists:
        _make(connection, role)
    return _login(connection, target._replace(as_role=True), role, run_id, wait), None


def _login(
    connection: Connection, target: Target, role: str, run_id: str, wait: float
) -> Connection:
    """Log in as the role, which has another password at first and after each rotation."""
    try:
        return connect(target, run_id=run_id, wait=wait)
    except Unreachable:
        _let_log_in(connection, target, role)
    return connect(target, run_id=run_id, wait=wait)


def _let_log_in(connection: Connection, target: Target, role: str) -> None:
    """Give the role its password, of which the server and its log see the verifier only."""
    verifier = encrypt_password(login(target)["password"], role, connection, "scram-sha-256")
    let = _LET_LOG_IN.format(
        role=identifier(connection, role), verifier=literal(connection, verifier)
    )
    with (
        suppress(psycopg2.errors.InternalError_),  # another run does it at this moment
        connection.cursor() as cursor,
    ):
        cursor.execute(let)


def _handing_over(connection: Connection, role: str, exists: bool) -> str:
    """Return the SQL with which the owner of everything hands it over to the role."""
    name = identifier(connection, role)
    made = "" if exists else " ".join(_making(connection, role).split()) + "; "
    return f"{made}reassign owned by current_user to {name}"


def _found(connection: Connection, schema: str, role: str) -> tuple[bool, str | None]:
    with connection.cursor() as cursor:
        cursor.execute(_FIND, (schema, TABLE, role))
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
