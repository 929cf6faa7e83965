"""Files and history that do not fit: said before anything runs, and how each is mended."""

import pytest

from tests.runner.project import Project


@pytest.fixture
def applied(project: Project) -> Project:
    """Give a project with versions 1 and 2 applied."""
    project.file("V1__a.sql", "create table a ()")
    project.file("V2__b.sql", "create table b ()")
    project.run("migrate")
    return project


def actions(project: Project) -> list[str]:
    return [entry["action"] for entry in project.run("history")["data"]]


# ---- checksums


def test_changed_file_is_refused_and_accepted_after_a_look(applied: Project) -> None:
    applied.file("V1__a.sql", "create table a () -- changed")
    applied.file("V3__c.sql", "create table c ()")
    document = applied.run("migrate")
    assert (document["exit_code"], document["applied"]) == (6, [])
    (detail,) = document["error"]["details"]
    assert "V1__a.sql: changed since it was applied on" in detail
    assert "runner repair" in detail
    shown = applied.run("repair")
    assert shown["outcome"] == "planned"
    assert "accept V1__a.sql as it is now (sha256:" in shown["data"][0]
    assert "what V1__a.sql says now" in shown["warnings"][0]
    assert applied.run("migrate")["exit_code"] == 6  # shown is not done
    assert applied.run("repair", "--yes")["outcome"] == "applied"
    assert [entry["version"] for entry in applied.run("migrate")["applied"]] == ["3"]
    assert "repair" in actions(applied)


@pytest.mark.parametrize(
    "text",
    [
        "create table a ();\r\n-- x\r\n",
        "\ufeffcreate table a ();\n-- x\n",
        "create table a ();\r-- x\r",
    ],
    ids=["crlf", "bom", "cr"],
)
def test_line_ends_and_bom_are_no_change(project: Project, text: str) -> None:
    project.file("V1__a.sql", "create table a ();\n-- x\n")
    project.run("migrate")
    project.file("V1__a.sql", text)
    assert project.run("migrate")["outcome"] == "noop"


def test_renamed_description_is_no_change(applied: Project) -> None:
    (applied.folder / "V2__b.sql").rename(applied.folder / "V002__better_name.sql")
    assert applied.run("migrate")["outcome"] == "noop"


# ---- missing and ahead


def test_missing_file_is_refused_and_forgotten_after_a_look(applied: Project) -> None:
    (applied.folder / "V1__a.sql").unlink()
    document = applied.run("migrate")
    assert document["exit_code"] == 6
    (detail,) = document["error"]["details"]
    assert "version 1 (a) is applied but its file V1__a.sql is missing" in detail
    assert applied.run("repair")["data"] == ["forget version 1 (a): its file is gone"]
    assert applied.run("repair", "--yes")["outcome"] == "applied"
    assert applied.history() == [("2", "applied")]
    assert applied.run("migrate")["outcome"] == "noop"


def test_database_ahead_of_the_files_is_refused_and_can_be_allowed(applied: Project) -> None:
    (applied.folder / "V2__b.sql").unlink()
    document = applied.run("migrate")
    assert document["exit_code"] == 6
    assert "newer than every file: an older deployment?" in document["error"]["details"][0]
    assert applied.run("migrate", "--allow-ahead")["outcome"] == "noop"


def test_repair_never_forgets_what_a_newer_deployment_applied(applied: Project) -> None:
    (applied.folder / "V2__b.sql").unlink()
    applied.file("V1__a.sql", "create table a () -- changed")
    assert len(applied.run("repair", "--yes")["data"]) == 1
    assert applied.history() == [("1", "applied"), ("2", "applied")]
    assert applied.run("repair", "--forget", "2", "--yes")["outcome"] == "applied"
    assert applied.run("migrate")["outcome"] == "noop"


def test_every_problem_is_listed_at_once(applied: Project) -> None:
    (applied.folder / "V1__a.sql").unlink()
    applied.file("V2__b.sql", "create table b () -- changed")
    applied.file("V1.5__x.sql", "select 1")
    assert len(applied.run("migrate")["error"]["details"]) == 3


def test_repair_of_a_history_that_fits_does_nothing(applied: Project) -> None:
    assert applied.run("repair", "--yes")["outcome"] == "noop"
    assert actions(applied) == ["apply", "apply"]


