"""A down file is proved, not hoped for."""

import json
from pathlib import Path

import pytest

from tests.runner.project import Project


def problems(project: Project, *arguments: str) -> list[str]:
    document = project.run("verify", *arguments)
    assert document["exit_code"] == 7
    return list(document["error"]["details"])


@pytest.fixture
def good(project: Project) -> Project:
    """Give a project whose migrations are all undone exactly."""
    project.file("V1__t.sql", "create table t (id bigint primary key, name text not null)")
    project.file("U1__t.sql", "drop table t")
    project.file("V2__i.sql", "create index concurrently t_name on t (name)")
    project.file("U2__i.sql", "drop index concurrently t_name")
    project.file("R__v.sql", "create or replace view v as select 1 as one")
    return project


def test_migrations_that_are_undone_exactly_are_proved(good: Project) -> None:
    document = good.run("verify")
    assert document["exit_code"] == 0
    assert [entry["proved"] for entry in document["data"]["migrations"]] == [True, True, True]
    databases = good.query("select count(*) from pg_database where datname ~ '^runner_verify'")
    assert databases == [(0,)], "the scratch database is gone"
    assert good.query("select to_regclass('t'), to_regclass('schema_version')") == [(None, None)]


def test_down_that_forgets_something_is_named_object_by_object(good: Project) -> None:
    good.file("V3__b.sql", "alter table t add b int; create table if not exists x ()")
    good.file("U3__b.sql", "alter table t drop b")
    lines = problems(good)
    assert lines[0] == "V3__b.sql: after U3__b.sql the schema differs:"
    assert lines[1].startswith("V3__b.sql: + table public.x:")


def test_down_that_fails_is_named(good: Project) -> None:
    good.file("V3__b.sql", "create table b ()")
    good.file("U3__b.sql", "drop table c")
    assert problems(good) == ['V3__b.sql: U3__b.sql fails: table "c" does not exist']


def test_down_that_keeps_the_up_from_running_again_is_named(good: Project) -> None:
    good.file("V3__b.sql", "create table b ()")
    good.file("U3__b.sql", "select 1")
    document = good.run("verify")
    assert "V3__b.sql cannot be applied again" in document["error"]["message"]


def test_missing_undo_is_not_proved_and_irreversible_is_listed_with_its_reason(
    good: Project,
) -> None:
    good.file("V3__a.sql", "-- runner: irreversible: names are hashed\nupdate t set name = ''")
    document = good.run("verify")
    assert document["exit_code"] == 0
    assert document["data"]["migrations"][2]["irreversible"] == "names are hashed"
    good.file("V4__b.sql", "create table b ()")
    assert problems(good) == ["V4__b.sql: there is no U file"]


def test_repeatable_that_stands_in_the_way_of_a_down_is_found(good: Project) -> None:
    good.file("R__v.sql", "create or replace view v as select name from t")
    (line,) = problems(good)
    assert "U1__t.sql fails when everything is applied" in line


def test_repeatable_that_differs_when_run_again_is_found(good: Project) -> None:
    good.file(
        "R__v.sql",
        "do $$ begin execute format('create table r%s ()', (select count(*) from pg_class));end $$",
    )
    assert "run again, it gives another schema" in problems(good)[0]


def test_down_that_loses_data_is_named_with_its_column(good: Project) -> None:
    good.file("V3__n.sql", "alter table t drop name")
    good.file("U3__n.sql", "alter table t add name text; create index t_name on t (name)")
    good.file("V3__n.sql", "alter table t alter name drop not null; update t set name = null")
    good.file("U3__n.sql", "update t set name = id; alter table t alter name set not null")
    assert good.run("verify")["exit_code"] == 0
    lines = problems(good, "--sample-rows")
    assert lines == [
        "V3__n.sql: U3__n.sql loses data: public.t.name had 2 values, 2 are left or they are others"
    ]


def test_up_that_fails_on_a_table_with_rows_is_found(good: Project) -> None:
    good.file("V3__c.sql", "alter table t add must int not null")
    good.file("U3__c.sql", "alter table t drop must")
    assert good.run("verify")["exit_code"] == 0
    (line,) = problems(good, "--sample-rows")
    assert "V3__c.sql fails on tables with rows" in line


