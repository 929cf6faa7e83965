"""Changes outside the migrations are seen, shown and, if asked, refused."""

import psycopg2
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


def test_policy_fail_looks_where_nothing_is_pending(migrated: Project) -> None:
    assert migrated.run("migrate", "--on-drift", "fail")["exit_code"] == 0
    migrated.query("create table mine ()")
    assert migrated.run("migrate", "--on-drift", "fail")["exit_code"] == 6


def test_drift_fails_with_what_was_changed_until_it_is_accepted(migrated: Project) -> None:
    migrated.query("create table mine ()")
    found = migrated.run("drift")
    assert found["exit_code"] == 6
    assert any("public.mine" in line for line in found["error"]["details"])
    accepted = migrated.run("drift", "--accept", "hotfix of ticket 7")
    assert (accepted["outcome"], accepted["exit_code"]) == ("applied", 0)
    assert any("public.mine" in line for line in accepted["data"])
    assert migrated.run("drift")["outcome"] == "noop"
    assert migrated.run("migrate", "--on-drift", "fail")["exit_code"] == 0


def test_accepted_drift_is_logged_with_who_and_why(migrated: Project) -> None:
    migrated.query("create table mine ()")
    migrated.run("drift", "--accept", "hotfix of ticket 7", "--run-id", "fixed")
    event = migrated.run("history")["data"][-1]
    assert (event["action"], event["run_id"], event["version"]) == ("accept-drift", "fixed", None)
    assert event["details"]["why"] == "hotfix of ticket 7"
    assert event["by"]


def test_accepting_where_there_is_no_drift_writes_nothing(migrated: Project) -> None:
    assert migrated.run("drift", "--accept", "why")["outcome"] == "noop"
    assert migrated.run("history")["data"][-1]["action"] == "apply"


def test_what_was_applied_before_a_failure_is_no_drift(migrated: Project) -> None:
    migrated.file("V2__u.sql", "create table u ()")
    migrated.file("V3__v.sql", "nonsense")
    assert migrated.run("migrate")["exit_code"] == 3
    assert migrated.run("status", "--drift")["exit_code"] == 0


@pytest.mark.parametrize("name", ["c++", "a[1", "orders (archive)", "a|b", 'say "x"', "tmp ("])
def test_a_tables_name_is_no_pattern(project: Project, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    project.file("V1__t.sql", f"create table {quoted} (id int primary key, n int check (n > 0))")
    assert project.run("migrate")["error"] is None
    assert project.run("status", "--drift")["exit_code"] == 0


@pytest.fixture
def locked(migrated: Project, bystander: "psycopg2.extensions.connection") -> Project:
    """Give a project in whose database somebody holds a view and its table."""
    migrated.file("V2__v.sql", "create view v as select n from t")
    migrated.run("migrate")
    bystander.cursor().execute("lock table t, v in access exclusive mode")
    return migrated


def test_a_look_behind_a_lock_is_a_warning_and_what_is_applied_is_applied(locked: Project) -> None:
    locked.file("V3__other.sql", "create table other (id int)")
    document = locked.run("migrate", "--deadline", "12")
    assert (document["outcome"], document["error"]) == ("applied", None)
    assert len([text for text in document["warnings"] if "lock timeout" in text]) == 2


def test_a_plan_behind_a_lock_has_the_size_that_was_seen_last(locked: Project) -> None:
    locked.file("V3__t.sql", "alter table t add m int")
    document = locked.run("plan")
    assert document["error"] is None
    assert document["data"]["files"][0]["relations"][0]["relation"] == "t"


def test_what_a_killed_run_changed_is_nobody_elses_doing(migrated: Project) -> None:
    """A run that dies leaves no look behind by which the next one would blame a stranger."""
    migrated.file("V2__u.sql", "create table u ()")
    migrated.file("V3__dies.sql", "select pg_terminate_backend(pg_backend_pid())")
    assert migrated.run("migrate")["exit_code"] != 0
    (migrated.folder / "V3__dies.sql").unlink()
    assert migrated.run("status", "--drift")["exit_code"] == 0