def test_forgotten_version_is_applied_again(applied: Project) -> None:
    applied.query("drop table b")
    shown = applied.run("repair", "--forget", "2")
    assert (shown["outcome"], shown["data"]) == ("planned", ["forget version 2"])
    applied.run("repair", "--forget", "V02", "--yes")
    assert [entry["version"] for entry in applied.run("migrate")["applied"]] == ["2"]


def test_repair_of_what_is_not_there_is_refused(applied: Project) -> None:
    for switch, version in (("--forget", "9"), ("--done", "9"), ("--done", "1"), ("--again", "1")):
        assert applied.run("repair", switch, version, "--yes")["exit_code"] == 2


def test_repair_where_there_is_no_history_does_nothing(project: Project) -> None:
    project.file("V1__a.sql", "select 1")
    assert project.run("repair", "--yes")["outcome"] == "noop"
    assert project.query("select to_regclass('schema_version') is null") == [(True,)]


# ---- baseline


def test_baseline_takes_what_is_there_as_applied(project: Project) -> None:
    project.query("create table a ()")
    project.file("V1__a.sql", "create table a ()")
    project.file("V2__b.sql", "create table b ()")
    project.file("V3__c.sql", "create table c ()")
    shown = project.run("baseline", "2")
    assert shown["data"] == [
        "everything up to version 2 counts as applied", "never run here: V1__a.sql, V2__b.sql",
        "still to run: V3__c.sql",
    ]  # fmt: skip
    assert (shown["outcome"], project.run("status")["data"][0]["state"]) == ("planned", "pending")
    document = project.run("baseline", "--yes", "2")
    assert (document["outcome"], document["data"]) == ("applied", shown["data"])
    assert [entry["version"] for entry in project.run("migrate")["applied"]] == ["3"]
    assert project.query("select to_regclass('b') is null") == [(True,)]
    assert actions(project) == ["baseline", "apply"]


@pytest.mark.parametrize("command", ["migrate", "plan", "status"])
def test_file_that_came_below_the_baseline_later_is_named(project: Project, command: str) -> None:
    project.file("V1__a.sql", "create table a ()")
    project.run("baseline", "--yes", "3")
    assert project.run(command)["warnings"] == []
    project.file("V2__late.sql", "create table late ()")
    (warning,) = project.run(command)["warnings"]
    assert warning.startswith("V2__late.sql is older than the baseline 3 and came after it")


def test_baseline_of_a_history_that_has_begun_is_refused(applied: Project) -> None:
    document = applied.run("baseline", "--yes", "2")
    assert document["exit_code"] == 6
    assert "has 2 migrations" in document["error"]["message"]


def test_rollback_stops_at_the_baseline(project: Project) -> None:
    project.file("V1__a.sql", "create table a ()")
    project.file("V2__b.sql", "create table b ()")
    project.file("U2__b.sql", "drop table b")
    project.run("baseline", "--yes", "1")
    project.run("migrate")
    (undone,) = project.run("rollback", "--yes", "--to", "1")["applied"]
    assert undone["version"] == "2"
    assert project.history() == [("1", "applied")]
    assert project.run("rollback", "--yes", "--steps", "1")["outcome"] == "noop"


def test_history_table_of_something_else_is_not_touched(project: Project) -> None:
    project.query("create table schema_version (version bigint, installed_on timestamp)")
    project.file("V1__a.sql", "create table a ()")
    document = project.run("migrate")
    assert document["exit_code"] == 6
    assert "is not this runner's" in document["error"]["message"]
    assert project.query("select count(*) from schema_version") == [(0,)]


def test_no_right_to_make_the_history_is_one_clear_line(project: Project) -> None:
    project.query("drop role if exists nobody_much; create role nobody_much login password 'x'")
    project.query("revoke create on schema public from public")
    host = project.url.rpartition("@")[2]
    other = Project(project.folder / "other", f"postgresql://nobody_much:x@{host}")
    other.file("V1__a.sql", "create table a ()")
    document = other.run("migrate")
    assert (document["exit_code"], document["error"]["kind"]) == (2, "configuration")
    assert "permission denied for schema public" in document["error"]["message"]
