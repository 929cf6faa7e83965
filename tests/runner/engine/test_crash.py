"""Killed at any instant, on either side: running again ends with everything applied once.

A killed runner leaves its session at the server, which goes on with the message it has. So each
boundary is tried both ways: the server finishes the message, or the session is ended in it.
"""

import contextlib
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest

from tests.runner.project import Project

Bystander = psycopg2.extensions.connection
WaitFor = Callable[[str], None]

GATE = 4242  # an advisory lock that a bystander holds; whoever comes to a gate waits for it
AT_THE_GATE = (
    "select exists (select from pg_locks where locktype = 'advisory' and not granted"
    f" and objid = {GATE})"
)
OURS = "from pg_stat_activity where application_name like 'schema-migrations/%'"

TRANSACTIONAL = "insert into log values ('2a');\ninsert into log values ('2b');"
NON_TRANSACTIONAL = """\
-- runner: no-transaction
insert into log values ('3a');
create unique index concurrently i on log (name);
insert into log values ('3b');
"""


class Gate:
    """A gate that a trigger waits at."""

    def __init__(self, project: Project, bystander: Bystander) -> None:
        self._project = project
        self._bystander = bystander
        project.query(
            "create function gate() returns trigger language plpgsql as"
            f" $$ begin perform pg_advisory_xact_lock_shared({GATE}); return new; end $$"
        )

    def close(self, trigger: str) -> None:
        """Close it for the trigger, given as CREATE TRIGGER with two places left open."""
        with self._bystander.cursor() as cursor:
            cursor.execute(f"select pg_advisory_lock({GATE})")
        self._bystander.commit()
        self._project.query(trigger.format("for each row", "execute function gate()"))

    def open(self) -> None:
        with self._bystander.cursor() as cursor:
            cursor.execute("select pg_advisory_unlock_all()")


@pytest.fixture
def gate(project: Project, bystander: Bystander) -> Gate:
    """Give a gate in a database with V1, which makes a table `log`."""
    project.file("V1__log.sql", "create table log (name text); insert into log values ('1')")
    project.run("migrate")
    return Gate(project, bystander)


