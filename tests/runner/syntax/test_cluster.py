"""What reaches beyond its database is told from a statement's text."""

import pytest

from runner.syntax.cluster import reaches_server
from runner.syntax.scanner import scan

REACHING = {
    "create role app": "CREATE ROLE",
    "create user app password 'x'": "CREATE USER",
    "alter role app password 'x'": "ALTER ROLE",
    "drop role if exists app": "DROP ROLE",
    "alter group g add user app": "ALTER GROUP",
    "create database other": "CREATE DATABASE",
    "drop database ledger": "DROP DATABASE",
    "alter database ledger set work_mem = '1GB'": "ALTER DATABASE",
    "alter system set fsync = off": "ALTER SYSTEM",
    "create tablespace t location '/x'": "CREATE TABLESPACE",
    "drop owned by app": "DROP OWNED",
    "reassign owned by app to postgres": "REASSIGN OWNED",
    "grant reader to app": "GRANT of a role",
    "revoke admin option for reader from app": "REVOKE of a role",
    "grant connect on database ledger to app": "GRANT ON DATABASE",
    "comment on role app is 'x'": "COMMENT ON ROLE",
    "security label on role app is 'x'": "SECURITY ON ROLE",
}
STAYING = (
    "create table role (a int)",
    "create user mapping for app server s",
    "drop table database",
    "grant select on orders to app",
    "alter default privileges grant select on tables to app",
    "comment on table t is 'on role app'",
    "alter table t owner to app",
    "create policy p on t to app using (true)",
    "revoke all on schema public from public",
    "grant",
    "alter",
)


@pytest.mark.parametrize(("sql", "said"), REACHING.items(), ids=REACHING)
def test_what_is_of_the_whole_server_is_named(sql: str, said: str) -> None:
    (statement,) = scan(sql)
    assert reaches_server(statement) == said


@pytest.mark.parametrize("sql", STAYING[:-2])
def test_what_stays_in_its_database_is_not(sql: str) -> None:
    (statement,) = scan(sql)
    assert reaches_server(statement) is None


@pytest.mark.parametrize("sql", STAYING[-2:])
def test_a_statement_that_breaks_off_is_looked_at_all_the_same(sql: str) -> None:
    for statement in scan(sql):
        reaches_server(statement)
