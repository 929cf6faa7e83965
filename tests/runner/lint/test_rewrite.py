"""The safe way of a statement ends in the catalog that the statement itself ends in."""

import contextlib
from collections.abc import Sequence

import psycopg2
import pytest

from runner.database import catalog
from runner.syntax.recipes import Recipe, recipe_of
from runner.syntax.scanner import scan
from tests.runner.project import Project

_TABLES = """
    create table x (id int primary key);
    create table "T" (id int not null, a varchar(20) not null, b int, c int);
    insert into x select n from generate_series(1, 9) n;
    insert into "T" select n, n, 1 + n % 9, n from generate_series(1, 5000) n;
"""
_NAIVE = """-- what it is for
create index on "T" (b, "c");
create unique index if not exists I on public."T" (lower(a));
alter table only "T" add constraint positive check (b > 0 and c > 0), add unique (c) deferrable;
alter table "T" add foreign key (b) references x on delete cascade;
alter table "T" add primary key (id);
alter table "T" alter b set not null;
alter table public."T" add column d uuid not null default gen_random_uuid();
alter table "T" add e double precision default random() * 2 null;
"""
_EXPECTED_FILES = 20


def objects(project: Project) -> dict[str, str]:
    """Return the schema without what the runner made."""
    with contextlib.closing(psycopg2.connect(project.url)) as connection:
        connection.autocommit = True
        return catalog.read(connection, ignored="^schema_version").objects


def test_every_recipe_ends_in_the_same_catalog_and_each_part_is_undone_exactly(
    project: Project,
) -> None:
    project.file("V1__tables.sql", _TABLES)
    project.file("U1__tables.sql", 'drop table "T", x')
    project.run("migrate")
    before = objects(project)
    naive = project.file("V2__all.sql", _NAIVE)
    assert project.run("rewrite", "V2__all.sql", "--yes")["outcome"] == "applied"
    assert naive.read_text().startswith(
        "-- runner: no-transaction\n-- what it is for\n-- build it beside the writes\n"
    )
    assert [found for found in project.run("lint")["data"] if "V1__" not in found["file"]] == []
    document = project.run("verify", "--sample-rows")
    assert [
        entry["problems"] for entry in document["data"]["migrations"] if entry["problems"]
    ] == []
    assert len(project.run("migrate")["applied"]) == _EXPECTED_FILES
    safely = objects(project)
    assert project.run("rollback", "--to", "1", "--yes")["outcome"] == "applied"
    assert objects(project) == before
    for path in project.folder.glob("[VU]2*"):
        path.unlink()
    project.file("V2__all.sql", _NAIVE)
    assert project.run("migrate")["outcome"] == "applied"
    assert safely == objects(project)


def carried_out(project: Project, recipe: Recipe) -> None:
    for step in recipe.steps:
        for sql in step.up:
            project.query(sql.replace("<type of a>", "varchar(20)"))


def recipe(sql: str) -> Recipe:
    found = recipe_of(next(scan(sql)))
    assert found
    return found


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ('alter table "T" alter a type bigint using a::bigint + 1', 'select min(a) from "T"'),
        ('alter table "T" rename column a to z', 'select min(z) from "T"'),
        ('alter table "T" rename to u', "select count(*) from u"),
    ],
)
def test_recipe_of_two_deployments_ends_in_the_same_catalog_with_the_same_rows(
    project: Project, sql: str, rows: str
) -> None:
    tables = _TABLES.replace("a varchar(20) not null", "a varchar(20)")
    project.query(tables)
    carried_out(project, recipe(sql))
    safely, found = objects(project), project.query(rows)
    project.query('drop table x; drop table if exists "T", u')
    project.query(f"{tables}; {sql}")
    assert (safely, found) == (objects(project), project.query(rows))