def kill(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def end_sessions(project: Project, wait_for: WaitFor) -> None:
    project.query(f"select pg_terminate_backend(pid) {OURS}")
    wait_for(f"select not exists (select {OURS})")


def assert_everything_once(project: Project, names: list[str]) -> None:
    document = project.run("migrate")
    assert document["exit_code"] == 0, document["error"]
    assert project.run("migrate")["outcome"] == "noop"
    assert project.query("select name from log order by name") == [(name,) for name in names]
    assert {state for _, state in project.history()} == {"applied"}
    assert project.query("select count(*) from pg_index where not indisvalid") == [(0,)]
    applied = "select count(*) from schema_version_log where action = 'apply' group by version"
    assert set(project.query(applied)) == {(1,)}


BOUNDARIES = {
    "transactional": {
        "first statement": "create trigger g before insert on log {} when (new.name = '2a') {}",
        "last statement": "create trigger g before insert on log {} when (new.name = '2b') {}",
        "record": "create trigger g before insert on schema_version {} {}",
        "log": "create trigger g before insert on schema_version_log {} {}",
        "commit": "create constraint trigger g after insert on schema_version"
        " deferrable initially deferred {} {}",
    },
    "non-transactional": {
        "journal opened": "create trigger g before insert on schema_version {} {}",
        "first statement": "create trigger g before insert on log {} when (new.name = '3a') {}",
        "first statement recorded": "create trigger g before update on schema_version {}"
        " when (cardinality(old.steps) = 0 and cardinality(new.steps) = 1) {}",
        "first statement committed": "create constraint trigger g after update on schema_version"
        " deferrable initially deferred {} when (cardinality(new.steps) = 1"
        " and cardinality(old.steps) = 0) {}",
        "index announced": "create trigger g before update on schema_version {}"
        " when (new.step_in_doubt is not null) {}",
        "index recorded": "create trigger g before update on schema_version {}"
        " when (old.step_in_doubt is not null) {}",
        "last statement": "create trigger g before insert on log {} when (new.name = '3b') {}",
        "put into force": "create trigger g before update on schema_version {}"
        " when (new.state = 'applied') {}",
        "log": "create trigger g before insert on schema_version_log {} {}",
    },
}


@pytest.mark.parametrize("session", ["server finishes", "session ended"])
@pytest.mark.parametrize(
    "boundary", [f"{kind}: {name}" for kind, names in BOUNDARIES.items() for name in names]
)
def test_killed_at_a_boundary_and_run_again_everything_is_applied_once(
    project: Project,
    gate: Gate,
    wait_for: WaitFor,
    boundary: str,
    session: str,
) -> None:
    kind, name = boundary.split(": ")
    if kind == "transactional":
        project.file("V2__b.sql", TRANSACTIONAL)
        names = ["1", "2a", "2b", "4"]
    else:
        project.file("V3__c.sql", NON_TRANSACTIONAL)
        names = ["1", "3a", "3b", "4"]
    project.file("V4__d.sql", "insert into log values ('4')")
    gate.close(BOUNDARIES[kind][name])
    process = project.start("migrate")
    wait_for(AT_THE_GATE)
    kill(process)
    if session == "session ended":
        end_sessions(project, wait_for)
    gate.open()
    assert_everything_once(project, sorted(names))


@pytest.mark.parametrize("session", ["server finishes", "session ended"])
def test_killed_in_a_concurrent_build_the_index_is_built_once(
    project: Project,
    bystander: Bystander,
    gate: Gate,
    wait_for: WaitFor,
    session: str,
) -> None:
    project.file("V3__c.sql", NON_TRANSACTIONAL)
    bystander.cursor().execute("insert into log values ('held')")  # the build waits for its end
    process = project.start("migrate")
    wait_for("select exists (select from pg_index where indexrelid = to_regclass('i'))")
    kill(process)
    if session == "session ended":
        end_sessions(project, wait_for)
    bystander.rollback()
    assert_everything_once(project, ["1", "3a", "3b"])


@pytest.mark.parametrize("session", ["server finishes", "session ended"])
def test_killed_while_the_history_is_made(
    project: Project, bystander: Bystander, wait_for: WaitFor, session: str
) -> None:
    project.file("V1__log.sql", "create table log (name text); insert into log values ('1')")
    bystander.cursor().execute("create table public.schema_version ()")
    process = project.start("migrate")
    wait_for(f"select exists (select {OURS} and wait_event_type = 'Lock')")
    kill(process)
    if session == "session ended":
        end_sessions(project, wait_for)
    bystander.rollback()
    assert_everything_once(project, ["1"])


def test_killed_at_random_instants(project: Project, wait_for: WaitFor) -> None:
    random_instants = random.Random(20)
    project.file("V0__log.sql", "create table log (name text)")
    names: list[str] = []
    for number in range(1, 13):
        project.file(f"V{number}.1__a.sql", f"insert into log values ('{number:02}a')")
        project.file(
            f"V{number}.2__b.sql",
            f"-- runner: no-transaction\ninsert into log values ('{number:02}b');\n"
            f"create index concurrently i{number} on log (name);\n"
            f"drop index concurrently i{number};\n"
            f"create index concurrently i{number} on log (name)",
        )
        project.file(f"V{number}.3__c.sql", f"insert into log values ('{number:02}c')")
        names += [f"{number:02}{letter}" for letter in "abc"]
        process = project.start("migrate")
        wait_for(f"select exists (select {OURS}) or to_regclass('i{number}') is not null")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(random_instants.uniform(0, 0.1))
        kill(process)
    assert_everything_once(project, names)


def test_session_ended_in_the_middle_of_a_file_says_that_it_was_rolled_back(
    project: Project, gate: Gate, wait_for: WaitFor
) -> None:
    project.file("V2__b.sql", "insert into log values ('2a'); insert into log values ('2b')")
    gate.close("create trigger g before insert on log {} when (new.name = '2b') {}")
    process = project.start("migrate")
    wait_for(AT_THE_GATE)
    end_sessions(project, wait_for)
    document = project.finish(process)
    assert (document["outcome"], document["exit_code"], document["applied"]) == ("failed", 3, [])
    assert "rolled back" in " ".join(document["error"]["details"])
    assert "run again" in document["error"]["fix"]
    assert project.query("select name from log") == [("1",)]


@pytest.mark.parametrize("boundary", ["record", "log", "commit"])
def test_session_ended_during_the_record_says_that_it_was_rolled_back(
    project: Project, gate: Gate, wait_for: WaitFor, boundary: str
) -> None:
    project.file("V2__b.sql", "insert into log values ('2')")
    project.file("V3__c.sql", "insert into log values ('3')")
    gate.close(BOUNDARIES["transactional"][boundary])
    process = project.start("migrate")
    wait_for(AT_THE_GATE)
    end_sessions(project, wait_for)
    document = project.finish(process)
    assert (document["exit_code"], document["applied"]) == (3, [])
    assert "rolled back" in " ".join(document["error"]["details"])
    assert project.query("select name from log") == [("1",)]


@pytest.fixture
def unanswered(project: Project, gate: Gate, wait_for: WaitFor) -> Iterator[Callable[[], None]]:
    """Give a function that waits for a commit that is made and not answered.

    Commits in this database wait for a replica that there is not, after they were made.
    """
    name = project.query("select current_database()")[0][0]
    project.query(f"alter database {name} set synchronous_commit = local")
    project.query("alter system set synchronous_standby_names = 'nobody'")
    project.query("select pg_reload_conf()")
    project.query(f"alter database {name} set synchronous_commit = on")
    yield lambda: wait_for(f"select exists (select {OURS} and wait_event = 'SyncRep')")
    project.query("alter system reset synchronous_standby_names")
    project.query("select pg_reload_conf()")
    wait_for("select current_setting('synchronous_standby_names') = ''")


def test_commit_that_was_not_answered_counts_as_applied(
    project: Project, unanswered: Callable[[], None], wait_for: WaitFor
) -> None:
    project.file("V2__b.sql", "insert into log values ('2')")
    process = project.start("migrate")
    unanswered()
    end_sessions(project, wait_for)
    document = project.finish(process)
    assert (document["outcome"], document["exit_code"]) == ("applied", 0)
    assert [entry["version"] for entry in document["applied"]] == ["2"]


def test_commit_that_two_signals_meet_is_listed(
    project: Project, unanswered: Callable[[], None]
) -> None:
    project.file("V2__b.sql", "insert into log values ('2')")
    process = project.start("migrate")
    unanswered()
    for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        process.send_signal(number)  # both have come when it goes on
    document = project.finish(process)
    assert (document["outcome"], document["exit_code"]) == ("failed", 130)
    assert [entry["version"] for entry in document["applied"]] == ["2"]


def test_commit_that_was_not_answered_is_listed_and_the_next_file_fails(
    project: Project, unanswered: Callable[[], None], wait_for: WaitFor
) -> None:
    project.file("V2__b.sql", "insert into log values ('2')")
    project.file("V3__c.sql", "insert into log values ('3')")
    process = project.start("migrate")
    unanswered()
    end_sessions(project, wait_for)
    document = project.finish(process)
    assert [entry["version"] for entry in document["applied"]] == ["2"]
    assert [entry["version"] for entry in document["pending"]] == ["3"]
    assert (document["outcome"], document["exit_code"]) == ("failed", 3)
    assert "rolled back" in " ".join(document["error"]["details"])


def test_nobody_to_ask_about_a_commit_says_so(
    project: Project, unanswered: Callable[[], None], wait_for: WaitFor, server: Any
) -> None:
    project.file("V2__b.sql", "insert into log values ('2')")
    process = project.start("migrate")
    unanswered()
    name = project.query("select current_database()")[0][0]
    elsewhere = Project(project.folder / "elsewhere", server.url())
    elsewhere.query(f"alter database {name} with allow_connections false")
    elsewhere.query(f"select pg_terminate_backend(pid) {OURS} and datname = '{name}'")
    document = project.finish(process)
    elsewhere.query(f"alter database {name} with allow_connections true")
    assert (document["exit_code"], document["applied"]) == (9, [])
    assert "nobody can be asked" in document["error"]["message"]
    assert project.history() == [("1", "applied"), ("2", "applied")]


def test_session_ended_in_a_concurrent_build_needs_attention_and_running_again_goes_on(
    project: Project, bystander: Bystander, gate: Gate, wait_for: WaitFor
) -> None:
    project.file("V3__c.sql", NON_TRANSACTIONAL)
    bystander.cursor().execute("insert into log values ('held')")
    process = project.start("migrate")
    wait_for("select exists (select from pg_index where indexrelid = to_regclass('i'))")
    end_sessions(project, wait_for)
    document = project.finish(process)
    bystander.rollback()
    assert (document["exit_code"], document["applied"]) == (4, [])
    assert "goes on here" in " ".join(document["error"]["details"])
    assert_everything_once(project, ["1", "3a", "3b"])


def test_runner_that_died_frees_its_lock_while_its_statement_runs(
    project: Project, bystander: Bystander, gate: Gate, wait_for: WaitFor
) -> None:
    """From 14 on the server looks after its client; before, the statement has to end first."""
    project.file("V2__b.sql", "insert into log values ('2')")
    gate.close("create trigger g before insert on log {} when (new.name = '2') {}")
    process = project.start("migrate")
    wait_for(AT_THE_GATE)
    kill(process)
    began = time.monotonic()
    if project.query("select current_setting('server_version_num')::int >= 140000")[0][0]:
        wait_for(f"select not exists (select {OURS})")
        assert time.monotonic() - began < 10
    gate.open()
    assert_everything_once(project, ["1", "2"])
