"""A history made by one version is read by the next, and a newer one is refused."""

import unicodedata
from pathlib import Path

import pytest

from tests.runner.project import Project

MADE = Path(__file__).with_name("format-1.sql")
FILES = {
    "V1__a.sql": "create table a (n int)",
    "U1__a.sql": "drop table a",
    "V2__b.sql": "insert into a values (2)",
    "V3__c.sql": "-- runner: no-transaction\ninsert into a values (3);\n"
    "insert into b values (3);\ninsert into a values (33);\n",
    "R__v.sql": "create or replace view v as select n from a",
}


@pytest.fixture
def older(project: Project) -> Project:
    """Give a project whose history was made by the first format's version, half-way in V3."""
    for name, text in FILES.items():
        project.file(name, text)
    project.query(MADE.read_text())
    return project


def test_history_of_format_1_is_read_and_gone_on_with(older: Project) -> None:
    older.query("create table b (n int)")
    document = older.run("migrate")
    assert document["exit_code"] == 0, document["error"]
    assert older.query("select n from a order by n") == [(2,), (3,), (33,)]
    assert {state for _, state in older.history()} == {"applied"}
    assert older.run("migrate")["outcome"] == "noop"


@pytest.mark.parametrize("command", ["status", "plan", "migrate", "repair", "history"])
def test_history_of_a_newer_format_is_refused(older: Project, command: str) -> None:
    older.query("comment on table public.schema_version is 'whatever (format 2)'")
    document = older.run(command)
    assert document["exit_code"] == 6, document["error"]
    assert "newer version" in document["error"]["message"]
    assert older.query("select n from a order by n") == [(2,), (3,)]


def test_history_whose_comment_somebody_changed_is_read(older: Project) -> None:
    older.query("comment on table public.schema_version is 'ours'")
    assert older.run("status")["exit_code"] == 0


@pytest.mark.parametrize("rows", [["NFD"], ["NFC", "NFD"], ["NFD", "NFC"]], ids=", ".join)
def test_row_is_its_files_in_either_form_of_the_name(project: Project, rows: list[str]) -> None:
    """A row in the form that a Mac gave its file, or one in each form."""
    project.file("R__été.sql", "select 1")
    project.run("migrate")
    project.query("create table kept as select * from schema_version; delete from schema_version")
    columns = "kind, state, description, file, checksum, run_id"
    for form in rows:
        project.query(
            f"insert into schema_version (version, {columns})"
            f" select normalize(version, {form}), {columns} from kept"
        )
    assert project.run("status", "--check")["exit_code"] == 0
    project.file("R__été.sql", "select 2")
    assert len(project.run("migrate")["applied"]) == 1
    assert project.history() == [("R__été", "applied")]
    project.run("repair", "--forget", unicodedata.normalize("NFD", "R__été"), "--yes")
    assert project.history() == []


MOMENTS = {
    "schema_version": ("applied_at", ["status", "plan", "migrate"]),
    "schema_version_log": ("at", ["history"]),
    "schema_version_snapshot": ("taken_at", []),
}


@pytest.mark.parametrize("table", MOMENTS)
def test_a_moment_that_no_version_writes_is_refused_where_it_is_read(
    project: Project, table: str
) -> None:
    """Nothing is compared with a snapshot that cannot be read, and so nothing is refused."""
    column, refused = MOMENTS[table]
    project.file("V1__a.sql", "create table a (n int)")
    assert project.run("migrate")["exit_code"] == 0
    project.query(f"update {table} set {column} = '0044-03-15 BC'")
    for command in ("status", "plan", "migrate", "history", "drift"):
        document = project.run(command)
        assert document["exit_code"] == (6 if command in refused else 0), (command, document)
