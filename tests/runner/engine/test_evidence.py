"""Files come from an environment to the next only as they were proved and applied before."""

import re

import pytest

from runner import handler
from tests.runner.project import Project
from tests.runner.test_handler import Context

FILE = "V1__a.sql"


@pytest.fixture
def elsewhere(project: Project) -> str:
    """Give the digest of the files as another environment tells it, which had more to do."""
    project.file(FILE, "create table a ()")
    project.file("U1__a.sql", "drop table a")
    told = project.run("migrate")["data"]["files"]
    project.run("rollback", "--yes", "--to", "0")
    return str(told)


def test_proof_and_run_tell_the_same_digest_of_the_same_files(
    project: Project, elsewhere: str
) -> None:
    assert re.fullmatch("sha256:[0-9a-f]{64}", elsewhere)
    assert project.run("verify")["data"]["files"] == elsewhere


def test_files_that_were_proved_and_applied_elsewhere_are_run(
    project: Project, elsewhere: str
) -> None:
    document = project.run("migrate", "--proved", elsewhere, "--promoted", elsewhere)
    assert (document["outcome"], document["warnings"]) == ("applied", [])


@pytest.mark.parametrize("option", ["--proved", "--promoted"])
@pytest.mark.parametrize("change", ["content", "name", "undo", "more"])
def test_other_files_are_refused_and_none_is_run(
    project: Project, elsewhere: str, option: str, change: str
) -> None:
    if change == "name":
        (project.folder / FILE).rename(project.folder / "V1__b.sql")
        (project.folder / "U1__a.sql").rename(project.folder / "U1__b.sql")
    named = {"content": FILE, "undo": "U1__a.sql", "more": "V2__c.sql"}
    if change in named:
        project.file(named[change], "create table c ()")
    document = project.run("migrate", option, elsewhere)
    assert (document["exit_code"], document["error"]["kind"]) == (7, "refused")
    assert project.history() == []


def test_run_that_left_files_out_tells_no_digest(project: Project, elsewhere: str) -> None:
    project.file("V2__b.sql", "create table b ()")
    assert project.run("migrate", "--target", "1")["data"] is None
    project.file("V3__c.sql", "create tabel c ()")
    assert project.run("migrate")["data"] is None


def test_emergency_goes_past_it_and_the_history_keeps_why(project: Project) -> None:
    project.file(FILE, "create table a ()")
    document = project.run("migrate", "--without-evidence", "dev burns")
    assert document["warnings"] == ["ran without evidence: dev burns"]
    first, _ = project.run("history")["data"]
    assert (first["action"], first["details"]) == ("without-evidence", {"why": "dev burns"})


def test_emergency_and_evidence_exclude_each_other(project: Project, elsewhere: str) -> None:
    document = project.run("migrate", "--without-evidence", "x", "--proved", elsewhere)
    assert document["exit_code"] == 2
    assert project.history() == []


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({}, "proved, promoted"),
        ({"proved": "sha256:0"}, "promoted"),
        ({"promoted": "sha256:0"}, "proved"),
    ],
)
def test_function_that_requires_evidence_refuses_to_migrate_without(
    options: dict[str, str], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUIRE_EVIDENCE", "true")
    with pytest.raises(handler.RunFailed, match=f"does not say so: {missing}"):
        handler.handle({"command": "migrate", "run_id": "r", "options": options}, Context())


def test_function_that_requires_evidence_runs_what_has_it_or_says_why_not(
    deployed: Project,
    elsewhere: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUIRE_EVIDENCE", "true")
    for options in ({"proved": elsewhere, "promoted": elsewhere}, {"without_evidence": "why"}):
        event = {"command": "migrate", "run_id": str(options), "options": options}
        assert handler.handle(event, Context())["exit_code"] == 0
