"""Every migration says which locks it took on what was there, and what it rewrote."""

from typing import Any

import pytest

from tests.runner.project import Project


@pytest.fixture
def tables(project: Project) -> Project:
    """Give a database with two tables and a view."""
    project.query("create table a (n int); create table b (n int); create view v as table a")
    project.query("insert into a values (1)")
    return project


def traced(project: Project, sql: str, *arguments: str) -> dict[str, Any]:
    project.file("V1__x.sql", sql)
    (entry,) = project.run("migrate", *arguments)["applied"]
    return dict(entry)


@pytest.mark.parametrize(
    ("sql", "mode", "rewritten"),
    [
        ("alter table b add m int default 7", "AccessExclusiveLock", []),
        ("alter table b alter n type bigint", "AccessExclusiveLock", ["public.b"]),
        ("alter table b add m uuid default gen_random_uuid()", "AccessExclusiveLock", ["public.b"]),
        ("create index on b (n)", "ShareLock", []),
        ("insert into b values (1)", "RowExclusiveLock", []),
        ("alter table b set (fillfactor = 70)", "ShareUpdateExclusiveLock", []),
        ("select count(*) from b", "AccessShareLock", []),
        ("truncate b", "AccessExclusiveLock", ["public.b"]),
    ],
)
def test_strongest_lock_and_rewrite(
    tables: Project, sql: str, mode: str, rewritten: list[str]
) -> None:
    entry = traced(tables, sql)
    assert entry["locks"] == [{"relation": "public.b", "mode": mode}]
    assert entry["rewritten"] == rewritten
    assert entry["held_ms"] >= 0


def test_dropped_table_is_named(tables: Project) -> None:
    entry = traced(tables, "drop table b")
    assert (entry["dropped"], entry["locks"][0]["mode"]) == (["public.b"], "AccessExclusiveLock")


def test_new_tables_are_nobodys_concern(tables: Project) -> None:
    assert traced(tables, "create table c (n int); create index on c (n)")["locks"] == []


def test_trace_is_in_the_history(tables: Project) -> None:
    traced(tables, "create index on b (n)")
    (entry,) = tables.run("history")["data"]
    assert entry["details"]["locks"] == [{"relation": "public.b", "mode": "ShareLock"}]


def test_file_that_takes_another_role_and_path_is_traced(tables: Project) -> None:
    tables.query("create table if not exists public.c (n int); grant select on c to public")
    entry = traced(
        tables, "set role pg_monitor; set search_path = ''; select count(*) from public.c"
    )
    assert [lock["relation"] for lock in entry["locks"]] == ["public.c"]


def test_each_of_several_files_has_its_own(tables: Project) -> None:
    tables.file("V2__y.sql", "create index on a (n)")
    tables.file("V1__x.sql", "create index on b (n)")
    entries = tables.run("migrate")["applied"]
    assert [entry["locks"][0]["relation"] for entry in entries] == ["public.b", "public.a"]


def test_file_outside_a_transaction_has_the_locks_that_its_text_tells(tables: Project) -> None:
    entry = traced(tables, "create index concurrently i on b (n); vacuum full a")
    assert entry["source"] == "text"
    assert entry["locks"] == [
        {"relation": "a", "mode": "AccessExclusiveLock"},
        {"relation": "b", "mode": "ShareUpdateExclusiveLock"},
    ]
    assert entry["rewritten"] == ["a"]
    (logged,) = tables.run("history")["data"]
    assert logged["details"]["source"] == "text"