def test_sample_rows_respect_foreign_keys_enums_and_checks(good: Project) -> None:
    good.file(
        "V3__many.sql",
        "create type mood as enum ('fine', 'bad');"
        "create table child (id bigint generated always as identity primary key,"
        " t bigint not null references t, feels mood not null, at timestamptz not null,"
        " price int not null check (price > 0), tags text[] not null, data jsonb not null,"
        " key uuid not null unique)",
    )
    good.file("U3__many.sql", "drop table child; drop type mood")
    good.file("V4__x.sql", "create view w as select count(*) as n from child")
    good.file("U4__x.sql", "drop view w")
    document = good.run("verify", "--sample-rows")
    assert document["exit_code"] == 0
    assert document["data"]["migrations"][3]["unsampled"] == []


def test_what_reaches_the_whole_server_is_refused_on_one_that_was_given(good: Project) -> None:
    ((ours,),) = good.query("select current_database()")
    ledger = f"{ours}_ledger"
    good.query(f"create database {ledger}")
    good.file("V8__drop.sql", f"-- runner: irreversible: why not\nselect 1; drop database {ledger}")
    document = good.run("verify")
    assert document["exit_code"] == 6
    assert "V8__drop.sql:2:11: DROP DATABASE" in document["error"]["details"][0]
    assert good.query(f"select count(*) from pg_database where datname = '{ledger}'") == [(1,)]


def test_evidence_is_keyed_by_content(good: Project, tmp_path: Path) -> None:
    good.run("verify", "--evidence", str(tmp_path / "e" / "evidence.json"))
    evidence = json.loads((tmp_path / "e" / "evidence.json").read_text())
    assert {entry["file"] for entry in evidence["proved"].values()} == {
        "V1__t.sql",
        "V2__i.sql",
        "R__v.sql",
    }


@pytest.fixture
def alone(good: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Give a project for which nothing names a database."""
    for name in ("DATABASE_URL", "PGHOST", "PGDATABASE", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    good.url = ""
    return good


def test_without_a_server_the_embedded_one_serves(alone: Project) -> None:
    assert alone.run("verify")["exit_code"] == 0


@pytest.mark.parametrize("sql", ["create role app", "select pg_read_file('PG_VERSION')"])
def test_what_the_owner_of_a_database_may_not_do_is_not_proved(alone: Project, sql: str) -> None:
    alone.file("V3__more.sql", sql)
    alone.file("U3__more.sql", "select 1")
    document = alone.run("verify")
    assert document["exit_code"] == 3
    assert document["error"]["sqlstate"] == "42501"


def test_extension_and_role_that_only_rds_has_are_stood_in_for_and_said(alone: Project) -> None:
    alone.file(
        "V3__rds.sql",
        "create extension pgcrypto; create extension if not exists aws_s3 version '1.1' cascade;"
        "alter extension aws_s3 update to '1.2'; grant select on t to rds_superuser",
    )
    alone.file(
        "U3__rds.sql", "drop extension pgcrypto, aws_s3; revoke select on t from rds_superuser"
    )
    document = alone.run("verify", "--sample-rows")
    assert document["exit_code"] == 0, document["error"]
    assert document["data"]["assumed"] == [
        "role rds_superuser, as RDS has it",
        "extension aws_s3: an empty one, without its functions",
        "extension pgcrypto: an empty one, without its functions",
    ]
    assert len(document["warnings"]) == 3


def test_what_is_given_is_there_and_what_a_pass_made_beside_its_database_is_not(
    alone: Project, tmp_path: Path
) -> None:
    given = tmp_path / "given.sql"
    given.write_text(
        "alter role migrator createrole; create table if not exists public.operated ()"
    )
    alone.file("V3__role.sql", "create role app_reader; grant select on operated, t to app_reader")
    alone.file("U3__role.sql", "revoke all on operated, t from app_reader; drop role app_reader")
    document = alone.run("verify")
    assert document["exit_code"] == 3
    assert "runner verify --given FILE" in document["error"]["fix"]
    given.write_text(given.read_text() + "; grant all on operated to migrator with grant option")
    document = alone.run("verify", "--sample-rows", "--given", str(given))
    assert document["exit_code"] == 0, document["error"]


def test_what_is_given_is_run_on_no_server_that_was_named(good: Project, tmp_path: Path) -> None:
    document = good.run("verify", "--given", str(tmp_path / "given.sql"))
    assert (document["exit_code"], document["error"]["kind"]) == (2, "configuration")


def test_role_that_migrations_act_as_may_make_something_in_the_scratch_database(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.query("drop role if exists verifying_role_test")
    project.query("create role verifying_role_test")
    monkeypatch.setenv("DATABASE_ROLE", "verifying_role_test")
    project.file("V1__a.sql", "create table a (n int)")
    project.file("U1__a.sql", "drop table a")
    document = project.run("verify")
    project.query("drop role verifying_role_test")
    assert document["exit_code"] == 0, document["error"]
