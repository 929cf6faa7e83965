"""One schema of a database is a target of its own: its history, objects, lock and drift."""

import itertools
import re
from pathlib import Path

import pytest
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import parse_dsn

from runner.database import catalog
from runner.database.quoting import quoted
from runner.engine import lock
from runner.history.table import LOG, OURS, TABLE, create
from tests.runner.project import Project

# All of it is a name: none of these may be read as anything else.
HOSTILE = ["tenant", 'a %s "b"\\ c; drop', "A.b'{0}$1"]


def write(project: Project) -> None:
    project.file("V1__t.sql", "create table t (n int primary key, m int); insert into t values (1)")
    project.file("U1__t.sql", "drop table t")
    project.file("V2__v.sql", "reset search_path; create view v as select n from t")
    project.file("U2__v.sql", "drop view v")
    project.file("V3__i.sql", "-- runner: no-transaction\nreset all; create index i on t (n)")
    project.file("U3__i.sql", "drop index i")
    project.file(
        "V4__fill.sql",
        "-- runner: batch=t.n\nupdate t set m = 7 where n between"
        " current_setting('batch.first')::int and current_setting('batch.last')::int",
    )
    project.file("U4__fill.sql", "alter table t alter m type bigint")
    body = "returns int language sql as 'select 1'"
    project.file("R__f.sql", f"create or replace function f() {body}")


def objects(project: Project, schema: str) -> list[str]:
    return [
        name
        for (name,) in project.query(
            "select c.relname::text from pg_class c join pg_namespace n on n.oid = relnamespace"
            f" where nspname = $q${schema}$q$ and relkind in ('r', 'v', 'i')"
            f" and relname !~ '^{TABLE}' order by 1"
        )
    ]


@pytest.mark.parametrize("schema", HOSTILE)
def test_files_run_in_the_schema_and_nowhere_else_whatever_its_name(
    project: Project, schema: str
) -> None:
    write(project)
    made = project.run("migrate", "--create-schema", "--schema", schema)
    assert (made["error"], made["target"]["schema"]) == (None, schema)
    assert objects(project, schema) == ["i", "t", "t_pkey", "v"]
    assert objects(project, "public") == []
    assert project.history(schema) == [(key, "applied") for key in ("1", "2", "3", "4", "R__f")]
    assert project.query(f"select m from {quoted(schema)}.t") == [(7,)]
    looked = project.run("rollback", "--steps", "1", "--schema", schema)
    assert [risk["rewrite"] for risk in looked["data"]["files"][0]["locks"]] == [True]
    for command in (("status", "--check", "--drift"), ("drift",), ("history",), ("repair",)):
        assert project.run(*command, "--schema", schema)["error"] is None
    assert project.run("migrate", "--schema", schema)["outcome"] == "noop"
    undone = project.run("rollback", "--to", "0", "--yes", "--schema", schema)
    assert (undone["error"], objects(project, schema)) == (None, [])


def test_schema_that_is_not_there_is_made_only_where_that_is_asked_for(project: Project) -> None:
    write(project)
    refused = project.run("migrate", "--schema", "tennant")
    assert (refused["exit_code"], refused["applied"]) == (2, [])
    assert "no schema tennant" in refused["error"]["message"]
    assert project.run("status", "--check", "--schema", "tennant")["exit_code"] == 8
    planned = project.run("plan", "--schema", "tennant")
    assert "no schema tennant" in planned["warnings"][0]
    digest = planned["data"]["digest"]
    there = ("--schema", "tennant", "--create-schema", "--plan-digest", digest)
    assert project.run("migrate", *there)["error"] is None


def test_plan_of_one_schema_approves_no_other(project: Project) -> None:
    write(project)
    digests = [
        project.run("plan", *where)["data"]["digest"]
        for where in ((), ("--schema", "a"), ("--schema", "b"), ("--schema", "public"))
    ]
    assert len(set(digests)) == 4


@pytest.mark.parametrize("name", ["pg_mine", "information_schema", "x" * 64, "a\nb", ""])
def test_name_that_no_schema_of_ours_can_have_is_refused(project: Project, name: str) -> None:
    assert project.run("status", "--schema", name)["exit_code"] == 2


def test_drift_is_looked_for_in_the_schema_only(project: Project) -> None:
    write(project)
    for schema in ("a", "b"):
        project.run("migrate", "--create-schema", "--schema", schema)
    project.query("alter table b.t add o int; create table public.other (n int)")
    assert project.run("drift", "--schema", "a")["data"] == []
    drifted = project.run("drift", "--schema", "b")
    assert drifted["exit_code"] == 6
    assert [line for line in drifted["error"]["details"] if line.startswith("+")] == [
        "+ column b.t.o: integer"
    ]


