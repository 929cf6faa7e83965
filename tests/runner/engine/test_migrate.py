"""Applying what is pending: all or nothing, once, in order."""

from pathlib import Path

import pytest

from runner.files import pieces
from tests.runner.project import Project

_ATOMIC = """
    create table t (a text);
    create function f() returns int begin atomic select 1; select 2; end;
    insert into t select f()::text;
"""


def test_applies_pending_files_in_the_order_of_their_versions(project: Project) -> None:
    project.file("V10__c.sql", "create table c (); insert into log values ('c')")
    project.file("V2__b.sql", "create table b (); insert into log values ('b')")
    project.file("V1.5__a.sql", "create table log (name text)")
    document = project.run("migrate")
    assert document["outcome"] == "applied"
    assert [entry["version"] for entry in document["applied"]] == ["1.5", "2", "10"]
    assert project.query("select string_agg(name, '') from log") == [("bc",)]


def test_second_run_does_nothing(project: Project) -> None:
    project.file("V1__a.sql", "create table a ()")
    project.run("migrate")
    document = project.run("migrate")
    assert (document["outcome"], document["applied"], document["exit_code"]) == ("noop", [], 0)


def test_failed_file_leaves_nothing_and_what_was_before_it_stays(project: Project) -> None:
    project.file("V1__a.sql", "create table a ()")
    project.file("V2__b.sql", "create table b ();\nselect 1 / 0;\ncreate table c ();\n")
    project.file("V3__d.sql", "create table d ()")
    document = project.run("migrate")
    assert (document["outcome"], document["exit_code"]) == ("failed", 3)
    assert [entry["version"] for entry in document["applied"]] == ["1"]
    assert [entry["version"] for entry in document["pending"]] == ["2", "3"]
    assert project.history() == [("1", "applied")]
    assert project.query("select to_regclass('b'), to_regclass('d')") == [(None, None)]


def test_syntax_error_names_file_line_column_and_shows_a_caret(project: Project) -> None:
    path = project.file("V1__a.sql", "create table a ();\n\n  create tabel b ();\n")
    error = project.run("migrate")["error"]
    assert (error["file"], error["line"], error["column"]) == (str(path), 3, 10)
    assert error["sqlstate"] == "42601"
    assert error["excerpt"].splitlines()[-2:] == [
        "     3 |   create tabel b ();",
        "       |          ^",
    ]


def test_position_is_right_after_crlf_and_characters_beyond_ascii(project: Project) -> None:
    project.file(
        "V1__a.sql", "-- é 😀\r\ncreate table a ();\r\nselect 'ü', nope;\r\n".encode("utf-8-sig")
    )
    error = project.run("migrate")["error"]
    assert (error["line"], error["column"]) == (3, 13)


def test_error_without_a_position_still_names_the_statement(project: Project) -> None:
    project.file("V1__a.sql", "create table a (n int not null);\ninsert into a values (1);\n")
    project.file(
        "V2__b.sql", "insert into a values (2);\ninsert into a values (null);\nselect 1;\n"
    )
    error = project.run("migrate")["error"]
    assert (error["sqlstate"], error["line"], error["column"]) == ("23502", 2, 1)
    assert project.query("select count(*) from a") == [(1,)]


def test_file_wrapped_in_a_transaction_of_its_own_runs_in_the_runners(project: Project) -> None:
    project.file("V1__a.sql", "BEGIN;\r\ncreate table a ();\r\nCOMMIT;\r\n")
    project.file("V2__b.sql", "begin;\ncreate table b ();\nselect 1 / nope;\ncommit;\n")
    document = project.run("migrate")
    error = document["error"]
    assert (error["sqlstate"], error["line"], error["column"]) == ("42703", 3, 12)
    assert error["excerpt"].splitlines()[0] == "     1 | begin;"
    assert project.history() == [("1", "applied")]
    assert project.query("select to_regclass('a')::text, to_regclass('b')") == [("a", None)]
    assert project.run("migrate", "--target", "1")["outcome"] == "noop"


def test_two_files_go_in_one_transaction_when_asked(project: Project) -> None:
    project.file("V1__a.sql", "create table a ()")
    project.file("V2__b.sql", "select 1 / 0")
    document = project.run("migrate", "--single-transaction")
    assert (document["applied"], document["exit_code"]) == ([], 3)
    assert project.query("select to_regclass('a')") == [(None,)]
    project.file("V2__b.sql", "create table b ()")
    assert len(project.run("migrate", "--single-transaction")["applied"]) == 2
    assert project.history() == [("1", "applied"), ("2", "applied")]


def test_dry_run_shows_the_sql_and_writes_nothing(project: Project) -> None:
    project.file("V1__a.sql", "create table a ()")
    document = project.run("migrate", "--dry-run")
    assert document["outcome"] == "planned"
    assert document["data"] == [{"file": "V1__a.sql", "sql": "create table a ()"}]
    assert project.query("select to_regclass('a'), to_regclass('schema_version')") == [(None, None)]


