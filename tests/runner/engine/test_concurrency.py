"""Several runners at once: one works, the others wait and find nothing to do."""

from collections.abc import Callable

import psycopg2

from runner.engine import lock
from tests.runner.project import Project

Bystander = psycopg2.extensions.connection
WaitFor = Callable[[str], None]

OURS = "from pg_stat_activity where application_name like 'schema-migrations/%'"


def test_twenty_runners_started_together_apply_each_file_once(project: Project) -> None:
    project.file("V1__log.sql", "create table log (name text)")
    for number in range(2, 12):
        alone = "" if number % 5 else "-- runner: no-transaction\n"
        project.file(f"V{number}__x.sql", f"{alone}insert into log values ('{number:02}')")
    project.file("V12__i.sql", "create index concurrently i on log (name)")
    project.file("R__v.sql", "create or replace view v as select * from log")
    processes = [project.start("migrate") for _ in range(20)]
    documents = [project.finish(process) for process in processes]
    assert [document["exit_code"] for document in documents] == [0] * 20
    assert sum(len(document["applied"]) for document in documents) == 13
    assert project.query("select name from log order by name") == [
        (f"{number:02}",) for number in range(2, 12)
    ]
    assert len(project.history()) == 13
    assert project.query("select count(*) from schema_version_log") == [(13,)]


def test_second_runner_waits_by_polling_while_the_first_builds_an_index(
    project: Project, bystander: Bystander, wait_for: WaitFor
) -> None:
    """A waiting statement would have a snapshot, and the build would wait for that for ever."""
    project.file("V1__t.sql", "create table t (n int)")
    project.run("migrate")
    project.file("V2__i.sql", "create index concurrently i on t (n)")
    bystander.cursor().execute("insert into t values (1)")  # the build waits for its end
    first = project.start("migrate")
    wait_for("select exists (select from pg_index where indexrelid = to_regclass('i'))")
    second = project.start("migrate")
    assert second.stderr
    said = second.stderr.readline()
    assert "waiting for another run" in said
    assert "create index concurrently i" in said
    # It polls: between two tries it has neither a statement running nor a transaction open.
    wait_for(
        f"select exists (select {OURS} and state = 'idle' and backend_xmin is null"
        " and (query like '%pg_try_advisory_lock%' or query like '%pg_locks%'))"
    )
    bystander.rollback()
    assert [entry["version"] for entry in project.finish(first)["applied"]] == ["2"]
    document = project.finish(second)
    assert (document["outcome"], document["exit_code"]) == ("noop", 0)
    assert project.query("select indisvalid from pg_index where indexrelid = 'i'::regclass") == [
        (True,)
    ]


def test_lock_that_is_not_to_be_had_names_its_holder(
    project: Project, bystander: Bystander
) -> None:
    project.file("V1__t.sql", "create table t (n int)")
    bystander.cursor().execute("set application_name = 'somebody'")
    bystander.cursor().execute("select pg_advisory_lock(%s)", (lock.key("public"),))
    document = project.run("migrate", "--lock-wait", "0.3")
    assert (document["outcome"], document["exit_code"]) == ("failed", 5)
    (holder,) = document["error"]["details"]
    assert f"held by pid {bystander.info.backend_pid}, user postgres" in holder
    assert "application somebody" in holder
    assert "idle in transaction" in holder
    assert project.query("select to_regclass('t') is null") == [(True,)]


def test_run_id_of_the_holder_is_named(
    project: Project, bystander: Bystander, wait_for: WaitFor
) -> None:
    project.file("V1__t.sql", "create table t (n int)")
    project.run("migrate")
    project.file("V2__t.sql", "alter table t add m int")
    bystander.cursor().execute("lock table t")
    first = project.start("migrate", "--run-id", "deploy-7", "--lock-timeout", "1min")
    wait_for(f"select exists (select {OURS} and wait_event_type = 'Lock')")
    document = project.run("migrate", "--lock-wait", "0")
    bystander.rollback()
    assert document["exit_code"] == 5
    assert "application schema-migrations/deploy-7" in document["error"]["details"][0]
    assert project.finish(first)["outcome"] == "applied"


def test_waiting_ends_at_the_deadline(project: Project, bystander: Bystander) -> None:
    project.file("V1__t.sql", "create table t (n int)")
    bystander.cursor().execute("select pg_advisory_lock(%s)", (lock.key("public"),))
    document = project.run("migrate", "--deadline", "5.3")
    assert document["exit_code"] == 5
    assert document["duration_ms"] < 3000


def test_reading_needs_no_lock(project: Project, bystander: Bystander) -> None:
    project.file("V1__t.sql", "create table t (n int)")
    project.run("migrate")
    bystander.cursor().execute("select pg_advisory_lock(%s)", (lock.key("public"),))
    for command in (["status"], ["history"], ["migrate", "--dry-run"]):
        assert project.run(*command, "--lock-wait", "0")["exit_code"] == 0


def test_runners_of_two_databases_do_not_wait_for_each_other(
    project: Project, bystander: Bystander
) -> None:
    name = project.query("select current_database()")[0][0]
    project.query(f"create database {name}_other")
    try:
        project.file("V1__t.sql", "create table t (n int)")
        bystander.cursor().execute("select pg_advisory_lock(%s)", (lock.key("public"),))
        other = Project(project.folder / "other", project.url + "_other")
        other.folder = project.folder
        assert other.run("migrate", "--lock-wait", "0")["outcome"] == "applied"
    finally:
        project.query(f"drop database {name}_other")


def test_second_application_is_impossible_even_without_the_lock(
    project: Project, bystander: Bystander, wait_for: WaitFor
) -> None:
    """The history's key decides between two that both think that they have the lock."""
    project.file("V1__log.sql", "create table log (name text)")
    project.run("migrate")
    project.file("V2__x.sql", "insert into log values ('x')")
    cursor = bystander.cursor()
    cursor.execute("insert into log values ('x')")
    cursor.execute(
        "insert into schema_version (applied_order, version, kind, state, description, run_id)"
        " overriding system value values (9, '2', 'versioned', 'applied', 'x', 'another')"
    )
    process = project.start("migrate", "--lock-timeout", "1min")
    wait_for(f"select exists (select {OURS} and wait_event_type = 'Lock')")
    bystander.commit()
    document = project.finish(process)
    assert (document["exit_code"], document["error"]["sqlstate"]) == (3, "23505")
    assert project.query("select name from log") == [("x",)]