def test_schemas_are_migrated_at_the_same_time_and_one_schema_is_not(
    project: Project, bystander: Connection
) -> None:
    write(project)
    project.query("create schema a; create schema b")
    bystander.cursor().execute(f"select pg_advisory_lock({lock.key('a')})")
    assert project.run("migrate", "--schema", "b")["error"] is None
    assert project.run("migrate", "--schema", "a", "--lock-wait", "0")["exit_code"] == 5


def test_history_that_somebody_else_made_in_the_schema_is_refused(project: Project) -> None:
    write(project)
    for planted, number in zip((TABLE, LOG), itertools.count()):
        schema, role = f"s{number}", f"stranger_{number}"
        project.query(
            f"create role {role}; create schema {schema} authorization {role};"
            f"set role {role}; {create(planted, schema)}"
        )
        refused = project.run("migrate", "--schema", schema)
        project.query(f"drop owned by {role} cascade; drop role {role}")
        assert (refused["exit_code"], refused["applied"]) == (6, [])
        assert role in refused["error"]["message"]


def test_history_of_another_tool_elsewhere_does_not_keep_a_schema_from_its_first(
    project: Project,
) -> None:
    write(project)
    project.query("create schema a; create table public.alembic_version (version_num text)")
    assert project.run("migrate")["exit_code"] == 6
    assert project.run("migrate", "--schema", "a")["error"] is None


def test_whole_databases_snapshot_says_nothing_of_public_alone(project: Project) -> None:
    write(project)
    project.run("migrate", "--target", "1")
    project.query("create schema beside; create table beside.t (n int)")
    assert project.run("drift", "--schema", "public")["data"] == []
    assert project.run("migrate", "--schema", "public")["warnings"] == []
    assert project.run("drift")["data"] == []


def test_extensions_are_found_where_the_caller_says(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=1234kB")
    project.query("create schema ext; create extension citext schema ext; create schema a")
    project.file("V1__t.sql", "create table t as select 'a'::citext c, current_setting('work_mem')")
    assert project.run("migrate", "--schema", "a")["exit_code"] == 3
    there = ("--schema", "a", "--extension-schema", "ext")
    assert project.run("migrate", *there)["error"] is None
    assert project.query("select * from a.t") == [("a", "1234kB")]


def test_neither_a_service_nor_a_databases_default_leads_out_of_the_schema(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = parse_dsn(project.url)
    lines = [f"{name}={value}" for name, value in given.items()]
    services = tmp_path / "services"
    services.write_text("\n".join(["[shop]", *lines, "options=-c work_mem=1234kB"]))
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    project.query(f"alter database {given['dbname']} set search_path = public; create schema a")
    project.file("V1__t.sql", "create table t as select current_setting('work_mem')")
    project.url = "service=shop"
    try:
        assert project.run("migrate", "--schema", "a")["error"] is None
        assert project.query("select * from a.t") == [("1234kB",)]
    finally:
        project.query(f"alter database {given['dbname']} reset search_path")


def test_schemas_catalog_is_that_part_of_the_databases(
    project: Project, bystander: Connection
) -> None:
    for schema in ("here", "there"):
        project.query(
            f"create schema {schema}; set search_path = {schema};"
            "create type mood as enum ('ok'); create domain d as int check (value > 0);"
            "create table t (n int primary key, m mood, d d unique); create index on t (m);"
            "create view v as select * from t; create sequence s; comment on table t is 'x';"
            "create function f() returns int language sql as 'select 1';"
            "comment on function f() is 'y';"
            "create statistics st on n, m from t; comment on column t.m is 'z';"
            "create policy p on t using (true); create table part (n int) partition by list (n);"
            "create table part1 partition of part for values in (1);"
            f"alter default privileges in schema {schema} grant select on tables to public;"
            "create type pair as (x int, y int); comment on constraint t_pkey on t is 'w'"
        )
    bystander.autocommit = True
    whole = catalog.read(bystander, ignored=OURS)
    part = catalog.read(bystander, ignored=OURS, schema="here")
    assert part.objects == {
        name: text for name, text in whole.objects.items() if re.search(r"\bhere\b", name)
    }
    assert (whole.whole, part.whole) == (True, False)


def test_proof_is_made_in_a_schema_of_that_name(project: Project) -> None:
    project.file("V1__t.sql", "create table t (n int); create view v as select * from tenant.t")
    project.file("U1__t.sql", "drop table t cascade")
    assert project.run("verify", "--schema", "tenant")["error"] is None
    assert project.run("verify")["error"] is not None