def test_a_value_that_the_new_type_cannot_hold_is_refused_and_not_cut(project: Project) -> None:
    project.query("create table t (a text); insert into t values ('too long')")
    for row in ("update t set a = a", "insert into t values ('too long')"):
        step, *_ = recipe("alter table t alter a type varchar(3)").steps
        with pytest.raises(psycopg2.errors.StringDataRightTruncation):
            project.query("; ".join((*step.up, row)))
    with pytest.raises(psycopg2.errors.StringDataRightTruncation):
        carried_out(project, recipe("alter table t alter a type varchar(3)"))
    assert project.query("select a from t") == [("too long",)]


@pytest.mark.parametrize(
    "sql",
    [
        "create index concurrently i on t (a)",
        "create index on t (lower(a))",
        "create table t (a int)",
        "alter table t add c int",
        "alter table t add c int default 7 not null",
        "alter table t add c bigserial",
        "alter table t add c uuid default gen_random_uuid() unique",
        "alter table t add check (a > 0)",
        "alter table t add constraint c check (a > 0) not valid",
        "alter table t add constraint c unique using index i",
        "alter table t add unique (a) include (b)",
        "alter table t add exclude using gist (a with =)",
        "alter table t drop a",
        "alter table t rename constraint a to b",
        "alter index i rename to j",
        "drop table t",
    ],
)
def test_statement_that_is_safe_or_that_no_recipe_does_has_none(sql: str) -> None:
    assert recipe_of(next(scan(sql))) is None


def test_statement_that_breaks_off_has_no_recipe_and_raises_nothing() -> None:
    words = f"{_NAIVE} alter table t rename column a to b;".split()
    for count in range(len(words)):
        for statement in scan(" ".join(words[:count])):
            recipe_of(statement)


_TWO = "its safe way takes two deployments: runner lint and the plan's page show it"


def refused(project: Project, *arguments: str) -> Sequence[str]:
    document = project.run("rewrite", *arguments)
    error = document["error"]
    return error["details"] or [error["message"]]


def test_what_cannot_be_rewritten_is_named_and_nothing_is_written(project: Project) -> None:
    text = "create table t ();\nalter table t rename to u;\ncreate index on u (a);\n"
    file = project.file("V1__a.sql", text)
    assert refused(project, str(file), "--yes") == [
        "V1__a.sql:1:1: this has no other way, or none is known: move it to a file of its own",
        f"V1__a.sql:2:1: {_TWO}",
    ]
    project.file("V1__a.sql", "alter table t alter a set not null;\n")
    project.file("V1.1__b.sql", "select 1;\n")
    assert refused(project, "V1__a.sql") == ["version 1.1, which it needs, is taken"]
    assert refused(project, "V9__b.sql") == ["no V file V9__b.sql"]
    project.file("V2__c.sql", "-- runner: lock_timeout=5s\nalter table t alter a set not null;\n")
    assert refused(project, "V2__c.sql") == ["V2__c.sql says how it is to be run"]
    assert {path.name for path in project.folder.iterdir()} == {
        "V1__a.sql", "V1.1__b.sql", "V2__c.sql",
    }  # fmt: skip


def test_rewriting_shows_its_files_first_and_replaces_the_undo(project: Project) -> None:
    project.file("V1__a.sql", "alter table t add constraint c check (b > 0);\n")
    project.file("U1__a.sql", "alter table t drop constraint c;\n")
    shown = project.run("rewrite", "V1__a.sql")
    assert shown["outcome"] == "planned"
    assert shown["data"][-3:] == [
        f"== {project.folder}/U1.1__a_part_2.sql",
        "alter table t drop constraint c;",
        "alter table t add constraint c check (b > 0) not valid;",
    ]
    assert len(list(project.folder.iterdir())) == 2
    project.run("rewrite", "V1__a.sql", "--yes")
    assert {path.name for path in project.folder.iterdir()} == {
        f"{kind}1{end}.sql" for kind in "VU" for end in ("__a", ".1__a_part_2")
    }
