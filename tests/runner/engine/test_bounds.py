"""Whatever stands still, a run ends in time, says why, and leaves nothing behind."""

import contextlib
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest

from runner.database.connection import settings
from runner.database.watch import cut_at
from runner.embedded.ports import free_port
from runner.engine import lock
from tests.runner.project import Project

Bystander = psycopg2.extensions.connection
WaitFor = Callable[[str], None]


@pytest.mark.parametrize(
    "command", [("migrate",), ("status",), ("plan",), ("rollback", "--yes", "--steps", "1")]
)
def test_lock_on_the_history_is_not_waited_for_long_and_its_holder_is_named(
    project: Project, bystander: Bystander, command: tuple[str, ...]
) -> None:
    project.file("V1__a.sql", "select 1")
    project.file("U1__a.sql", "select 1")
    project.run("migrate")
    project.file("V2__b.sql", "select 2")
    project.file("U2__b.sql", "select 2")
    bystander.cursor().execute("lock table schema_version in access exclusive mode")
    began = time.monotonic()
    document = project.run(*command, "--deadline", "7")
    assert time.monotonic() - began < 7
    assert (document["exit_code"], document["applied"]) == (5, [])
    assert f"pid {bystander.info.backend_pid}" in document["error"]["details"][0]


def test_look_that_the_deadline_ends_is_named_by_it(project: Project, bystander: Bystander) -> None:
    """A plan asks for the size of a table that somebody rewrites, and gives way only after 2 s."""
    project.file("V1__big.sql", "create table big (id int)")
    project.run("migrate")
    project.file("V2__c.sql", "alter table big add column c int")
    bystander.cursor().execute("lock table big in access exclusive mode")
    error = project.run("plan", "--deadline", "8")["error"]
    assert (error["kind"], error["message"]) == (
        "incomplete",
        "the deadline came while the database was looked at",
    )


def test_server_that_does_not_answer_is_waited_for_until_the_deadline_only(tmp_path: Path) -> None:
    project = Project(tmp_path / "sql", f"postgresql://u@127.0.0.1:{free_port()}/d")
    project.file("V1__a.sql", "select 1")
    began = time.monotonic()
    document = project.run("migrate", "--deadline", "6", "--connect-wait", "60")
    assert time.monotonic() - began < 6
    assert document["exit_code"] == 9


def test_connection_is_cut_where_nothing_comes_through_any_more(database: str) -> None:
    """Cancelled at the server and here, the call still waits: only its end is lost on the way."""
    with contextlib.closing(psycopg2.connect(database)) as running:
        began = time.monotonic()
        with pytest.raises(psycopg2.Error), cut_at(running, 0.1), running.cursor() as cursor:
            cursor.execute("select pg_sleep(60)")
        assert time.monotonic() - began < 30
        assert running.closed


def test_server_ends_the_session_of_a_client_that_froze_in_a_transaction() -> None:
    assert "idle_in_transaction_session_timeout = '30s'" in settings(180_000)
    assert "client_connection_check_interval" in settings(140_000)


def test_sigterm_while_waiting_for_another_run_ends_with_a_result(
    project: Project, bystander: Bystander
) -> None:
    project.file("V1__a.sql", "select 1")
    bystander.cursor().execute(f"select pg_advisory_lock({lock.key('public')})")
    process = project.start("migrate")
    assert process.stderr
    assert "waiting for another run" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    assert project.finish(process)["exit_code"] == 130


def test_sigterm_while_connecting_ends_with_a_result(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/d?connect_timeout=3"
        project = Project(tmp_path / "sql", url)
        project.file("V1__a.sql", "select 1")
        process = project.start("migrate")
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGTERM)
            assert project.finish(process)["exit_code"] == 130


@pytest.mark.parametrize("neighbours", [0, 3])
def test_what_a_file_defers_is_due_under_its_own_settings(
    project: Project, neighbours: int
) -> None:
    """As in psql; alone, and among small files that share a message."""
    project.query("create schema app; create table app.ledger (n int); create role teller")
    project.query("grant all on schema app to teller; grant all on app.ledger to teller")
    try:
        project.file(
            "V1__a.sql",
            "create table app.paid (n int);\ngrant all on app.paid to teller;\n"
            "create function app.book() returns trigger language plpgsql as"
            " $$ begin insert into ledger values (new.n); return null; end $$;\n"
            "create constraint trigger b after insert on app.paid deferrable initially deferred"
            " for each row execute function app.book();\n"
            "set search_path = app;\nset role teller;\ninsert into paid values (1)",
        )
        for number in range(2, 2 + neighbours):
            project.file(f"V{number}__t.sql", f"create table t{number} (n int)")
        assert project.run("migrate")["error"] is None
        assert project.query("select n from app.ledger") == [(1,)]
    finally:
        project.query("drop owned by teller; drop role teller")