def test_target_stops_at_a_version_and_leaves_repeatables(project: Project) -> None:
    project.file("V1__a.sql", "create table a ()")
    project.file("V2__b.sql", "create table b ()")
    project.file("R__v.sql", "create or replace view v as select 1 as one")
    assert [e["version"] for e in project.run("migrate", "--target", "V001")["applied"]] == ["1"]
    assert len(project.run("migrate")["applied"]) == 2


def test_unknown_target_is_refused(project: Project) -> None:
    project.file("V1__a.sql", "create table a ()")
    assert project.run("migrate", "--target", "7")["exit_code"] == 2


@pytest.mark.parametrize(
    "text",
    ["", "-- only a comment", "/* nothing */\n", ";;", "﻿-- BOM\n"],
    ids=["empty", "comment", "block comment", "semicolons", "bom"],
)
def test_file_without_statements_is_refused_and_nothing_is_recorded(
    project: Project, text: str
) -> None:
    project.file("V1__a.sql", "create table a ()")
    project.file("V2__b.sql", text)
    document = project.run("migrate")
    assert document["exit_code"] == 6
    assert document["error"]["details"][0].startswith("V2__b.sql:1:1: no statement")
    assert project.query("select to_regclass('a')") == [(None,)]
    assert project.run("validate")["exit_code"] == 6


def test_files_that_new_makes_are_refused_until_they_say_something(project: Project) -> None:
    made = [Path(path) for path in project.run("new", "orders")["data"]]
    assert project.run("migrate")["exit_code"] == 6
    for path, sql in zip(made, ("create table o ()", "drop table o"), strict=True):
        path.write_text(path.read_text() + sql)
    assert project.run("migrate")["outcome"] == "applied"


@pytest.mark.parametrize(
    "text",
    [
        "create table t (a text); insert into t values ('100% ?:word ${x} %s')",
        "create table t (a text); insert into t values ('a -- b') -- c",
        "create table t (a text); insert into t values ('\\'); insert into t values ('x')",
        "create table t (a text); insert into t values ($$;$$), ($a$ $$ $a$)",
        "create table t (a text);\r\ninsert into t values ('x');\r\n",
        "create table t (a text); copy t from stdin;\na\nb;c\n\\.\ninsert into t values ('z');",
    ],
    ids=["percent", "dashes", "backslash", "dollar", "crlf", "copy"],
)
def test_sql_that_breaks_other_tools_runs(project: Project, text: str) -> None:
    project.file("V1__a.sql", text)
    assert project.run("migrate")["outcome"] == "applied"
    assert project.query("select count(*) > 0 from t") == [(True,)]


def test_body_in_standard_sql_runs_where_the_server_knows_it(project: Project) -> None:
    project.file("V1__a.sql", _ATOMIC)
    error = project.run("migrate")["error"]
    if project.query("select current_setting('server_version_num')::int < 140000") == [(True,)]:
        assert error["sqlstate"] == "42601"
    else:
        assert error is None
        assert project.query("select count(*) from t") == [(1,)]


def test_pg_dump_as_the_first_migration(project: Project) -> None:
    project.file(
        "V1__dump.sql",
        "\\restrict abc\nSET statement_timeout = 0;\nSET client_encoding = 'UTF8';\n"
        "SET standard_conforming_strings = on;\n"
        "SELECT pg_catalog.set_config('search_path', '', false);\n"
        "CREATE TABLE public.t (a integer, b text);\n"
        "COPY public.t (a, b) FROM stdin;\n1\tone\n2\t\\N\n\\.\n\n\\unrestrict abc\n",
    )
    project.file("V2__next.sql", "insert into t values (3, 'three')")
    assert len(project.run("migrate")["applied"]) == 2
    assert project.query("select a, b from t") == [(1, "one"), (2, None), (3, "three")]


