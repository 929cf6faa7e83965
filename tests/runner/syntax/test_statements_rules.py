"""What a migration must not hold, and what cannot run in a transaction."""

from collections.abc import Iterator

import psycopg2
import pytest

from runner.embedded import Server
from runner.syntax.nontransactional import non_transactional
from runner.syntax.scanner import scan
from runner.syntax.statements import position, problems

CONTROL = "would control the runner's own transaction"
PROBLEMS = {
    "begin": ("begin; select 1", ["BEGIN " + CONTROL]),
    "begin with its mode": ("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY", ["BEGIN " + CONTROL]),
    "begin work": ("begin work", ["BEGIN " + CONTROL]),
    "start transaction": ("start /* */ transaction", ["START TRANSACTION " + CONTROL]),
    "commit in disguise": ("select 1;/* ; */CoMmIt/**/;", ["COMMIT " + CONTROL]),
    "commit behind a backslash": (r"select '\'; commit; select '\'", ["COMMIT " + CONTROL]),
    "commit after a lone CR": ("-- \rcommit", ["COMMIT " + CONTROL]),
    "commit and chain": ("commit work and chain", ["COMMIT " + CONTROL]),
    "end": ("end", ["END " + CONTROL]),
    "rollback": ("rollback", ["ROLLBACK " + CONTROL]),
    "rollback and no chain": ("rollback transaction and no chain", ["ROLLBACK " + CONTROL]),
    "abort": ("abort", ["ABORT " + CONTROL]),
    "prepare transaction": (
        "prepare transaction 'x'",
        ["PREPARE TRANSACTION would end the runner's own transaction"],
    ),
    "large objects of pg_dump": (
        "BEGIN;\n\nSELECT pg_catalog.lo_open('16', 131072);\nselect 1",
        ["pg_dump's large objects come with a transaction of their own"],
    ),
    "standard strings off": (
        "set standard_conforming_strings = off",
        ["standard_conforming_strings off would give backslashes another meaning"],
    ),
    "standard strings off by set_config": (
        "select 1, Pg_Catalog . \"set_config\" ( 'Standard_Conforming_Strings' , 'false', true)",
        ["standard_conforming_strings off would give backslashes another meaning"],
    ),
    "standard strings computed": (
        "select set_config('standard_conforming_strings', x, false) from t",
        ["standard_conforming_strings off would give backslashes another meaning"],
    ),
    "another encoding": (
        "set client_encoding to latin1",
        ["another client_encoding than UTF8 would garble what follows"],
    ),
    "another encoding by names": (
        "set local names 'LATIN1'",
        ["another client_encoding than UTF8 would garble what follows"],
    ),
    "psql command": ("\\i other.sql\nselect 1", ["\\i is for psql, not for the server"]),
    "psql command after SQL": ("select 1 \\gset\n;", ["\\gset is for psql, not for the server"]),
    "pg_dump's connect": ("\\connect x\n", ["\\connect is for psql, not for the server"]),
    "guard within a statement": (
        "select\n\\restrict x\n1",
        ["\\restrict is for psql, not for the server"],
    ),
    "like a guard": ("\\restricted x\n", ["\\restricted is for psql, not for the server"]),
    "open quote": ("select 1; select 'a", ["this quote is never closed"]),
    "open E quote": ("select E'a\\'", ["this quote is never closed"]),
    "open quoted identifier": ('select "a', ["this quote is never closed"]),
    "open dollar quote": ("select $a$ $A$", ["this dollar quote is never closed"]),
    "open comment": ("select 1 /* /* */", ["this comment is never closed"]),
    "open parenthesis": ("select (1; commit", ["this parenthesis is never closed"]),
    "open body": (
        "create function f() begin atomic select case when 1 then 2 end;",
        ["this BEGIN ATOMIC has no END"],
    ),
    "open quote in a body": (
        "create function f() begin atomic select 'a; end;",
        ["this quote is never closed"],
    ),
    "NUL": ("select '\0'", ["a NUL character"]),
    "copy to stdout": ("copy (select 1) to stdout", ["COPY … TO stdout has nobody to read it"]),
    "copy without a semicolon": ("copy t from stdin", ["COPY … FROM stdin has no data"]),
    "copy without its end": (
        "copy t from stdin;\n1\n",
        ["the data of this COPY … FROM stdin has no end"],
    ),
    "copy and more on its line": (
        "copy t from stdin; select 1;\n\\.\n",
        [
            "COPY … FROM stdin must be followed by its data",
            "\\. is for psql, not for the server",
        ],
    ),
    "several, in order": (
        "begin;\n\\set a b\ncommit;\0",
        [
            "BEGIN " + CONTROL,
            "\\set is for psql, not for the server",
            "COMMIT " + CONTROL,
            "a NUL character",
        ],
    ),
}


