"""Reaching the database: what is retried, what is final, what is never shown."""

import re

import psycopg2
import pytest
from project import Project

from runner.connection import target
from runner.errors import ConfigurationError


def test_unreachable_server_is_exit_9_and_says_what_to_check(project: Project) -> None:
    project.url = "postgresql://u:hunter2@127.0.0.1:1/db"
    document = project.run("migrate")
    assert document["exit_code"] == 9
    assert "refused" in document["error"]["message"]
    assert "hunter2" not in str(document)


def test_wrong_password_is_final_at_once(project: Project) -> None:
    """With a minute to wait, this test would show a second try by its time."""
    project.url = re.sub(r":[^:@/]+@", ":wrong@", project.url)
    code, out, err = project.text("migrate", "--connect-wait", "60")
    assert code == 9
    assert "password authentication failed" in out
    assert "waiting" not in err


def test_missing_database_is_named(project: Project) -> None:
    project.url += "_none"
    assert "does not exist" in project.run("migrate")["error"]["message"]


def test_server_that_wakes_up_is_waited_for(project: Project) -> None:
    project.url = "postgresql://u@127.0.0.1:1/db"
    code, _, err = project.text("migrate", "--connect-wait", "0.6")
    assert code == 9
    assert "waiting for the database" in err


def test_read_only_target_is_refused(project: Project) -> None:
    name = psycopg2.extensions.parse_dsn(project.url)["dbname"]
    project.query(f"alter database {name} set default_transaction_read_only = on")
    document = project.run("migrate")
    assert (document["exit_code"], document["error"]["message"]) == (9, "this session is read-only")


def test_unreadable_url_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigurationError) as raised:
        target("postgresql://u:hunter2@[bad/db", {})
    assert "hunter2" not in f"{raised.value} {raised.value.fix} {raised.value.details}"


def test_no_database_given_says_how_to_give_one() -> None:
    with pytest.raises(ConfigurationError, match="no database given") as raised:
        target(None, {})
    assert "--database-url" in str(raised.value.fix)


def test_url_wins_over_the_environment() -> None:
    environ = {"DATABASE_URL": "postgresql://b/two", "PGHOST": "c", "PGPORT": "5433"}
    assert target("postgresql://a/one", environ).describe() == {
        "host": "a",
        "port": "5433",
        "dbname": "one",
    }
    assert target(None, environ).describe()["host"] == "b"


def test_session_says_who_it_is(project: Project) -> None:
    project.file("V1__a.sql", "create table seen as select current_setting('application_name') n")
    project.run("migrate", "--run-id", "exec-7-prod")
    assert project.query("select n from seen") == [("schema-migrations/exec-7-prod",)]
