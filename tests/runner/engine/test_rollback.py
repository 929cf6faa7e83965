"""Undoing: the reverse of the order applied, or nothing at all."""

import pytest

from tests.runner.project import Project


@pytest.fixture
def three(project: Project) -> Project:
    """Give a project with three versions applied in the order 1, 3, 2, each with its undo."""
    project.file("V1__log.sql", "create table log (name text)")
    project.file("U1__log.sql", "drop table log")
    for version in ("3", "2"):
        top = "-- runner: out-of-order\n"
        project.file(f"V{version}__x.sql", f"{top}insert into log values ('V{version}')")
        project.file(f"U{version}__x.sql", f"insert into log values ('U{version}')")
        project.run("migrate")
    return project


def versions(document: dict[str, list[dict[str, str]]]) -> list[str]:
    return [entry["version"] for entry in document["applied"]]


def test_steps_undo_in_the_reverse_of_the_order_applied(three: Project) -> None:
    document = three.run("rollback", "--yes", "--steps", "2")
    assert (document["outcome"], versions(document)) == ("applied", ["2", "3"])
    assert {entry["action"] for entry in document["applied"]} == {"undo"}
    assert three.query("select name from log") == [("V3",), ("V2",), ("U2",), ("U3",)]
    assert three.history() == [("1", "applied")]


def test_to_undoes_what_is_newer(three: Project) -> None:
    assert versions(three.run("rollback", "--yes", "--to", "2")) == ["3"]
    assert three.history() == [("1", "applied"), ("2", "applied")]
    assert versions(three.run("rollback", "--yes", "--to", "V001")) == ["2"]


def test_to_zero_undoes_everything_and_all_of_it_can_be_applied_again(three: Project) -> None:
    assert versions(three.run("rollback", "--yes", "--to", "0")) == ["2", "3", "1"]
    assert three.history() == []
    assert versions(three.run("migrate")) == ["1", "2", "3"]


def test_more_steps_than_there_are_undo_everything(three: Project) -> None:
    assert len(versions(three.run("rollback", "--yes", "--steps", "99"))) == 3


def test_nothing_to_undo_is_fine(project: Project) -> None:
    project.file("V1__a.sql", "select 1")
    assert project.run("rollback", "--yes", "--steps", "1")["outcome"] == "noop"


def test_missing_undo_stops_before_anything_runs(three: Project) -> None:
    (three.folder / "U3__x.sql").unlink()
    document = three.run("rollback", "--yes", "--to", "0")
    assert (document["exit_code"], document["applied"]) == (6, [])
    assert document["error"]["details"] == ["version 3 (x) has no U file"]
    assert three.query("select count(*) from log") == [(2,)]


def test_irreversible_stops_before_anything_runs_with_its_reason(three: Project) -> None:
    (three.folder / "U3__x.sql").unlink()
    path = three.folder / "V3__x.sql"
    text = "-- runner: irreversible: the old prices are gone\n"
    path.write_text(text + path.read_text())
    assert three.run("repair", "--yes")["outcome"] == "applied"
    document = three.run("rollback", "--yes", "--steps", "2")
    assert (document["exit_code"], document["applied"]) == (6, [])
    assert "V3__x.sql is irreversible: the old prices are gone" in document["error"]["details"]
    assert len(three.history()) == 3


def test_unknown_version_is_refused(three: Project) -> None:
    document = three.run("rollback", "--yes", "--to", "7")
    assert (document["exit_code"], document["error"]["kind"]) == (2, "configuration")


def test_without_a_yes_it_says_what_gets_lost_and_runs_nothing(three: Project) -> None:
    document = three.run("rollback", "--to", "0")
    (*_, last) = document["data"]["files"]
    assert [file["file"] for file in document["data"]["files"]] == [
        "U2__x.sql", "U3__x.sql", "U1__log.sql",
    ]  # fmt: skip
    (lost,) = last["hazards"]
    assert lost["text"].startswith("drops table log (2 rows, ")
    assert (document["outcome"], len(three.history())) == ("planned", 3)
    shown = three.text("rollback", "--to", "0")[1]
    assert "nothing was undone: 3 to undo; to do it: the same command with --yes" in shown