@pytest.mark.parametrize(("text", "messages"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_refuses_with_a_fix(text: str, messages: list[str]) -> None:
    found = problems(text)
    assert [problem.message for problem in found] == messages
    assert all(problem.fix for problem in found)


SAFE = {
    "savepoints": "savepoint a; rollback to a; rollback work to savepoint a; release a",
    "two-phase ends": "commit prepared 'a'; rollback prepared 'a'",
    "prepared statements": "prepare transaction as select 1; prepare transaction (int) as select 1",
    "names": 'select "commit", commit from "begin"; table "rollback"; "commit"',
    "words in literals": "select 'begin; commit;', $$;commit;$$; do $$begin commit; end$$",
    "words in comments": "-- commit;\n/* ; rollback; */ select 1",
    "rule with commit's letters": "create rule r as on insert to t do (select 1; delete from t)",
    "routine": "create function f() begin atomic a; end; create procedure p() begin atomic end",
    "pg_dump's settings": (
        "SET client_encoding = 'UTF8'; SET standard_conforming_strings = on;"
        "SELECT pg_catalog.set_config('search_path', '', false); SET check_function_bodies = false"
    ),
    "UTF-8 in other spellings": "set names 'utf-8'; set session client_encoding to unicode",
    "defaults": "set standard_conforming_strings to default; set names default; set names",
    "settings of others": (
        "alter role r set standard_conforming_strings = off;"
        "alter database d set client_encoding = x;"
        "create function f() returns int set standard_conforming_strings = off as ''"
    ),
    "the setting in other places": "select 'standard_conforming_strings', off; set a.b = off",
    "isolation": "set transaction isolation level serializable; set local time zone 'UTC'",
    "pg_dump's guards": "\\restrict a1\nselect 1;\n\\unrestrict a1\n",
    "copy data": "copy t from stdin;\nbegin; \\i x\ncommit;\n'\n\\.\nselect 1;\n",
    "copy to a file": "copy t to '/tmp/x'; copy t to program 'cat'; copy t from program 'stdin'",
    "backslashes in literals": r"select '\i', E'\\', $$\.$$, " + '"\\a"',
}


@pytest.mark.parametrize("text", SAFE.values(), ids=SAFE.keys())
def test_lets_everything_else_through(text: str) -> None:
    assert problems(text) == []


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("\\i a.sql", "put that file's SQL here"),
        ("\\connect a", "leave it out: a file is for one database (pg_dump without --create)"),
        ("\\pset pager", "write it in SQL or leave it out"),
        ("select 'a", "close it with '"),
        ("select $a$", "close it with $a$"),
        ("commit", "remove it: the runner begins and commits for the file"),
    ],
)
def test_says_what_to_do_instead(text: str, fix: str) -> None:
    assert [problem.fix for problem in problems(text)] == [fix]


def test_a_problem_is_where_it_is_in_the_file() -> None:
    text = "select 1;\r\n  /* a */ commit;\r\nselect 'x"
    assert [position(text, problem.offset) for problem in problems(text)] == [(2, 11), (3, 8)]


