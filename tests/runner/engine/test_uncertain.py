"""What may have happened is never done again, and what did not is never said to be done."""

import contextlib
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from runner.database.session import Session
from runner.engine import lock
from tests.runner.project import Project

Bystander = psycopg2.extensions.connection
WaitFor = Callable[[str], None]

ALONE = "-- runner: no-transaction\n"
DYING = (
    "create function die() returns trigger language plpgsql as"
    " $$ begin perform pg_terminate_backend(pg_backend_pid()); return new; end $$;"
    "create trigger d before {} for each row {} execute function die()"
)


@pytest.fixture
def effects(project: Project) -> Project:
    """Give a project with a table `effects`, and a first migration in its history."""
    project.query("create table effects (what text)")
    project.file("V1__a.sql", "select 1")
    project.run("migrate")
    return project


def done(project: Project) -> list[str]:
    return [what for (what,) in project.query("select what from effects order by what")]


@pytest.mark.parametrize("files", [1, 2])
def test_unanswered_commit_is_asked_of_the_history_and_never_of_its_transaction_id(
    effects: Project, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    """After a server's crash the id belongs to somebody else, who may have committed."""
    monkeypatch.setattr(Session, "has_committed", lambda *_: True)
    effects.query(DYING.format("insert on schema_version", "when (new.version = '2')"))
    for number in range(2, 2 + files):
        effects.file(f"V{number}__b.sql", f"insert into effects values ('{number}')")
    document = effects.run("migrate")
    assert (document["exit_code"], document["applied"], done(effects)) == (3, [], [])


@pytest.mark.parametrize("alone", [True, False])
def test_a_row_of_another_run_does_not_answer_for_this_one(effects: Project, alone: bool) -> None:
    """Somebody who takes the lock of a lost run may have applied the same file."""
    text = (ALONE if alone else "") + "insert into effects values ('2')"
    effects.file("V2__b.sql", text)
    effects.query(
        "create function other() returns trigger language plpgsql as $$ begin"
        " new.run_id = 'another'; return new; end $$;"
        "create trigger o before insert or update on schema_version for each row"
        " execute function other();"
        + DYING.format("insert on schema_version_log", "when (new.version = '2')")
    )
    document = effects.run("migrate")
    assert (document["exit_code"] != 0, document["applied"]) == (True, [])


def test_unanswered_end_of_a_file_without_a_transaction_counts_as_applied(
    effects: Project, wait_for: WaitFor
) -> None:
    name = effects.query("select current_database()")[0][0]
    effects.file("V2__b.sql", ALONE + "set synchronous_commit = local;\nselect 1")
    effects.query(f"alter database {name} set synchronous_commit = local")
    effects.query("alter system set synchronous_standby_names = 'nobody'")
    effects.query("select pg_reload_conf()")
    effects.query(
        "create function slow() returns trigger language plpgsql as $$ begin"
        " perform set_config('synchronous_commit', 'on', true); return new; end $$;"
        "create trigger s before update on schema_version for each row"
        " when (new.state = 'applied') execute function slow()"
    )
    try:
        process = effects.start("migrate")
        ours = "from pg_stat_activity where application_name like 'schema-migrations/%'"
        wait_for(f"select exists (select {ours} and wait_event = 'SyncRep')")
        effects.query(f"select pg_terminate_backend(pid) {ours}")
        document = effects.finish(process)
    finally:
        effects.query("alter system reset synchronous_standby_names")
        effects.query("select pg_reload_conf()")
    assert [entry["version"] for entry in document["applied"]] == ["2"]
    assert document["exit_code"] == 0


# ---- blocks that commit


BLOCKS = {
    "call": "call batches()",
    "do": "do $$ begin insert into effects values ('first'); commit; {} end $$",
}


@pytest.mark.parametrize("kind", ["call", "do"])
@pytest.mark.parametrize("end", ["fails", "cancelled", "deadline"])
def test_block_that_committed_and_then_ended_stops_and_asks(
    effects: Project, kind: str, end: str, wait_for: WaitFor
) -> None:
    then = "raise 'disk full';" if end == "fails" else "perform pg_sleep(30);"
    effects.query(
        "create procedure batches() language plpgsql as"
        f" $$ begin insert into effects values ('first'); commit; {then} end $$"
    )
    effects.file("V2__b.sql", f"{ALONE}select 1;\n{BLOCKS[kind].format(then)}")
    process = effects.start(*(["--deadline", "6"] if end == "deadline" else []), "migrate")
    if end == "cancelled":
        wait_for("select exists (select from effects)")
        effects.query("select pg_cancel_backend(pid) from pg_stat_activity where query ~ 'batch|do'"
                      " and application_name like 'schema-migrations/%'")  # fmt: skip
    for document in (effects.finish(process), effects.run("migrate")):
        assert document["exit_code"] == 4
        assert "runner repair --again 2" in document["error"]["fix"]
    assert done(effects) == ["first"]


def test_statement_that_ran_and_could_not_be_recorded_is_not_run_again_by_itself(
    effects: Project,
) -> None:
    effects.query(
        "create procedure batches() language plpgsql as"
        " $$ begin insert into effects values ('first'); commit; end $$;"
        + DYING.format("update on schema_version", "when (cardinality(new.steps) = 1)")
    )
    effects.file("V2__b.sql", f"{ALONE}call batches()")
    assert effects.run("migrate")["exit_code"] == 4
    effects.query("drop function die cascade")
    assert effects.run("migrate")["exit_code"] == 4
    assert done(effects) == ["first"]


# ---- going on with a file without a transaction


def stop_half_way(project: Project, first: str, value: str = "1") -> None:
    """Run a file that stops after its first statement; the next inserts a value into `gate`."""
    project.file("V2__b.sql", f"{ALONE}{first};\ninsert into gate values ({value})")
    assert project.run("migrate")["exit_code"] == 4
    project.query("create table gate (value text)")


@pytest.mark.parametrize(
    "first",
    [
        "select set_config('my.x', note('once'), false)",
        "select set_config('my.x', '1', false), note('once')",
        "select set_config('my.x', '1', false) from effects, note('once')",
        "with n as (select note('once')) select set_config('my.x', '1', false) from n",
    ],
)
def test_statement_that_does_more_than_to_set_is_not_repeated(effects: Project, first: str) -> None:
    effects.query(
        "create function note(what text) returns text language sql as"
        " $$ insert into effects values (what) returning what $$; insert into effects values ('')"
    )
    stop_half_way(effects, first, "current_setting('my.x')")
    assert effects.run("migrate")["exit_code"] == 0
    assert done(effects) == ["", "once"]
    assert effects.query("select value from gate") in ([("1",)], [("once",)])


def test_setting_whose_name_was_computed_stops_the_file(effects: Project) -> None:
    stop_half_way(effects, "select set_config('my.' || 'x', '1', false)")
    document = effects.run("migrate")
    assert (document["exit_code"], document["error"]["line"]) == (4, 2)
    assert "repair --forget 2" in document["error"]["fix"]


# How a function computes the name of a setting, and how a finished statement reaches it.
COMPUTED = {
    "called": "select hidden('x')",
    "in dynamic SQL": "select dynamic('x')",
    "by another function": "select outside()",
    "by a trigger": "insert into watched values (1)",
    "in a view": "select * from seen",
    "in a block": "do $$ begin execute 'set my.' || 'x = 1'; end $$",
}


@pytest.mark.parametrize("how", COMPUTED)
def test_setting_whose_name_a_function_computes_stops_the_file(effects: Project, how: str) -> None:
    effects.query("""
        create function hidden(name text) returns text language sql as
        $$ select set_config('my.' || name, '1', false) $$;
        create function dynamic(name text) returns void language plpgsql as
        $$ begin execute format('set %I.%I = 1', 'my', name); end $$;
        create function outside() returns void language plpgsql as
        $$ begin perform Hidden('x'); end $$;
        create table watched (n int);
        create function watch() returns trigger language plpgsql as
        $$ begin perform outside(); return new; end $$;
        create trigger w before insert on watched for each row execute function watch();
        create view seen as select hidden('x')
    """)
    stop_half_way(effects, COMPUTED[how])
    document = effects.run("migrate")
    assert (document["exit_code"], document["error"]["line"]) == (4, 2), document["error"]


def test_function_that_computes_a_name_stops_no_file_that_does_not_run_it(
    effects: Project,
) -> None:
    effects.query(
        "create function hidden(name text) returns text language sql as"
        " $$ select set_config('my.' || name, '1', false) $$; create table other (n int)"
    )
    stop_half_way(effects, "insert into other select 1")
    assert effects.run("migrate")["exit_code"] == 0


TEMPORARY = {
    "by itself": "create temp table x (n int)",
    "by into": "select 1 as n into temp x",
    "by its schema": "create table pg_temp.x (n int)",
    "by a function": "select scratch()",
    "as a function": (
        "do $$ begin create function pg_temp.x() returns int language sql as 'select 1'; end $$"
    ),
}
SCRATCH = (
    "create function scratch() returns void language plpgsql as"
    " $$ begin create temp table x (n int){}; end $$"
)


@pytest.mark.parametrize("how", TEMPORARY)
def test_what_is_temporary_and_gone_with_its_session_stops_the_file(
    effects: Project, how: str
) -> None:
    effects.query(SCRATCH.format(""))
    stop_half_way(effects, TEMPORARY[how])
    document = effects.run("migrate")
    assert (document["exit_code"], document["error"]["line"]) == (4, 2)
    assert "pg_temp.x" in document["error"]["message"]


@pytest.mark.parametrize("end", ["drop table x", "select 1"])
def test_temporary_table_that_had_ended_before_does_not_stop_the_file(
    effects: Project, end: str
) -> None:
    effects.query(SCRATCH.format("" if "drop" in end else " on commit drop"))
    stop_half_way(effects, f"select scratch(); {end}")
    assert effects.run("migrate")["exit_code"] == 0


BODY = (
    "create function ours() returns void language plpgsql as"
    " $body$ begin perform set_config('{}', '{}', false); end $body$"
)
ALTER = "alter database %I set work_mem = ''7MB''"
# Name, value that counts in the end, and how it was set.
SETTINGS = {
    "set": ("search_path", "app", "set search_path = app"),
    "reset": ("datestyle", "German, DMY", "reset datestyle"),
    "set_config": (
        "search_path", "app", "select pg_catalog.set_config('search_path', 'app', false)",
    ),
    "in a function": ("work_mem", "7MB", "select ours()"),
    "of our own in a function": ("my.setting", 'it\'s \\ $$ "', "select ours()"),
    "for a transaction only": ("work_mem", "4MB", "select set_config('work_mem', '7MB', true)"),
    "for new sessions only": (
        "work_mem", "4MB", f"do $$ begin execute format('{ALTER}', current_database()); end $$",
    ),
    "role": ("role", "pg_read_all_data", "set role pg_monitor; set role pg_read_all_data"),
}  # fmt: skip


@pytest.mark.parametrize(
    "how",
    [*list(SETTINGS)[:-1], pytest.param("role", marks=pytest.mark.since(14))],  # pg_read_all_data
)
def test_settings_by_any_means_are_made_again(effects: Project, how: str) -> None:
    name, value, first = SETTINGS[how]
    database = parse_dsn(effects.url)["dbname"]
    effects.query(f"create schema app; alter database {database} set datestyle = german")
    effects.query(BODY.format(name, value.replace("'", "''")))
    look = f"pg_catalog.set_config('runner.seen', pg_catalog.current_setting('{name}'), false)"
    effects.file(
        "V2__b.sql",
        f"{ALONE}{first};\nselect 1 / count(*) from public.effects;\nselect {look};\n"
        "set role none;\ninsert into public.effects values (current_setting('runner.seen'))",
    )
    assert effects.run("migrate")["exit_code"] == 4
    effects.query("insert into effects values ('')")
    document = effects.run("migrate")
    assert document["exit_code"] == 0, document["error"]
    assert done(effects) == ["", value]


def test_setting_that_cannot_be_made_again_stops_the_file(effects: Project) -> None:
    effects.query("create role gone_test; grant create on schema public to gone_test")
    stop_half_way(effects, "set role gone_test")
    effects.query("drop owned by gone_test; drop role gone_test")
    document = effects.run("migrate")
    assert (document["exit_code"], document["error"]["line"]) == (4, 2)
    assert 'role "gone_test" does not exist' in document["error"]["message"]


@pytest.mark.parametrize("kind", ["V", "U", "R"])
@pytest.mark.parametrize("change", ["without the directive", "deleted"])
def test_half_done_file_that_is_not_what_it_was_is_refused(
    effects: Project, kind: str, change: str
) -> None:
    name = {"V": "V2__b.sql", "U": "U1__a.sql", "R": "R__b.sql"}[kind]
    text = "insert into effects values ('once');\ninsert into gate values (1)"
    path = effects.file(name, ALONE + text)
    command = ("rollback", "--yes", "--to", "0") if kind == "U" else ("migrate", "--allow-ahead")
    assert effects.run(*command)["exit_code"] == 4
    effects.query("create table gate (n int)")
    if change == "deleted":
        path.unlink()
    else:
        path.write_text(text)
    document = effects.run(*command)
    assert document["exit_code"] == 6, document
    assert done(effects) == ["once"]


# ---- the text that runs is the text whose checksum is recorded


@pytest.mark.parametrize("change", ["edited", "removed", "added"])
def test_folder_that_changed_while_a_run_waited_is_read_again(
    project: Project, bystander: Bystander, change: str
) -> None:
    path = project.file("V1__a.sql", "create table old_text ()")
    bystander.cursor().execute(f"select pg_advisory_lock({lock.key('public')})")
    process = project.start("migrate")
    assert process.stderr
    assert "waiting for another run" in process.stderr.readline()
    time.sleep(1.1)
    if change == "edited":
        path.write_text("create table new_text ()")
    elif change == "removed":
        path.unlink()
    else:
        project.file("V2__b.sql", "select 2")
    bystander.close()
    document = project.finish(process)
    assert len(document["applied"]) == {"edited": 1, "removed": 0, "added": 2}[change]
    assert project.run("status", "--check")["exit_code"] == 0


def test_file_that_changes_between_checksum_and_text_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project.file("V1__a.sql", "select 1")
    read = Path.read_bytes

    def late(self: Path) -> bytes:
        return read(self).replace(b"1", b"2") if self == path else read(self)

    monkeypatch.setattr(Path, "read_bytes", late)
    document = project.run("migrate")
    assert (document["exit_code"], document["applied"]) == (2, [])
    assert "was changed" in document["error"]["message"]


# ---- a rollback that stopped


@pytest.fixture
def four(project: Project) -> Project:
    """Give a project with versions 1 to 4 in force; the third's U file waits for `gate`."""
    for number in range(1, 5):
        project.file(f"V{number}__t.sql", f"create table t{number} (n int)")
        wait = "select 1 / 0; " if number == 3 else ""
        project.file(f"U{number}__t.sql", f"{wait}drop table t{number}")
    project.run("migrate")
    return project


def versions(project: Project) -> list[str]:
    return [version for version, _ in project.history()]


@pytest.mark.parametrize(
    ("steps", "left"), [("2", ["1", "2"]), ("1", ["1", "2"]), ("3", ["1", "2"])]
)
def test_rollback_by_number_that_stopped_is_gone_on_with_by_its_own_target(
    four: Project, steps: str, left: list[str]
) -> None:
    assert four.run("rollback", "--yes", "--steps", "2")["exit_code"] == 3
    assert versions(four) == ["1", "2", "3"]
    four.file("U3__t.sql", "drop table t3")
    document = four.run("rollback", "--yes", "--steps", steps)
    assert (document["exit_code"], versions(four)) == (0, left)
    assert "had stopped" in document["warnings"][0]


def test_rollback_that_stopped_before_anything_is_counted_anew(four: Project) -> None:
    four.file("U4__t.sql", "select 1 / 0")
    assert four.run("rollback", "--yes", "--steps", "3")["exit_code"] == 3
    four.file("U4__t.sql", "drop table t4")
    assert four.run("rollback", "--yes", "--steps", "1")["exit_code"] == 0
    assert versions(four) == ["1", "2", "3"]


def test_rollback_after_one_that_ended_is_counted_anew(four: Project) -> None:
    four.file("U3__t.sql", "drop table t3")
    for left in (["1", "2", "3"], ["1", "2"], ["1"]):
        assert four.run("rollback", "--yes", "--steps", "1")["warnings"] == []
        assert versions(four) == left


def test_rollback_after_one_that_stopped_and_a_migrate_is_counted_anew(four: Project) -> None:
    assert four.run("rollback", "--yes", "--steps", "2")["exit_code"] == 3
    four.run("migrate")
    assert four.run("rollback", "--yes", "--steps", "1")["warnings"] == []
    assert versions(four) == ["1", "2", "3"]


# ---- what an interrupt says


@pytest.mark.parametrize("alone", [True, False])
def test_interrupted_run_says_of_its_file_only_what_is(
    effects: Project, wait_for: WaitFor, alone: bool
) -> None:
    text = "insert into effects values ('2');\nselect pg_sleep(60)"
    effects.file("V2__b.sql", (ALONE if alone else "") + text)
    process = effects.start("migrate")
    wait_for("select exists (select from pg_stat_activity where wait_event = 'PgSleep')")
    process.send_signal(signal.SIGINT)
    document = effects.finish(process)
    assert document["exit_code"] == 130
    said = document["error"]["message"]
    assert ("stays and is recorded" in said, "nothing of it stays" in said) == (alone, not alone)
    assert done(effects) == (["2"] if alone else [])


def test_interrupt_that_comes_with_the_commit_lists_what_was_committed(
    effects: Project, wait_for: WaitFor
) -> None:
    effects.query(
        "create function slow() returns trigger language plpgsql as $$ begin"
        " perform pg_sleep(1); return null; exception when query_canceled then return null; end $$;"
        "create constraint trigger s after insert on schema_version deferrable initially deferred"
        " for each row execute function slow()"
    )
    effects.file("V2__b.sql", "insert into effects values ('2')")
    process = effects.start("migrate")
    wait_for("select exists (select from pg_stat_activity where wait_event = 'PgSleep')")
    process.send_signal(signal.SIGTERM)
    document = effects.finish(process)
    assert document["exit_code"] == 130
    listed = [entry["version"] for entry in document["applied"]]
    assert listed == [version for version, _ in effects.history() if version != "1"]
    with contextlib.suppress(IndexError):
        assert ("nothing of it stays" in document["error"]["message"]) == (not listed)
