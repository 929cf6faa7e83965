"""Zero downtime in two deploys: what breaks running code waits until the new one is there."""

import pytest

from tests.runner.project import Project

HELD = "V2__a.sql waits until the new code is deployed: run migrate --after-deploy"


@pytest.fixture
def contracting(project: Project) -> Project:
    """Give a project whose second file takes away what its third does without."""
    project.file("V1__a.sql", "create table a (old int)")
    project.file("U1__a.sql", "drop table a")
    project.file("V2__a.sql", "-- runner: after deploy\nalter table a drop column old")
    project.file("U2__a.sql", "alter table a add column old int")
    project.file("V3__a.sql", "alter table a add column new int")
    project.file("U3__a.sql", "alter table a drop column new")
    return project


def files(document: dict[str, object]) -> list[str]:
    """Return the names of what was applied."""
    return [entry["file"] for entry in document["applied"]]  # type: ignore[attr-defined]


def test_what_waits_is_left_and_named_and_the_run_is_green(contracting: Project) -> None:
    document = contracting.run("migrate")
    assert (document["outcome"], document["exit_code"]) == ("applied", 0)
    assert files(document) == ["V1__a.sql", "V3__a.sql"]
    (held,) = document["held"]
    assert f"{held['file']} {held['why']}" == HELD
    assert document["pending"] == []
    code, out, _ = contracting.text("migrate")
    assert (code, f"left: {HELD}" in out.splitlines()) == (0, True)
    assert contracting.run("migrate")["outcome"] == "noop"


def test_the_new_code_is_there_and_all_is_applied(contracting: Project) -> None:
    contracting.run("migrate")
    document = contracting.run("migrate", "--after-deploy")
    assert (files(document), "held" in document) == (["V2__a.sql"], False)
    assert [version for version, _ in contracting.history()] == ["1", "3", "2"]
    assert contracting.run("migrate")["outcome"] == "noop"
    assert contracting.run("status", "--check")["exit_code"] == 0


def test_in_one_run_what_waits_goes_last(contracting: Project) -> None:
    contracting.file("R__v.sql", "create or replace view v as select count(*) from a")
    document = contracting.run("migrate", "--after-deploy")
    assert files(document) == ["V1__a.sql", "V3__a.sql", "R__v.sql", "V2__a.sql"]


def test_status_tells_it_from_what_the_next_run_takes(contracting: Project) -> None:
    states = [entry["state"] for entry in contracting.run("status")["data"]]
    assert states == ["pending", "waits for the deploy", "pending"]
    assert contracting.run("status", "--check")["error"]["fix"] == "runner migrate"
    contracting.run("migrate")
    behind = contracting.run("status", "--check")
    assert behind["exit_code"] == 8
    assert behind["error"]["fix"] == "runner migrate --after-deploy, once the new code is there"


def test_rollback_goes_back_the_way_that_was_come(contracting: Project) -> None:
    contracting.run("migrate", "--after-deploy")
    undone = contracting.run("rollback", "--to", "0", "--yes")
    assert files(undone) == ["U2__a.sql", "U3__a.sql", "U1__a.sql"]


def test_an_approval_of_one_phase_is_none_of_the_other(contracting: Project) -> None:
    contracting.run("migrate", "--after-deploy")
    contracting.file("V4__a.sql", "create table d ()")
    before = contracting.run("plan")["data"]
    after = contracting.run("plan", "--after-deploy")["data"]
    assert [file["file"] for file in before["files"]] == [file["file"] for file in after["files"]]
    assert ("after_deploy" in before, after["after_deploy"]) == (False, True)
    digest = before["digest"]
    refused = contracting.run("migrate", "--after-deploy", "--plan-digest", digest)
    assert refused["exit_code"] == 7
    assert contracting.run("migrate", "--plan-digest", digest)["exit_code"] == 0


def test_a_plan_names_what_waits(contracting: Project) -> None:
    document = contracting.run("plan")
    assert [file["file"] for file in document["data"]["files"]] == ["V1__a.sql", "V3__a.sql"]
    assert [entry["file"] for entry in document["held"]] == ["V2__a.sql"]


def test_what_has_begun_is_finished(project: Project) -> None:
    project.file("V1__t.sql", "create table t (a int)")
    head = "-- runner: after deploy, no-transaction\n"
    project.file("V2__t.sql", f"{head}create index concurrently i on t (a);\nselect nope;")
    assert project.run("migrate", "--after-deploy")["exit_code"] == 4
    project.file("V2__t.sql", f"{head}create index concurrently i on t (a);\nselect 1;")
    assert files(project.run("migrate")) == ["V2__t.sql"]