OUTSIDE = {
    "create index concurrently": "create index concurrently i on t (a)",
    "unique, comments between": "CREATE/**/UNIQUE--\nINDEX CONCURRENTLY IF NOT EXISTS i ON t (a)",
    "without a name": "create index concurrently on t (a)",
    "drop index concurrently": "drop index concurrently if exists i",
    "reindex index concurrently": "reindex index concurrently t_pkey",
    "reindex option": "reindex (concurrently) table t",
    "reindex option on": "reindex (verbose, \"concurrently\" 'on') table t",
    "reindex option 1": "reindex (concurrently 1, verbose false) table t",
    "the last option counts": "reindex (concurrently off, concurrently true) table t",
    "the keyword counts after the options": "reindex (concurrently off) table concurrently t",
    "reindex schema": "reindex schema public",
    "reindex database": "reindex (verbose) database",
    "reindex system": "reindex system",
    "vacuum": "vacuum",
    "vacuum a table": "vacuum (analyze) t",
    "cluster": "cluster",
    "cluster verbose": "cluster verbose",
    "cluster options": "cluster (verbose off)",
    "create database": "create database other_database",
    "drop database": "drop database if exists other_database",
    "alter database set tablespace": "alter database d set tablespace pg_default",
    "alter database tablespace": "alter database d tablespace = pg_default",
    "alter database with tablespace": 'alter database "d" with tablespace pg_default',
    "create tablespace": "create tablespace x location '/tmp/x'",
    "drop tablespace": "drop tablespace x",
    "alter system": "alter system set work_mem = '4MB'",
    "discard all": "discard all",
    "commit prepared": "commit prepared 'x'",
    "rollback prepared": "rollback prepared 'x'",
    "create subscription": "create subscription x connection 'host=/nowhere' publication p",
    "create subscription with a slot": (
        "create subscription x connection 'host=/nowhere' publication p, q with (create_slot = on)"
    ),
    "refresh publication": "alter subscription e refresh publication with (copy_data = false)",
    "set publication": "alter subscription e set publication p",
    "add publication": "alter subscription e add publication q with (copy_data = true)",
    "drop publication": "alter subscription e drop publication r",
    "failover": "alter subscription f set (failover = true)",
    "two_phase off": "alter subscription f set (two_phase = false)",
    "detach concurrently": "alter table public.parted detach partition part concurrently",
}
INSIDE = {
    "create index": "create index on t (a)",
    "quoted concurrently": 'create index "concurrently" on t (a)',
    "drop index": "drop index if exists concurrently_i",
    "reindex": "reindex table t",
    "reindex option off": "reindex (concurrently off) table t",
    "reindex option 0": "reindex (concurrently 0, verbose) table t",
    "reindex option false": "reindex (concurrently 'false') table t",
    "the last option counts when off": "reindex (concurrently, concurrently off) table t",
    "reindex quoted": 'reindex table "concurrently"',
    "cluster a table": "cluster t using t_pkey",
    "cluster a table with options": "cluster (verbose) t using t_pkey",
    "old cluster": "cluster t_pkey on t",
    "analyze": "analyze verbose t",
    "refresh concurrently": "refresh materialized view concurrently m",
    "truncate": "truncate t",
    "checkpoint": "checkpoint",
    "discard plans": "discard plans",
    "alter database set": "alter database d set work_mem to '4MB'",
    "alter database limit": "alter database d connection limit 5",
    "commit of a name": "comment on table t is 'commit prepared'",
    "create subscription without a slot": (
        "create subscription x connection 'host=/nowhere' publication p"
        " with (create_slot = false, slot_name = none, connect = 'off', enabled = false)"
    ),
    "set publication": "alter subscription s set publication q with (refresh = false)",
    "alter subscription": "alter subscription s disable",
    "subscription options": "alter subscription s set (synchronous_commit = off)",
    "detach": "alter table parted detach partition part",
    "a column called concurrently": 'alter table t add "concurrently" int',
    "vacuum in a literal": "select 'vacuum', $$vacuum$$ /* vacuum */",
    "create table": "create table vacuum (concurrently_ int)",
    "add enum value": "alter type mood add value 'fine'",
}
SETUP = """
create table t (a int primary key);
create table "concurrently" ();
create materialized view m as select a from t;
create unique index on m (a);
create type mood as enum ('bad');
create table parted (a int) partition by list (a);
create table part partition of parted for values in (1);
create subscription s connection 'host=/nowhere' publication p with (connect = false);
create subscription e connection 'host=/nowhere' publication p, r with (connect = false);
alter subscription e enable;
create subscription f connection 'host=/nowhere' publication p with (connect = false);
"""


