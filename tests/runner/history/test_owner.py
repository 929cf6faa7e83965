"""A login by the master user's secret acts as a role that owns what migrations make."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from psycopg2.extensions import parse_dsn

from runner.database import credentials
from runner.database.connection import connect, target
from runner.history import owner
from tests.runner.project import Project

OWNER = "owner_of_migrations"
LOGIN = {"user": "master_test", "password": "m"}


@pytest.fixture
def managed(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Give a project whose login is a master user without superuser's rights, by its secret."""
    administrator = Project.__new__(Project)
    administrator.url = project.url
    name = parse_dsn(project.url)["dbname"]
    project.query("create role master_test login password 'm' createrole createdb")
    project.query(f"alter database {name} owner to master_test")
    monkeypatch.setenv("DATABASE_SECRET_ARN", "arn")
    monkeypatch.setenv("DATABASE_ROLE", OWNER)
    monkeypatch.setenv("PGSSLMODE", "disable")  # the server here has no TLS
    monkeypatch.setattr(credentials, "secret", lambda _: LOGIN)
    project.url = re.sub("//[^@]+@", "//master_test:m@", project.url)
    yield project
    for role in (OWNER, "master_test"):
        if administrator.query(f"select 1 from pg_roles where rolname = '{role}'"):
            administrator.query(f"reassign owned by {role} to current_user")
            administrator.query(f"drop owned by {role}")
            administrator.query(f"drop role {role}")


def owners(project: Project) -> set[str]:
    """Return who owns the tables."""
    sql = "select tableowner from pg_tables where schemaname = 'public'"
    return {str(owner) for (owner,) in project.query(sql)}


def test_first_run_makes_the_role_and_everything_is_its_own(managed: Project) -> None:
    managed.file("V1__a.sql", "create table a (n int)")
    assert managed.run("migrate")["outcome"] == "applied"
    assert owners(managed) == {OWNER}
    sql = f"select rolcanlogin, rolsuper, rolcreaterole from pg_roles where rolname = '{OWNER}'"
    assert managed.query(sql) == [(True, False, False)]
    managed.file("V2__b.sql", "alter table a add b text")
    assert managed.run("migrate")["outcome"] == "applied"


def test_a_file_has_not_the_master_users_rights(managed: Project) -> None:
    managed.file("V1__a.sql", "create role sneaky")
    document = managed.run("migrate")
    assert document["exit_code"] == 3
    assert document["error"]["sqlstate"] == "42501"


@pytest.mark.parametrize(
    "way",
    [
        "-- runner: no-transaction\nreset role;\ncreate role sneaky;\n",
        "set session authorization default; create role sneaky",
        "set role master_test",
    ],
    ids=["step", "session", "role"],
)
def test_a_file_cannot_become_the_master_user_again(managed: Project, way: str) -> None:
    managed.file("V1__a.sql", way)
    document = managed.run("migrate")
    assert document["error"]["message"].startswith("permission denied to ")


def test_what_ran_is_recorded_as_the_roles_own_doing(managed: Project) -> None:
    managed.file("V1__a.sql", "create table a (n int)")
    assert managed.run("migrate")["target"]["user"] == OWNER
    assert managed.query("select applied_by from schema_version") == [(OWNER,)]


def test_role_logs_in_after_the_masters_password_was_rotated(
    managed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    managed.file("V1__a.sql", "create table a (n int)")
    assert managed.run("migrate")["outcome"] == "applied"
    managed.query("alter role master_test password 'rotated'")
    rotated = {**LOGIN, "password": "rotated"}
    monkeypatch.setattr(credentials, "secret", lambda _: rotated)
    managed.file("V2__b.sql", "alter table a add b text")
    assert managed.run("migrate")["outcome"] == "applied"


def test_first_runs_at_once_all_log_in(managed: Project) -> None:
    to = target(managed.url)

    def user(run: int) -> str:
        first = connect(to, run_id=f"run-{run}", wait=5)
        own, role = owner.prepare(first, to, run_id=f"run-{run}", wait=5, read_only=False)
        with closing(first), closing(own), own.cursor() as cursor:
            assert role is None
            cursor.execute("select session_user")
            return str((cursor.fetchone() or ("",))[0])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(user, range(4))) == [OWNER] * 4


def test_looking_makes_no_role(managed: Project) -> None:
    managed.file("V1__a.sql", "create table a (n int)")
    assert managed.run("plan")["error"] is None
    assert managed.query(f"select 1 from pg_roles where rolname = '{OWNER}'") == []


def test_what_the_master_user_owns_is_handed_over_as_told(
    managed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    managed.file("V1__a.sql", "create table a (n int)")
    monkeypatch.delenv("DATABASE_ROLE")
    assert managed.run("migrate")["outcome"] == "applied"
    assert owners(managed) == {"master_test"}
    monkeypatch.setenv("DATABASE_ROLE", OWNER)
    monkeypatch.setenv("PGSSLMODE", "disable")  # the server here has no TLS
    assert managed.run("status")["error"] is None
    managed.file("V2__b.sql", "alter table a add b text")
    document = managed.run("migrate")
    assert document["exit_code"] == 2
    assert "belongs to master_test" in document["error"]["message"]
    managed.query(document["error"]["fix"].partition(" as master_test: ")[2])
    assert managed.run("migrate")["outcome"] == "applied"
    assert owners(managed) == {OWNER}