def test_a_target_beyond_what_waits_does_not_take_it(contracting: Project) -> None:
    document = contracting.run("migrate", "--target", "2")
    assert (files(document), len(document["held"])) == (["V1__a.sql"], 1)


def test_what_needs_a_held_file_waits_with_it_and_goes_behind_it(contracting: Project) -> None:
    contracting.file("V3__a.sql", "-- runner: needs=2\nalter table a add column old text")
    contracting.file("U3__a.sql", "alter table a drop column old")
    contracting.file("V4__a.sql", "create table d ()")
    contracting.file("U4__a.sql", "drop table d")
    document = contracting.run("migrate")
    assert files(document) == ["V1__a.sql", "V4__a.sql"]
    assert [task["file"] for task in document["held"]] == ["V2__a.sql", "V3__a.sql"]
    assert document["held"][1]["why"] == "waits for V2__a.sql, which it needs"
    assert contracting.run("verify")["exit_code"] == 0
    done = contracting.run("migrate", "--after-deploy", "--target", "2")
    assert files(done) == ["V2__a.sql"]
    # It waits for nothing any more, and that it is older than V4 is no disorder.
    assert files(contracting.run("migrate")) == ["V3__a.sql"]


@pytest.mark.parametrize("evidence", ["--proved", "--promoted"])
def test_evidence_of_the_phase_before_is_none_of_the_held(
    contracting: Project, evidence: str
) -> None:
    """An environment that has not had a file says nothing of it, and enough of all others."""
    before = contracting.run("migrate")["data"]["files"]
    assert contracting.run("migrate", evidence, before)["exit_code"] == 0
    refused = contracting.run("migrate", "--after-deploy", evidence, before)
    assert (refused["exit_code"], refused["error"]["kind"]) == (7, "refused")
    whole = contracting.run("migrate", "--after-deploy")["data"]["files"]
    assert contracting.run("migrate", evidence, whole)["exit_code"] == 0
    assert contracting.run("migrate", "--after-deploy", evidence, whole)["exit_code"] == 0


def test_verify_proves_the_order_in_which_they_run(contracting: Project) -> None:
    document = contracting.run("verify", "--sample-rows")
    assert [entry["version"] for entry in document["data"]["migrations"]] == ["1", "3", "2"]
    contracting.file("R__v.sql", "create or replace view v as select old from a")
    refused = contracting.run("verify")
    assert (refused["exit_code"], refused["error"]["file"]) == (
        3,
        str(contracting.folder / "V2__a.sql"),
    )


def test_verify_says_that_a_file_cannot_run_before_one_that_waits(contracting: Project) -> None:
    contracting.file("V3__a.sql", "alter table a add column old text")
    document = contracting.run("verify")
    assert document["exit_code"] == 7
    said = document["error"]["message"]
    assert said.startswith("V3__a.sql cannot run before V2__a.sql, which waits for the new code")
    assert "put '-- runner: needs=2' on top of it" in document["error"]["fix"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("U1__a.sql", "after deploy is for V files: rollback says when a U file runs"),
        ("R__a.sql", "after deploy is for V files: a repeatable is what the code of now wants"),
    ],
)
def test_only_a_v_file_can_wait(project: Project, name: str, said: str) -> None:
    project.file("V1__a.sql", "select 1")
    project.file(name, "-- runner: after deploy\nselect 1")
    error = project.run("validate")["error"]
    assert f"{name}: {said}" in error["message"] + " ".join(error["details"])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("V5__a", "alter table t drop column a", "drops column a of t: code that still runs may"),
        ("V5__a", "alter table t alter a set not null", "has to be given from now on: code"),
        ("V5__a", "create table t (); alter table t rename to u", None),
        ("V5__a", "-- runner: after deploy\nalter table t add column b int", "without '-- runner"),
        ("V5__a", "-- runner: after deploy\nalter table t add check (a > 0)", None),
        ("V5__a", "-- runner: after deploy\ndrop table t", None),
        ("U5__a", "alter table t drop column a", None),
    ],
)
def test_lint_advises_and_is_not_red(
    project: Project, name: str, text: str, said: str | None
) -> None:
    for each in ("V5__a", "U5__a"):
        project.file(f"{each}.sql", "select 1;\n")
    project.file(f"{name}.sql", f"{text};\n")
    warnings = project.run("lint")["warnings"]
    assert len(warnings) == bool(said)
    assert not said or said in warnings[0]