@pytest.mark.parametrize("sql", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_knows_what_cannot_run_in_a_transaction(sql: str) -> None:
    reason = non_transactional(f"/* a */ {sql}; select 1")
    assert reason is not None
    assert reason.endswith("cannot run inside a transaction block")
    assert [non_transactional(statement) for statement in scan(sql)] == [reason]


@pytest.mark.parametrize("sql", ["", "-- vacuum", ";", *INSIDE.values()])
def test_knows_what_can_run_in_a_transaction(sql: str) -> None:
    assert non_transactional(sql) is None


@pytest.fixture(scope="module")
def connection(server: Server) -> Iterator["psycopg2.extensions.connection"]:
    """Give a connection to a database that holds what the statements speak of."""
    administrator = psycopg2.connect(server.url())
    administrator.autocommit = True
    cursor = administrator.cursor()
    cursor.execute("create database statements")
    connection = psycopg2.connect(server.url("statements"))
    connection.autocommit = True
    with connection.cursor() as setup:
        for statement in scan(SETUP):
            setup.execute(statement.text)
    connection.autocommit = False
    yield connection
    connection.autocommit = True
    with connection.cursor() as setup:
        for name in "sef":
            setup.execute(f"alter subscription {name} disable")
            setup.execute(f"alter subscription {name} set (slot_name = none)")
            setup.execute(f"drop subscription {name}")
    connection.close()
    cursor.execute("drop database statements with (force)")
    administrator.close()


_SINCE = {
    "reindex (concurrently) table t": 140_000,
    "reindex (verbose, \"concurrently\" 'on') table t": 140_000,
    "reindex (concurrently 1, verbose false) table t": 140_000,
    "reindex (concurrently off, concurrently true) table t": 140_000,
    "reindex (concurrently off) table concurrently t": 140_000,
    "cluster (verbose off)": 170_000,
    "alter subscription e refresh publication with (copy_data = false)": 140_000,
    "alter subscription e set publication p": 140_000,
    "alter subscription e add publication q with (copy_data = true)": 140_000,
    "alter subscription e drop publication r": 140_000,
    "alter table public.parted detach partition part concurrently": 140_000,
    "reindex (verbose) database": 160_000,
    "reindex system": 160_000,
    "alter subscription f set (failover = true)": 170_000,
    "alter subscription f set (two_phase = false)": 180_000,
}


@pytest.mark.parametrize("sql", [*OUTSIDE.values(), *INSIDE.values()])
def test_the_server_agrees(connection: "psycopg2.extensions.connection", sql: str) -> None:
    """Within a transaction, the server refuses with 25001 exactly what we say it refuses.

    What a server is too old for it does not know at all.
    """
    refused = ""
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
    except psycopg2.Error as error:
        refused = str(error.pgcode)
    finally:
        connection.rollback()
    known = connection.info.server_version >= _SINCE.get(sql, 0)
    expected = non_transactional(sql) is not None and known
    assert (refused == "25001") == expected, refused
