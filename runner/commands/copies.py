"""A copy of a database to rehearse on, made on its own server and dropped in every case."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2

from runner.database.connection import connect
from runner.database.quoting import identifier
from runner.engine.run import Run
from runner.errors import ConfigurationError, Refused, Unreachable

_NAMED = "runner_rehearsal_"
# A template must not be connected to, so the connection that copies is to another database.
_ELSEWHERE = ("postgres", "template1")

# A session's own, so that each is compared with no other: the same database of the same server.
_IDENTITY = """
    select pg_catalog.current_database()::text, pg_catalog.pg_postmaster_start_time()::text,
           pg_catalog.current_setting('data_directory', true), pg_catalog.inet_server_port()
"""
# What is left of a rehearsal that was killed: ours by name and owner, and nobody is in it.
_FORGOTTEN = f"""
    select d.datname from pg_catalog.pg_database d
    where d.datname ~ '^{_NAMED}[0-9a-f]{{12}}$'
      and d.datdba = (select oid from pg_catalog.pg_roles where rolname = session_user)
      and not exists (select from pg_catalog.pg_stat_activity a where a.datname = d.datname)
"""
# A copy has neither the settings of its template nor who may do what in it.
_SETTINGS = """
    select unnest(s.setconfig) from pg_catalog.pg_db_role_setting s
    join pg_catalog.pg_database d on d.oid = s.setdatabase
    where d.datname = %s and s.setrole = 0
"""
_RIGHTS = """
    select a.privilege_type, r.rolname
    from pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) a
    left join pg_catalog.pg_roles r on r.oid = a.grantee
    where d.datname = %s and (a.grantee = 0 or r.rolname is not null)
"""


@contextmanager
def copied(run: Run) -> Iterator[Run]:
    """Give the run on a copy of its database, which is dropped whatever happens.

    Raises:
        Refused: somebody is connected to the database, so that it cannot be copied.
        Unreachable: the login may make no database.
    """
    source = name_of(run)
    name = f"{_NAMED}{secrets.token_hex(6)}"
    with _administrator(run) as cursor:
        _sweep(cursor)
        _copy(cursor, source, name)
    there = run._replace(target=run.target.elsewhere(name))
    try:
        yield there
    finally:
        with _administrator(run) as cursor:
            cursor.execute(f"drop database if exists {name} with (force)")


def refuse_the_same(run: Run, there: Run) -> None:
    """Refuse what is called a copy and is the target itself.

    Raises:
        ConfigurationError: it is the same database.
    """
    ours, theirs = _identity(run), _identity(there)
    if ours == theirs:
        raise ConfigurationError(
            f"{ours[0]} is no copy: it is the target itself",
            fix="name a copy with --copy, or leave it out to have one made",
        )


def _identity(run: Run) -> Any:
    with closing(connect(run.target, run_id=run.run_id, wait=run.connect_wait)) as connection:
        cursor = connection.cursor()
        cursor.execute(_IDENTITY)
        return cursor.fetchone()


def name_of(run: Run) -> str:
    """Return the name of a run's database, which the target may leave to the server."""
    found: str = _identity(run)[0]
    return found


@contextmanager
def _administrator(run: Run) -> Iterator[Any]:
    """Give a cursor in another database of the target's server."""
    for name in _ELSEWHERE:
        try:
            connection = connect(
                run.target.elsewhere(name), run_id=run.run_id, wait=run.connect_wait
            )
        except Unreachable:
            if name == _ELSEWHERE[-1]:
                raise
            continue
        with closing(connection), connection.cursor() as cursor:
            yield cursor
        return


def _sweep(cursor: Any) -> None:
    cursor.execute(_FORGOTTEN)
    for (name,) in cursor.fetchall():
        cursor.execute(f"drop database if exists {name}")


def _copy(cursor: Any, source: str, name: str) -> None:
    template = identifier(cursor.connection, source)
    try:
        cursor.execute(f"create database {name} template {template}")
    except psycopg2.errors.ObjectInUse as error:
        raise Refused(
            f"{source} is in use, so it cannot be copied where it is:"
            f" {(error.diag.message_detail or '').strip()}",
            fix="end these sessions, or make a copy by other means (a clone, a restored snapshot)"
            " and name it: --copy URL",
        ) from error
    except psycopg2.errors.InsufficientPrivilege as error:
        raise Unreachable(
            f"no copy can be made here: {str(error).strip()}",
            fix="let the login be the database's owner with CREATEDB, or name a copy: --copy URL",
        ) from error
    cursor.execute(_SETTINGS, (source,))
    for (setting,) in cursor.fetchall():
        key, _, value = setting.partition("=")
        cursor.execute("select pg_catalog.set_config(%s, %s, false)", (key, value))
        called = identifier(cursor.connection, key)
        cursor.execute(f"alter database {name} set {called} from current")
    cursor.execute(_RIGHTS, (source,))
    for right, role in cursor.fetchall():
        to = identifier(cursor.connection, role) if role else "public"
        cursor.execute(f"grant {right} on database {name} to {to}")
