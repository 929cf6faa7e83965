"""A lock that somebody else has: give way as a whole, try again, then say who is in the way."""

import threading
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest

from tests.runner.project import Project

Bystander = psycopg2.extensions.connection
WaitFor = Callable[[str], None]

FAST = ("--lock-timeout", "150ms", "--lock-attempts", "2")
WAITING = (
    "select exists (select from pg_stat_activity where wait_event_type = 'Lock'"
    " and application_name like 'schema-migrations/%')"
)


@pytest.fixture
def busy(project: Project, bystander: Bystander) -> Project:
    """Give a project with a table `t` that a bystander reads in an open transaction."""
    project.file("V1__t.sql", "create table t (n int); create table log (name text)")
    project.run("migrate")
    bystander.cursor().execute("set application_name = 'reporting'; select count(*) from t")
    return project


def test_gives_way_is_tried_again_as_a_whole_and_succeeds_when_the_blocker_goes(
    busy: Project, bystander: Bystander
) -> None:
    busy.file(
        "V2__b.sql",
        "insert into log select txid_current()::text; alter table t add m int;"
        " insert into log select txid_current()::text",
    )
    process = busy.start("migrate", "--lock-timeout", "150ms")
    assert process.stderr
    said = process.stderr.readline()
    assert "rolled back (attempt 1 of 10), again in " in said
    assert busy.query("select count(*) from log") == [(0,)]
    bystander.rollback()
    document = busy.finish(process)
    assert document["outcome"] == "applied"
    assert document["applied"][0]["attempts"] > 1
    assert busy.query("select count(*), count(distinct name) from log") == [(2, 1)]


def test_attempts_say_who_was_in_the_way_and_when_the_next_one_is(busy: Project) -> None:
    busy.file("V2__b.sql", "alter table t add m int;\n")
    process = busy.start("migrate", "--lock-timeout", "150ms", "--lock-attempts", "2")
    _, said = process.communicate(timeout=60)
    first, second = (line for line in said.splitlines() if "(attempt " in line)
    assert "(attempt 1 of 2), again in " in first
    assert "(attempt 2 of 2), blocked by " in second
    assert "reporting" in second


def test_gives_up_naming_the_blocker_and_the_statement_that_would_end_it(
    busy: Project, bystander: Bystander
) -> None:
    busy.file("V2__b.sql", "insert into log values ('b');\nalter table t add m int;\n")
    document = busy.run("migrate", *FAST)
    error = document["error"]
    assert (document["outcome"], document["exit_code"], error["sqlstate"]) == ("failed", 3, "55P03")
    (blocker,) = error["blockers"]
    pid = bystander.info.backend_pid
    assert blocker["pid"] == pid
    assert (blocker["user"], blocker["application"]) == ("postgres", "reporting")
    assert (blocker["relation"], blocker["mode"]) == ("public.t", "AccessExclusiveLock")
    assert blocker["transaction_seconds"] > 0
    assert "select count(*) from t" in blocker["query"]
    text = "\n".join(error["details"])
    assert f"to end it: select pg_terminate_backend({pid});" in text
    assert "wait for the sessions above to end" in error["fix"]
    assert busy.query("select count(*) from log") == [(0,)]
    bystander.cursor().execute("select 1")  # it was not ended


def test_person_reads_who_is_in_the_way(busy: Project, bystander: Bystander) -> None:
    busy.file("V2__b.sql", "alter table t add m int")
    _, out, err = busy.text("migrate", *FAST)
    shown = out + err
    for part in (
        f"pid {bystander.info.backend_pid}",
        "user postgres",
        "application reporting",
        "idle in transaction, in a transaction for",
        "in the way of AccessExclusiveLock on public.t",
        "query: ",
        "pg_terminate_backend",
    ):
        assert part in shown, part


def test_pauses_do_not_pass_the_deadline(busy: Project) -> None:
    busy.file("V2__b.sql", "alter table t add m int")
    document = busy.run(
        "migrate", "--lock-timeout", "150ms", "--lock-attempts", "50", "--deadline", "6.5"
    )
    assert (document["exit_code"], document["error"]["sqlstate"]) == (3, "55P03")
    assert document["error"]["blockers"]
    assert document["duration_ms"] < 2500