def test_large_file_goes_in_several_messages_and_its_position_is_the_files(
    project: Project,
) -> None:
    rows = "insert into t values (repeat('x', 10));\n" * 60_000
    project.file("V1__t.sql", "create table t (a text);\n")
    project.file("V2__rows.sql", rows + "select nope;\n")
    error = project.run("migrate")["error"]
    assert (error["line"], error["column"]) == (60_001, 8)
    project.file("V2__rows.sql", rows)
    project.run("migrate")
    assert project.query("select count(*) from t") == [(60_000,)]


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every file be a large one, which is read while it runs."""
    monkeypatch.setattr(pieces, "_LARGE", -1)
    monkeypatch.setattr(pieces, "_WINDOW", 200)
    monkeypatch.setattr(pieces, "_READ", 100)
    monkeypatch.setattr(pieces, "_NEAR", 100)


ROWS = "create table t (a int unique);\n" + "".join(
    f"insert into t values ({number});\n" for number in range(100)
)


@pytest.mark.parametrize(
    ("end", "code", "place"),
    [
        ("select nope;\n", 3, (102, 8)),
        ("insert into t values (7);\n", 3, (102, 1)),
        ("copy t from stdin;\n500\n7\n\\.\nselect 1;\n", 3, (102, 1)),
    ],
    ids=["said by the server", "found by running it again", "in COPY's data"],
)
@pytest.mark.usefixtures("large")
def test_an_error_of_a_large_file_has_its_place_and_takes_all_of_it_back(
    project: Project, end: str, code: int, place: tuple[int, int]
) -> None:
    project.file("V1__t.sql", ROWS + end)
    document = project.run("migrate")
    error = document["error"]
    assert (document["exit_code"], error["line"], error["column"]) == (code, *place)
    assert end.partition("\n")[0] in error["excerpt"]
    row = ["it is line 104 of the file, line 2 of the data"] if "copy" in end else []
    assert error["details"] == row
    assert project.query("select to_regclass('t')") == [(None,)]


@pytest.mark.parametrize(
    ("end", "problem"),
    [
        ("commit;\n", "V1__t.sql:102:1: COMMIT would control the runner's own transaction"),
        (
            "copy t from stdin;\n500\n",
            "V1__t.sql:102:1: the data of this COPY … FROM stdin has",
        ),
    ],
)
@pytest.mark.usefixtures("large")
def test_a_problem_near_the_end_of_a_large_file_takes_all_of_it_back(
    project: Project, end: str, problem: str
) -> None:
    project.file("V1__t.sql", ROWS + end)
    document = project.run("migrate")
    assert document["exit_code"] == 6
    (said,) = document["error"]["details"]
    assert said.startswith(problem)
    assert project.query("select to_regclass('t')") == [(None,)]
    assert project.run("validate")["error"]["details"] == [said]


@pytest.mark.usefixtures("large")
def test_a_failure_in_a_large_file_that_is_gone_meanwhile_is_told_without_its_place(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project.file("V1__t.sql", ROWS + "select nope;\n")
    near = pieces.near
    monkeypatch.setattr(pieces, "near", lambda *found: path.unlink(missing_ok=True) or near(*found))
    error = project.run("migrate")["error"]
    assert (error["message"], error["line"]) == ('column "nope" does not exist', None)


@pytest.mark.usefixtures("large")
def test_a_large_file_is_applied_recorded_and_planned_like_another(project: Project) -> None:
    project.file("V1__t.sql", ROWS + "copy t from stdin;\n500\n\\.\nalter table t add b int;\n")
    project.file("U1__t.sql", "drop table t;\n")
    assert project.run("plan")["data"]["files"][0]["sql"].startswith("create table t")
    assert project.run("migrate")["exit_code"] == 0
    assert project.query("select count(*), max(a), max(b) from t") == [(101, 500, None)]
    assert project.run("validate", "--against-database")["exit_code"] == 0
    assert project.run("rollback", "--yes", "--steps", "1")["exit_code"] == 0


def test_error_at_commit_rolls_back_and_records_nothing(project: Project) -> None:
    project.file("V1__a.sql", "create table a (n int primary key)")
    project.file(
        "V2__b.sql",
        "create table b (n int references a deferrable initially deferred);\n"
        "insert into b values (1);\n",
    )
    document = project.run("migrate")
    assert (document["exit_code"], document["error"]["sqlstate"]) == (3, "23503")
    assert project.history() == [("1", "applied")]


def test_repeatable_runs_after_the_versions_and_again_when_changed(project: Project) -> None:
    project.file("R__b.sql", "create or replace view b as select * from a")
    project.file("R__a.sql", "create or replace view a as select n from t")
    project.file("V1__t.sql", "create table t (n int)")
    versions = [entry["version"] for entry in project.run("migrate")["applied"]]
    assert versions == ["1", "R__a", "R__b"]
    assert project.run("migrate")["outcome"] == "noop"
    project.file("R__b.sql", "create or replace view b as select n from a where n > 0")
    assert [entry["version"] for entry in project.run("migrate")["applied"]] == ["R__b"]


def test_notices_of_code_that_a_file_runs_are_the_files_whatever_they_say(
    project: Project,
) -> None:
    """Files share a message, in which marks of ours end the notices of each."""
    project.query("""
        create table t (n int);
        create function greet() returns trigger language plpgsql as
        $$ begin raise notice 'runner: end of the world'; raise notice 'runner: end of 1';
           return new; end $$;
        create trigger greet before insert on t for each row execute function greet()
    """)
    for number in "123":
        project.file(f"V{number}__t.sql", f"insert into t values ({number})")
    document = project.run("migrate")
    said = ["NOTICE:  runner: end of the world", "NOTICE:  runner: end of 1"]
    assert [entry["notices"] for entry in document["applied"]] == [said] * 3


def test_notices_are_shown(project: Project) -> None:
    project.file("V1__a.sql", "do $$ begin raise notice 'hello from the file'; end $$")
    assert "hello from the file" in project.text("migrate")[2]


def test_directive_sets_the_statement_timeout(project: Project) -> None:
    project.file("V1__a.sql", "-- runner: statement_timeout=50ms\nselect pg_sleep(5)")
    assert project.run("migrate")["error"]["sqlstate"] == "57014"
