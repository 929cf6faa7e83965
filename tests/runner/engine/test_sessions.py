"""What a file leaves in the session does not reach the next, and cannot end the transaction."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest

from runner.database import connection as connecting
from runner.database.session import Session
from runner.deadline import Deadline
from runner.engine import lock
from runner.engine.conduct import Conduct
from runner.engine.job import Job
from runner.engine.plan import Task
from runner.engine.transaction import Transactions
from runner.errors import NeedsAttention
from runner.files.examine import Message
from runner.files.folder import read_folder
from tests.runner.project import Project

Bystander = psycopg2.extensions.connection
WaitFor = Callable[[str], None]

# What a file does to the session, and a query in the next file whose value tells of it.
LEAKS = {
    "role": ("set role other", "current_user = session_user"),
    "role by function": (
        "select set_config('role', 'other', false)",
        "current_user = session_user",
    ),
    "session authorization": ("set session authorization other", "session_user = 'postgres'"),
    "search_path": ("set search_path = other", "current_setting('search_path') like '%public%'"),
    "empty search_path": (
        "select pg_catalog.set_config('search_path', '', false)",
        "current_setting('search_path') like '%public%'",
    ),
    "statement_timeout": (
        "set statement_timeout = 123",
        "current_setting('statement_timeout') <> '123ms'",
    ),
    "statement_timeout that the next one does not keep": (
        "set statement_timeout = 20",
        "(select pg_sleep(0.05)) is not null and current_setting('statement_timeout') <> '20ms'",
    ),
    "lock_timeout": ("set lock_timeout = 0", "current_setting('lock_timeout') = '2s'"),
    "temporary table": ("create temp table leak (n int)", "to_regclass('pg_temp.leak') is null"),
    "temporary history": (
        "create temp table schema_version (version text)",
        "to_regclass('pg_temp.schema_version') is null",
    ),
    "prepared statement": (
        "prepare leak as select 1",
        "not exists (select from pg_prepared_statements where name = 'leak')",
    ),
    "listen": ("listen leak", "not exists (select from pg_listening_channels())"),
    "cursor": (
        "declare leak cursor with hold for select 1",
        "not exists (select from pg_cursors where name = 'leak')",
    ),
    "read only": (
        "set default_transaction_read_only = on",
        "current_setting('transaction_read_only') = 'off'",
    ),
    "isolation": (
        "set default_transaction_isolation = serializable",
        "current_setting('transaction_isolation') = 'read committed'",
    ),
    "row_security": ("set row_security = off", "current_setting('row_security') = 'on'"),
    "time zone": ("set time zone 'Asia/Tokyo'", "current_setting('timezone') <> 'Asia/Tokyo'"),
    "custom setting": ("set my.leak = 'x'", "coalesce(current_setting('my.leak', true), '') = ''"),
    "replication role": (
        "set session_replication_role = replica",
        "current_setting('session_replication_role') = 'origin'",
    ),
    "sequence": ("create sequence s; select nextval('s')", "not currval_is_known()"),
    "advisory locks": (
        "select pg_advisory_unlock_all()",
        "(select count(*) = 1 from pg_locks where locktype = 'advisory' and granted)",
    ),
}


@pytest.fixture
def other(project: Project) -> Project:
    """Give a project in a database with a role and a schema named `other`."""
    project.query(
        "do $$ begin create role other; exception when duplicate_object then null; end $$;"
        "create schema other; grant all on schema other, public to other;"
        "create function public.currval_is_known() returns boolean language plpgsql as"
        " $$ begin perform lastval(); return true;"
        " exception when object_not_in_prerequisite_state then return false; end $$"
    )
    return project


@pytest.mark.parametrize("top", ["", "-- runner: no-transaction\n"], ids=["inside", "outside"])
def test_what_a_file_leaves_does_not_reach_the_next(other: Project, top: str) -> None:
    other.query("create table public.seen (leak text, gone boolean)")
    # Outside of a transaction a time limit is refused: test_hostile_folder.py.
    leaks = {leak: how for leak, how in LEAKS.items() if not (top and "_timeout" in leak)}
    for number, (leak, (statement, query)) in enumerate(leaks.items(), 1):
        other.file(f"V{number}.1__leak.sql", top + statement)
        other.file(f"V{number}.2__seen.sql", f"insert into public.seen select '{leak}', {query}")
    document = other.run("migrate")
    assert document["error"] is None
    assert other.query("select leak from public.seen where gone is not true") == []
    assert other.query("select count(*) from public.seen") == [(len(leaks),)]
    assert len(other.history()) == 2 * len(leaks)


@pytest.mark.parametrize("leak", ["role", "search_path", "temporary table", "listen", "cursor"])
def test_what_a_file_leaves_does_not_come_back_when_the_next_is_tried_again(
    other: Project, bystander: Bystander, leak: str
) -> None:
    """The first attempt of the second file is rolled back, and with it what came just before."""
    statement, query = LEAKS[leak]
    other.query("create table busy ()")
    bystander.cursor().execute("lock table busy")
    other.file("V1__leak.sql", statement)
    other.file(
        "V2__seen.sql",
        f"create table public.seen as select {query} as gone; lock table public.busy nowait",
    )
    process = other.start("migrate")
    assert process.stderr
    assert "V1__leak.sql" in process.stderr.readline()
    assert "rolled back (attempt 1" in process.stderr.readline()
    bystander.rollback()
    assert len(other.finish(process)["applied"]) == 2
    assert other.query("select gone from public.seen") == [(True,)]


def test_settings_of_the_database_and_the_url_are_what_a_file_begins_with(other: Project) -> None:
    name = other.query("select current_database()")[0][0]
    other.query(f"alter database {name} set search_path = other, public")
    other.file("V1__a.sql", "set search_path = public")
    other.file("V2__b.sql", "create table t ()")
    assert len(other.run("migrate")["applied"]) == 2
    assert other.query("select to_regclass('other.t') is not null") == [(True,)]


@pytest.mark.parametrize("isolation", ["serializable", "repeatable read"])
def test_another_default_isolation_is_not_in_the_way(other: Project, isolation: str) -> None:
    name = other.query("select current_database()")[0][0]
    other.query(f"alter database {name} set default_transaction_isolation = '{isolation}'")
    for number in (1, 2, 3):
        other.file(f"V{number}__a.sql", f"create temp table t{number} ()")
    assert len(other.run("migrate")["applied"]) == 3


def test_unlocking_everything_lets_no_other_run_in(
    project: Project, bystander: Bystander, wait_for: WaitFor
) -> None:
    project.file("V1__t.sql", "create table busy ()")
    project.run("migrate")
    bystander.cursor().execute("lock table busy")
    project.file("V2__a.sql", "select pg_advisory_unlock_all(); lock table busy in share mode")
    project.file("V3__b.sql", "create table b ()")
    first = project.start("migrate", "--lock-timeout", "1min")
    wait_for(
        "select exists (select from pg_stat_activity where wait_event_type = 'Lock'"
        " and application_name like 'schema-migrations/%')"
    )
    assert project.run("migrate", "--lock-wait", "0")["exit_code"] == 5
    bystander.rollback()
    assert [entry["version"] for entry in project.finish(first)["applied"]] == ["2", "3"]


@pytest.mark.parametrize("statement", ["discard all", "select pg_advisory_unlock_all()"])
def test_lock_let_go_without_a_transaction_does_not_hurt_where_nobody_came_in(
    project: Project, statement: str
) -> None:
    project.file("V1__a.sql", f"-- runner: no-transaction\n{statement};\nselect 1;\n")
    project.file("V2__b.sql", "create table b ()")
    assert len(project.run("migrate")["applied"]) == 2


def test_lock_let_go_without_a_transaction_stops_where_somebody_came_in(
    project: Project, bystander: Bystander, wait_for: WaitFor
) -> None:
    bystander.autocommit = True
    gate = bystander.cursor()
    gate.execute("select pg_advisory_lock(4242)")
    project.file(
        "V1__a.sql",
        "-- runner: no-transaction\nselect pg_advisory_xact_lock(4242);\ndiscard all;\n"
        "create table a ();\n",
    )
    process = project.start("migrate", "--lock-timeout", "1min")
    waiting = "select count(*) = {} from pg_locks where locktype = 'advisory' and not granted"
    wait_for(waiting.format(1))
    with contextlib.closing(psycopg2.connect(project.url)) as other_run:
        take = ("select pg_advisory_lock(%s)", (lock.key("public"),))
        thread = threading.Thread(target=other_run.cursor().execute, args=take)
        thread.start()
        wait_for(waiting.format(2))
        gate.execute("select pg_advisory_unlock_all()")
        document = project.finish(process)
        thread.join()
    assert document["exit_code"] == 5
    assert "let the runner's lock go" in document["error"]["message"]
    assert project.query("select to_regclass('a') is null") == [(True,)]
    assert project.run("migrate")["outcome"] == "applied"


# ---- the end of the transaction


DISGUISES = [
    "commit",
    "COMMIT WORK",
    "commit and chain",
    "end",
    "end transaction and no chain",
    "rollback",
    "rollback and chain",
    "abort work",
    "prepare transaction 'x'",
    "begin",
    "start transaction",
    "begin isolation level serializable",
    "/* c */ commit",
    "commit /* c */ work",
    "-- c\ncommit",
    "commit -- c\n",
    "/* /* */ ; */ commit",
    "select '\\'; commit; select '\\'",
    "select 'C:\\', $$;$$; commit",
    'select 1 as "a\\"; commit; select 1 as "b"',
    "select $a$ $$ $a$; commit",
    "select E'\\'' ; commit",
    "select U&'\\0041'; commit",
    "select 1 -- ' \n; commit; -- '",
    "select 1$$; commit; $$",
    "do $$ begin null; end $$; commit",
    "create function f() returns int language sql as $$ select 1 $$; commit",
    "create rule r as on insert to t do also (select 1; select 2); commit",
    "CoMmIt",
    ";;commit",
    "commit\u000b",
    "savepoint a; release a; commit",
    "copy t from stdin;\n\\.\ncommit",
]


def test_transaction_control_is_refused_before_anything_runs(project: Project) -> None:
    project.file("V1__t.sql", "create table t (n int)")
    for number, statement in enumerate(DISGUISES, 2):
        project.file(f"V{number}__x.sql", f"create table x ();\n{statement};\n")
    document = project.run("migrate")
    assert (document["exit_code"], document["applied"]) == (6, [])
    refused = {int(detail[1 : detail.index("__")]) for detail in document["error"]["details"]}
    passed = [text for number, text in enumerate(DISGUISES, 2) if number not in refused]
    assert passed == []
    assert project.query("select to_regclass('x') is null and to_regclass('t') is null") == [
        (True,)
    ]


def test_harmless_words_of_transactions_are_no_control(project: Project) -> None:
    project.file(
        "V1__t.sql",
        "create table commit (\"end\" text default 'commit;');\n"
        "savepoint a; insert into commit values ('x'); rollback to a; release savepoint a;\n"
        "do $$ begin insert into commit default values; end; $$;\n"
        "select case when true then 1 end;\n-- commit;\n/* commit; */",
    )
    assert project.run("migrate")["outcome"] == "applied"
    assert project.query("select * from commit") == [("commit;",)]


@pytest.mark.parametrize(
    "text",
    [
        "call commits()",
        "do $$ begin insert into log values ('x'); commit; end $$",
        "do $$ begin insert into log values ('x'); rollback; end $$",
        "do $$ begin call commits(); end $$",
        "do $$ begin execute 'commit'; end $$",
    ],
)
def test_procedure_that_commits_is_an_error_that_names_the_directive(
    project: Project, text: str
) -> None:
    project.file(
        "V1__p.sql",
        "create table log (name text); create procedure commits() language plpgsql as"
        " $$ begin insert into log values ('x'); commit; end $$",
    )
    project.file("V2__x.sql", f"create table x ();\n{text};\n")
    document = project.run("migrate")
    error = document["error"]
    assert document["exit_code"] == 3
    if "execute" in text:
        assert error["sqlstate"] == "0A000"  # EXECUTE takes no transaction control at all
    else:
        assert error["sqlstate"] == "2D000"
        assert "-- runner: no-transaction" in error["fix"]
    assert error["line"] == 2
    assert project.query("select count(*), to_regclass('x') is null from log") == [(0, True)]


@contextlib.contextmanager
def _transactions(project: Project) -> "contextlib.AbstractContextManager[Transactions]":  # type: ignore[misc]
    session = Session(connecting.target(project.url), run_id="test", wait=0)

    class Silent:
        wants_ticks = False

        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *_: None

    try:
        # The session of the run before it may not have ended yet.
        lock.take(session, wait=20, deadline=Deadline(), progress=lambda _: None)
        yield Transactions(session, Conduct(Deadline(), Silent()))
    finally:
        session.close()


@pytest.mark.parametrize(
    "text",
    [
        "create table x (); commit",
        "create table x (); commit; begin",
        "create table x (); commit and chain",
        "create table x (); commit; select 1 / 0",
        "create table x (); rollback; begin; create table public.y ()",
    ],
)
def test_end_of_the_transaction_that_got_through_is_caught_and_not_recorded(
    project: Project, text: str
) -> None:
    """No way is known past the scanner, so the job is made by hand here."""
    project.file("V1__t.sql", "create table t ()")
    project.run("migrate")
    path: Path = project.file("V2__x.sql", text)
    migration = next(m for m in read_folder(project.folder).versioned if m.path == path)
    job = Job(Task("apply", migration, "new"), text, (Message(0, len(text)),), True)
    with _transactions(project) as transactions, pytest.raises(NeedsAttention) as caught:
        list(transactions.run([job], None))
    assert "ended the runner's transaction" in caught.value.message
    assert project.history() == [("1", "applied")]
    assert project.query("select to_regclass('y') is null") == [(True,)]


@pytest.mark.parametrize(
    "setting", ["'standard_' || 'conforming_strings', 'off'", "'client_' || 'encoding', 'LATIN1'"]
)
def test_text_is_never_sent_to_a_server_that_reads_it_another_way(
    project: Project, setting: str
) -> None:
    """With standard_conforming_strings off, the second message would commit."""
    project.file("V1__t.sql", "create table t (n int)")
    project.file(
        "V2__x.sql",
        f"create table x ();\nselect set_config({setting}, false);\ncopy t from stdin;\n1\n\\.\n"
        "select '\\' , '; commit; select 1; --';\n",
    )
    document = project.run("migrate")
    assert (document["exit_code"], document["error"]["kind"]) == (3, "migration")
    assert "how text is read" in document["error"]["message"]
    assert project.history() == [("1", "applied")]
    assert project.query("select to_regclass('x') is null") == [(True,)]


@pytest.mark.parametrize(
    "text",
    [
        "set standard_conforming_strings = off",
        "set client_encoding = 'LATIN1'",
        "set names 'LATIN1'",
        "select set_config('client_encoding', 'LATIN1', false)",
    ],
)
def test_setting_that_changes_how_text_is_read_is_refused(project: Project, text: str) -> None:
    project.file("V1__t.sql", text)
    assert project.run("migrate")["exit_code"] == 6


def test_read_only_transaction_cannot_be_recorded_and_is_rolled_back(project: Project) -> None:
    project.file("V1__t.sql", "create table t (); set transaction read only")
    document = project.run("migrate")
    assert (document["exit_code"], document["error"]["sqlstate"]) == (3, "25006")
    assert project.query("select to_regclass('t') is null") == [(True,)]


def test_place_of_an_error_in_a_shared_transaction_is_the_second_files(project: Project) -> None:
    project.file("V1__t.sql", "create table t (n int not null)")
    path = project.file("V2__x.sql", "insert into t values (1);\n\ninsert into t values (null);\n")
    error = project.run("migrate", "--single-transaction")["error"]
    assert (error["file"], error["line"], error["sqlstate"]) == (str(path), 3, "23502")


def test_error_in_the_record_has_no_place_in_the_file(project: Project) -> None:
    project.file("V1__t.sql", "create table t ()")
    project.run("migrate")
    project.query("alter table schema_version add constraint c check (version <> '2')")
    project.file("V2__x.sql", "create table x ()")
    error = project.run("migrate")["error"]
    assert (error["sqlstate"], error["line"]) == ("23514", None)


# ---- the deadline


def test_deadline_stops_between_files_and_running_again_goes_on(project: Project) -> None:
    project.file("V1__a.sql", "create table a (); select pg_sleep(0.1)")
    project.file("V2__b.sql", "create table b (); select pg_sleep(5)")
    document = project.run("migrate", "--deadline", "9")
    assert (document["outcome"], document["exit_code"]) == ("incomplete", 8)
    assert [entry["version"] for entry in document["applied"]] == ["1"]
    assert [entry["version"] for entry in document["pending"]] == ["2"]
    assert project.query("select to_regclass('b') is null") == [(True,)]
    assert [entry["version"] for entry in project.run("migrate")["applied"]] == ["2"]


def test_nothing_is_started_past_the_margin(project: Project) -> None:
    project.file("V1__a.sql", "create table a ()")
    document = project.run("migrate", "--deadline", "4")
    assert (document["outcome"], document["exit_code"]) == ("incomplete", 8)
    assert document["applied"] == []
    assert project.query("select to_regclass('a') is null") == [(True,)]


def test_file_that_never_fits_is_a_failure(project: Project) -> None:
    project.file("V1__a.sql", "create table a (); select pg_sleep(9)")
    document = project.run("migrate", "--deadline", "5.5")
    assert (document["outcome"], document["exit_code"]) == ("failed", 3)
    assert "longer than a whole run" in document["error"]["message"]
    assert project.query("select to_regclass('a') is null") == [(True,)]


def test_files_in_one_transaction_that_never_fit_are_a_failure(project: Project) -> None:
    project.file("V1__a.sql", "create table a ()")
    project.file("V2__b.sql", "select pg_sleep(9)")
    document = project.run("migrate", "--deadline", "5.5", "--single-transaction")
    assert (document["exit_code"], document["applied"]) == (3, [])
    assert project.query("select to_regclass('a') is null") == [(True,)]


def test_server_ends_a_statement_at_the_deadline_where_the_runner_died(
    project: Project, wait_for: WaitFor
) -> None:
    project.file("V1__a.sql", "create table a (); select pg_sleep(9)")
    process = project.start("migrate", "--deadline", "6")
    ours = "select {} (select from pg_stat_activity where wait_event = 'PgSleep')"
    wait_for(ours.format("exists"))
    process.kill()
    process.communicate()
    wait_for(ours.format("not exists"))
    assert project.query("select to_regclass('a') is null") == [(True,)]
