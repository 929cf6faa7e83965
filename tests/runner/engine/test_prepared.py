"""What the runner prepares around files that share a message is theirs only, and never missed."""

import pytest

from tests.runner.project import Project

FUNCTION = """create function public.tidy() returns trigger language plpgsql as
$$ begin execute '{sql}'; return new; end $$;
"""


@pytest.fixture
def applied(project: Project) -> Project:
    """Give a project with a table whose trigger does away with all that is prepared."""
    project.query(
        "create table public.t (id int); "
        + FUNCTION.format(sql="deallocate all")
        + "create trigger tidy before insert on public.t for each row execute function tidy()"
    )
    return project


def test_file_whose_trigger_deallocates_is_recorded_and_so_is_what_follows(
    applied: Project,
) -> None:
    applied.file("V1__a.sql", "create table a (id int);")
    applied.file("V2__b.sql", "insert into t values (1);")
    applied.file("V3__c.sql", "create table c (id int);")
    assert applied.run("migrate")["error"] is None
    assert [version for version, _ in applied.history()] == ["1", "2", "3"]
    assert applied.query("select id from t") == [(1,)]


def test_file_after_a_shared_message_finds_nothing_prepared(project: Project) -> None:
    project.file("V1__a.sql", "create table a (id int);")
    project.file("V2__b.sql", "create table b (id int);")
    project.file(
        "V3__c.sql",
        "set work_mem = '8MB'; create table c as select name from pg_prepared_statements;",
    )
    assert project.run("migrate")["error"] is None
    assert project.query("select name from c") == []


def test_values_of_files_are_recorded_as_they_are(project: Project) -> None:
    names = ["it's", "$1", "a b", "é"]
    for number, name in enumerate(names, 1):
        project.file(f"V{number}__{name}.sql", f"create table t{number} (id int);")
    assert project.run("migrate")["error"] is None
    found = project.query("select description, file from schema_version order by applied_order")
    assert found == [(name, f"V{number}__{name}.sql") for number, name in enumerate(names, 1)]


def test_undoing_makes_every_repeatable_run_again(project: Project) -> None:
    for number in (1, 2):
        project.file(f"V{number}__t.sql", f"create table t{number} (id int);")
        project.file(f"U{number}__t.sql", f"drop table t{number};")
        project.file(f"R__r{number}.sql", f"create or replace view r{number} as select 1 as one;")
    assert project.run("migrate")["error"] is None
    assert project.run("rollback", "--yes", "--to", "0")["error"] is None
    assert project.query("select version, checksum from schema_version order by 1") == [
        ("R__r1", None),
        ("R__r2", None),
    ]
    again = project.run("migrate")["applied"]
    assert [entry["action"] for entry in again] == ["apply", "apply", "repeat", "repeat"]
