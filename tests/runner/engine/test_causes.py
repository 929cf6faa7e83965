"""An error names its cause, and advises nothing that makes it worse."""

from collections.abc import Callable

from tests.runner.project import Project


def test_statement_that_somebody_cancelled_is_not_called_too_slow(
    project: Project, wait_for: Callable[[str], None]
) -> None:
    project.file("V1__a.sql", "select pg_sleep(600)")
    process = project.start("migrate")
    sleeping = "from pg_stat_activity where query ~ '^select pg_sleep'"
    wait_for(f"select count(*) = 1 {sleeping}")
    project.query(f"select pg_cancel_backend(pid) {sleeping}")
    document = project.finish(process)
    assert document["exit_code"] == 3
    assert "somebody cancelled" in document["error"]["fix"]


def test_isolation_level_is_not_advised_to_lose_its_transaction(project: Project) -> None:
    project.file(
        "V1__a.sql", "set transaction isolation level serializable;\ncreate table a (n int);"
    )
    error = project.run("migrate")["error"]
    assert error["sqlstate"] == "25001"
    assert "take the line out" in error["fix"]


def test_transaction_that_stood_idle_is_not_called_a_mistake_of_the_file(project: Project) -> None:
    project.file("V1__a.sql", "do $$ begin raise 'idle' using errcode = '25P03'; end $$")
    assert "stood idle" in project.run("migrate")["error"]["fix"]


def test_full_disk_is_named(project: Project) -> None:
    project.file("V1__a.sql", "do $$ begin raise 'full' using errcode = '53100'; end $$")
    assert "make room" in project.run("migrate")["error"]["fix"]


def test_a_new_enum_value_used_in_the_transaction_that_adds_it_needs_one_of_its_own(
    project: Project,
) -> None:
    project.file("V1__a.sql", "create type e as enum ('a'); create table t (v e)")
    assert project.run("migrate")["exit_code"] == 0
    project.file("V2__a.sql", "alter type e add value 'b'")
    project.file("V3__a.sql", "insert into t values ('b')")
    error = project.run("migrate", "--single-transaction")["error"]
    assert (error["sqlstate"], "without --single-transaction" in error["fix"]) == ("55P04", True)
    assert project.run("migrate")["exit_code"] == 0
