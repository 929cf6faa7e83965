"""Changes outside the migrations are seen, shown and, if asked, refused."""

import pytest

from tests.runner.project import Project


@pytest.fixture
def migrated(project: Project) -> Project:
    """Give a project with one applied migration."""
    project.file("V1__t.sql", "create table t (n int)")
    project.run("migrate", "--run-id", "first")
    return project


def test_no_drift_after_a_run(migrated: Project) -> None:
    assert migrated.run("status", "--drift")["exit_code"] == 0


def test_change_by_hand_is_shown_object_by_object(migrated: Project) -> None:
    migrated.query("alter table t add secret text, alter n type bigint; create table mine ()")
    document = migrated.run("status", "--drift")
    assert document["exit_code"] == 6
    lines = document["error"]["details"]
    assert "since run first" in lines[0]
    assert "+ column public.t.secret: text" in lines
    changed = lines.index("~ column public.t.n")
    assert lines[changed + 1 : changed + 3] == ["    was: integer", "    is:  bigint"]


def test_migrate_warns_by_default_and_the_next_run_starts_from_there(migrated: Project) -> None:
    migrated.query("create table mine ()")
    migrated.file("V2__u.sql", "create table u ()")
    document = migrated.run("migrate")
    assert document["outcome"] == "applied"
    assert any("public.mine" in line for line in document["warnings"])
    assert migrated.run("status", "--drift")["exit_code"] == 0


def test_policy_fail_runs_nothing(migrated: Project) -> None:
    migrated.query("create table mine ()")
    migrated.file("V2__u.sql", "create table u ()")
    assert migrated.run("migrate", "--on-drift", "fail")["exit_code"] == 6
    assert migrated.history() == [("1", "applied")]
    assert migrated.run("migrate", "--on-drift", "ignore")["warnings"] == []


def test_what_was_applied_before_a_failure_is_no_drift(migrated: Project) -> None:
    migrated.file("V2__u.sql", "create table u ()")
    migrated.file("V3__v.sql", "nonsense")
    assert migrated.run("migrate")["exit_code"] == 3
    assert migrated.run("status", "--drift")["exit_code"] == 0