def test_directive_sets_the_lock_timeout(busy: Project) -> None:
    busy.file("V2__b.sql", "-- runner: lock_timeout=100ms\nalter table t add m int")
    document = busy.run("migrate", "--lock-attempts", "1")
    assert document["error"]["sqlstate"] == "55P03"
    assert document["duration_ms"] < 1500


def test_files_in_one_transaction_are_tried_again_together(
    busy: Project, bystander: Bystander
) -> None:
    busy.file("V2__a.sql", "insert into log select txid_current()::text")
    busy.file("V3__b.sql", "alter table t add m int; insert into log select txid_current()::text")
    process = busy.start("migrate", "--single-transaction", "--lock-timeout", "150ms")
    assert process.stderr
    assert "V3__b.sql" in process.stderr.readline()
    bystander.rollback()
    assert [entry["version"] for entry in busy.finish(process)["applied"]] == ["2", "3"]
    assert busy.query("select count(*), count(distinct name) from log") == [(2, 1)]


def test_waiting_for_the_history_is_bounded_as_well(busy: Project, bystander: Bystander) -> None:
    bystander.cursor().execute("lock table schema_version in share mode")
    busy.file("V2__b.sql", "insert into log values ('b')")
    document = busy.run("migrate", *FAST)
    assert (document["exit_code"], document["error"]["sqlstate"]) == (3, "55P03")
    assert busy.query("select count(*) from log") == [(0,)]
    bystander.rollback()
    assert busy.run("migrate")["outcome"] == "applied"


def test_deadlock_is_tried_again(busy: Project, bystander: Bystander, wait_for: WaitFor) -> None:
    bystander.rollback()
    busy.query("create table u (n int)")
    cursor = bystander.cursor()
    # The runner is the one that finds the deadlock: the other's patience is longer.
    cursor.execute("set deadlock_timeout = '1min'; lock table u")
    busy.file("V2__b.sql", "insert into log values ('b'); lock table t; lock table u")
    process = busy.start("migrate", "--lock-timeout", "1min")
    wait_for(WAITING)
    thread = threading.Thread(target=cursor.execute, args=("lock table t",))
    thread.start()
    assert process.stderr
    assert "deadlock detected; rolled back (attempt 1" in process.stderr.readline()
    thread.join()
    bystander.rollback()
    assert busy.finish(process)["applied"][0]["attempts"] > 1
    assert busy.query("select name from log") == [("b",)]


def test_statement_of_a_file_without_a_transaction_gives_way_as_well(
    busy: Project, bystander: Bystander
) -> None:
    busy.file(
        "V2__b.sql",
        "-- runner: no-transaction\ninsert into log values ('a');\nalter table t add m int;\n"
        "insert into log values ('b');\nvacuum full t",
    )
    document = busy.run("migrate", *FAST)
    assert (document["exit_code"], document["error"]["sqlstate"]) == (4, "55P03")
    assert document["error"]["blockers"][0]["pid"] == bystander.info.backend_pid
    bystander.rollback()
    assert busy.run("migrate")["outcome"] == "applied"
    assert busy.query("select name from log") == [("a",), ("b",)]


def test_vacuum_full_does_not_queue_everybody_behind_it(
    busy: Project, bystander: Bystander
) -> None:
    busy.file("V2__b.sql", "vacuum full t")
    document = busy.run("migrate", *FAST)
    assert (document["exit_code"], document["error"]["sqlstate"]) == (4, "55P03")
    assert document["error"]["blockers"][0]["pid"] == bystander.info.backend_pid


def _errors(document: dict[str, Any]) -> str:
    return " ".join(document["error"]["details"])


def test_blocker_that_holds_a_row_is_named(busy: Project, bystander: Bystander) -> None:
    busy.query("insert into t values (1)")
    bystander.cursor().execute("update t set n = 2")
    busy.file("V2__b.sql", "update t set n = 3")
    document = busy.run("migrate", *FAST)
    assert document["error"]["blockers"][0]["pid"] == bystander.info.backend_pid
    assert "update t set n = 2" in _errors(document)