def test_only_what_was_shown_is_undone(three: Project) -> None:
    digest = three.run("rollback", "--steps", "1")["data"]["digest"]
    approved = ("rollback", "--steps", "1", "--yes", "--plan-digest", digest)
    three.run("rollback", "--yes", "--steps", "1")
    refused = three.run(*approved)
    assert (refused["error"]["kind"], len(three.history())) == ("refused", 2)
    three.run("migrate")  # it is as it was
    assert three.run(*approved)["outcome"] == "applied"


def test_failed_undo_is_rolled_back_and_stays_in_force(three: Project) -> None:
    three.file("U3__x.sql", "insert into log values ('U3'); select 1 / 0")
    document = three.run("rollback", "--yes", "--steps", "3")
    assert (document["exit_code"], versions(document)) == (3, ["2"])
    assert three.history() == [("1", "applied"), ("3", "applied")]
    assert three.query("select count(*) from log where name = 'U3'") == [(0,)]


def test_undo_is_refused_the_same_way_as_a_migration(three: Project) -> None:
    three.file("U2__x.sql", "commit")
    assert three.run("rollback", "--yes", "--steps", "1")["exit_code"] == 6


def test_undo_gives_way_to_locks_as_well(three: Project) -> None:
    three.file("U2__x.sql", "do $$ begin raise 'busy' using errcode = '55P03'; end $$")
    document = three.run("rollback", "--yes", "--steps", "1", "--lock-attempts", "2")
    assert document["error"]["sqlstate"] == "55P03"


def test_repeatables_run_again_after_an_undo(three: Project) -> None:
    three.file("R__v.sql", "create or replace view v as select * from log")
    assert versions(three.run("migrate")) == ["R__v"]
    three.run("rollback", "--yes", "--steps", "1")
    document = three.run("migrate")
    assert versions(document) == ["2", "R__v"]
    assert document["applied"][1]["why"] == "after an undo"


def test_history_tells_what_was_undone(three: Project) -> None:
    three.run("rollback", "--yes", "--steps", "1", "--run-id", "undo-it")
    entry = three.run("history")["data"][-1]
    assert (entry["action"], entry["version"], entry["run_id"]) == ("undo", "2", "undo-it")
    assert entry["by"] == "postgres"


# ---- order


def test_older_version_is_refused_and_can_be_allowed(project: Project) -> None:
    project.file("V1__a.sql", "create table a ()")
    project.file("V3__c.sql", "create table c ()")
    project.run("migrate")
    project.file("V2__b.sql", "create table b ()")
    document = project.run("migrate")
    assert (document["exit_code"], document["applied"]) == (6, [])
    (detail,) = document["error"]["details"]
    assert "V2__b.sql: version 2 is older than 3" in detail
    assert "--allow-out-of-order" in detail
    assert versions(project.run("migrate", "--allow-out-of-order")) == ["2"]
    assert [version for version, _ in project.history()] == ["1", "3", "2"]


def test_directive_allows_one_file_out_of_order(project: Project) -> None:
    project.file("V3__c.sql", "create table c ()")
    project.run("migrate")
    project.file("V1__a.sql", "create table a ()")
    project.file("V2__b.sql", "-- runner: out-of-order\ncreate table b ()")
    (detail,) = project.run("migrate")["error"]["details"]
    assert detail.startswith("V1__a.sql")
    (project.folder / "V1__a.sql").unlink()
    assert versions(project.run("migrate")) == ["2"]


def test_file_that_was_allowed_out_of_order_and_failed_goes_on_without_asking(
    project: Project,
) -> None:
    project.file("V3__c.sql", "create table log (name text)")
    project.run("migrate")
    start = "-- runner: no-transaction\ninsert into log values ('a');\n"
    project.file("V2__b.sql", start + "select 1 / 0")
    assert project.run("migrate", "--allow-out-of-order")["exit_code"] == 4
    project.file("V2__b.sql", start + "select 1")
    assert versions(project.run("migrate")) == ["2"]
    assert project.query("select name from log") == [("a",)]
