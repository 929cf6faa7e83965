"""What a person reads: tables, previews, exit codes; what a machine reads: JUnit."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from runner.cli import main
from runner.commands.table import COMMANDS
from runner.errors import EXIT_CODES
from runner.report.preview import preview
from tests.runner.project import Project


def test_failure_reads_from_what_to_where_to_why_to_what_to_do(project: Project) -> None:
    path = project.file("V1__a.sql", "create table a ();\ncreate tabel b ();\n")
    project.file("V2__b.sql", "select 1")
    code, out, _ = project.text("migrate", "--run-id", "r7")
    assert code == 3
    assert out.splitlines() == [
        "not run: V1__a.sql, V2__b.sql",
        f'{path}:2:8: syntax error at or near "tabel" (SQLSTATE 42601)',
        "     1 | create table a ();",
        "     2 | create tabel b ();",
        "       |        ^",
        "what to do: correct the file and run again",
        f"failed (exit code 3): 0 done before, 2 not; {out.split('; ')[-2]}; run r7",
    ]


def test_success_is_a_table(project: Project) -> None:
    project.file("V1__create_a.sql", "create table a ()")
    code, out, _ = project.text("migrate")
    assert code == 0
    assert out.splitlines()[0].split() == ["version", "description", "done", "time"]
    assert out.splitlines()[2].split()[:4] == ["1", "create", "a", "applied"]


def test_dry_run_shows_each_statement_and_why(project: Project) -> None:
    project.file("V1__a.sql", "create table a (); -- c\ncreate table b ();")
    out = project.text("migrate", "--dry-run")[1].splitlines()
    assert out[0] == "-- apply V1__a.sql (new), in a transaction"
    assert out[1:5] == ["-- 1", "create table a ();", "-- 2", "create table b ();"]


def test_preview_is_bounded() -> None:
    assert preview("select '" + "x" * 5000 + "'")[-1] == "-- … 3,009 more characters"
    assert preview("select 1;" * 60)[-1] == "-- … and 10 more statements"
    assert preview("-- nothing") == ["-- no statement"]
    assert preview("copy t from stdin;\na\n\\.\n")[-1].endswith("characters of data")


def test_status_tells_where_the_database_stands(project: Project) -> None:
    project.file("V1__a.sql", "create table a ()")
    project.run("migrate")
    project.file("V2__b.sql", "create table b ()")
    document = project.run("status")
    states = [(entry["version"], entry["state"]) for entry in document["data"]]
    assert states == [("1", "applied"), ("2", "pending")]
    assert "1 applied, 1 pending" in project.text("status")[1]


def test_status_check_fails_until_everything_is_applied(project: Project) -> None:
    project.file("V1__a.sql", "create table a ()")
    assert project.run("status", "--check")["exit_code"] == 8
    project.run("migrate")
    assert project.run("status", "--check")["exit_code"] == 0
    project.file("V1__a.sql", "create table other ()")
    assert project.run("status", "--check")["exit_code"] == 6


def test_validate_finds_every_problem_offline(project: Project) -> None:
    project.file("V1__a.sql", "create table a ();\ncommit;\n")
    project.file("V2__b.sql", "create index concurrently i on a (x);\nselect 1;\n")
    project.url = "postgresql://nobody@127.0.0.1:1/none"
    document = project.run("validate")
    assert document["exit_code"] == 6
    places = [line.split(": ")[0] for line in document["error"]["details"]]
    assert places == ["V1__a.sql:2:1", "V2__b.sql:1:1"]


def test_new_makes_the_next_pair_of_files(project: Project) -> None:
    project.file("V009__a.sql", "select 1")
    document = project.run("new", "Add Orders!")
    assert [Path(path).name for path in document["data"]] == [
        "V010__add_orders.sql",
        "U010__add_orders.sql",
    ]
    assert project.run("validate")["exit_code"] == 0


def test_history_is_an_audit_trail(project: Project) -> None:
    project.file("V1__a.sql", "create table a ()")
    project.file("U1__a.sql", "drop table a")
    project.run("migrate", "--run-id", "first")
    project.run("rollback", "--steps", "1", "--run-id", "second")
    entries = project.run("history")["data"]
    assert [(e["action"], e["version"], e["run_id"]) for e in entries] == [
        ("apply", "1", "first"),
        ("undo", "1", "second"),
    ]


def test_help_lists_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(f"{code}  {text}" in out for code, text in EXIT_CODES.items())


def test_wrong_usage_is_exit_2() -> None:
    assert main(["rollback", "--steps", "1", "--to", "2"]) == 2


def test_junit_shows_what_was_applied_and_what_failed(project: Project, tmp_path: Path) -> None:
    project.file("V1__a.sql", "create table a ()")
    project.file("V2__b.sql", "select '<&\x01'::int")
    path = tmp_path / "reports" / "migrate.xml"
    assert project.run("migrate", "--junit", str(path))["exit_code"] == 3
    suite = ET.parse(path).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.get("name") for case in suite] == ["V1__a.sql", "V2__b.sql"]


def test_colour_only_paints_the_last_line() -> None:
    document = {
        "command": "migrate", "outcome": "noop", "exit_code": 0, "run_id": "r", "target": {},
        "applied": [], "pending": [], "warnings": ["w"], "data": None, "error": None,
        "duration_ms": 1,
    }  # fmt: skip
    assert COMMANDS["migrate"].text(document, colour=True) == (
        "warning: w\n\x1b[32mnothing to do; run r\x1b[0m"
    )
