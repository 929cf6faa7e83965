"""Files without a transaction: the journal, going on, and what a statement left half-way."""

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest

from tests.runner.project import Project

Bystander = psycopg2.extensions.connection
WaitFor = Callable[[str], None]

TABLE = "create table log (name text); create table t (n int, m int); insert into t values (1, 2)"
VALID = "select indisvalid from pg_index where indexrelid = to_regclass('i')"
OURS = "from pg_stat_activity where application_name like 'schema-migrations/%'"


@pytest.fixture
def steps(project: Project) -> Project:
    """Give a project with tables log and t, and one row in t."""
    project.file("V1__t.sql", TABLE)
    project.run("migrate")
    return project


def journal(project: Project) -> tuple[str, int, dict[str, Any] | None]:
    """Return state, number of finished statements and the statement in doubt of version 2."""
    sql = "select state, cardinality(steps), step_in_doubt from schema_version where version = '2'"
    state, done, doubt = project.query(sql)[0]
    return state, done, doubt


def crash(project: Project, wait_for: WaitFor) -> None:
    """Run with every statement delayed at its record, and kill it there."""
    project.query(
        "create function gate() returns trigger language plpgsql as"
        " $$ begin perform pg_sleep(60); return new; end $$;"
        "create trigger g before update on schema_version for each row"
        " when (old.step_in_doubt is not null) execute function gate()"
    )
    process = project.start("migrate")
    wait_for(f"select exists (select {OURS} and wait_event = 'PgSleep')")
    process.kill()
    process.communicate()
    end_sessions(project, wait_for)
    project.query("drop function gate cascade")


def end_sessions(project: Project, wait_for: WaitFor) -> None:
    project.query(f"select pg_terminate_backend(pid) {OURS}")
    wait_for(f"select not exists (select {OURS})")


def test_file_that_cannot_run_in_a_transaction_runs_without_a_directive(steps: Project) -> None:
    steps.file("V2__i.sql", "create index concurrently i on t (n); vacuum t;")
    document = steps.run("migrate")
    assert (document["outcome"], document["applied"][0]["transactional"]) == ("applied", False)
    assert steps.query(VALID) == [(True,)]
    assert journal(steps) == ("applied", 2, None)


def test_mixed_file_is_refused_with_the_way_to_split_it(steps: Project) -> None:
    steps.file("V2__i.sql", "alter table t add o int;\ncreate index concurrently i on t (o);\n")
    error = steps.run("migrate")["error"]
    assert error["kind"] == "validation"
    (detail,) = error["details"]
    assert detail.startswith("V2__i.sql:2:1: CREATE INDEX CONCURRENTLY cannot run inside")
    assert "move it to a file of its own" in detail
    assert "-- runner: no-transaction" in detail
    assert steps.query("select count(*) from pg_attribute where attname = 'o'") == [(0,)]


@pytest.mark.parametrize(
    ("head", "within", "said"),
    [
        ("-- runner: no-transaction\n", "select 1;\n", "take '-- runner: no-transaction' out"),
        ("\n", "create index concurrently i on t (n);\n", "CREATE INDEX CONCURRENTLY cannot run"),
    ],
    ids=["asked", "needed"],
)
def test_begin_in_a_file_without_a_transaction_is_told_what_to_do(
    steps: Project, head: str, within: str, said: str
) -> None:
    """Not that the runner begins for the file, nor that it is mixed: nothing else is in it."""
    steps.file("V2__i.sql", f"{head}begin;\n{within}commit;\n")
    begin, commit = steps.run("validate")["error"]["details"]
    assert begin.startswith("V2__i.sql:2:1: BEGIN in a file without a transaction: take it out: ")
    assert commit.startswith("V2__i.sql:4:1: COMMIT in a file without a transaction: take it out: ")
    assert said in begin


def test_directive_runs_a_mixed_file_statement_by_statement(steps: Project) -> None:
    steps.file(
        "V2__i.sql",
        "-- runner: no-transaction\nalter table t add o int;\n"
        "create index concurrently i on t (o);\ncopy log from stdin;\na\nb\n\\.\n",
    )
    assert steps.run("migrate")["outcome"] == "applied"
    assert steps.query("select name from log") == [("a",), ("b",)]
    assert journal(steps) == ("applied", 3, None)


def test_concurrent_index_without_a_name_is_refused(steps: Project) -> None:
    steps.file("V2__i.sql", "create index concurrently on t (n)")
    document = steps.run("migrate")
    assert document["exit_code"] == 6
    assert "give it one" in document["error"]["details"][0]


def test_failed_statement_keeps_what_was_done_and_the_next_run_goes_on_there(
    steps: Project,
) -> None:
    start = "-- runner: no-transaction\ninsert into log values ('a');\n"
    steps.file("V2__i.sql", start + "insert into nope values (1);\ninsert into log values ('b')")
    document = steps.run("migrate")
    error = document["error"]
    assert (document["exit_code"], error["line"], error["sqlstate"]) == (4, 3, "42P01")
    assert "goes on here" in " ".join(error["details"])
    assert journal(steps) == ("applying", 1, None)
    steps.file(
        "V2__i.sql", start + "insert into log values ('corrected');\ninsert into log values ('b')"
    )
    assert steps.run("migrate")["outcome"] == "applied"
    assert steps.query("select name from log") == [("a",), ("corrected",), ("b",)]


@pytest.mark.parametrize("statement", ["insert into log values ('b')", "create table half ()"])
def test_transactional_statement_and_its_journal_entry_are_one(
    steps: Project, statement: str
) -> None:
    steps.file("V2__i.sql", f"-- runner: no-transaction\n{statement};\nselect 1")
    steps.query(
        "create function refuse() returns trigger language plpgsql as"
        " $$ begin raise exception 'no journal today'; end $$;"
        "create trigger r before update on schema_version for each row execute function refuse()"
    )
    assert steps.run("migrate")["exit_code"] == 4
    assert steps.query("select count(*), to_regclass('half') is null from log") == [(0, True)]
    steps.query("drop function refuse cascade")
    assert steps.run("migrate")["exit_code"] == 0


def test_finished_statement_that_was_changed_is_refused(steps: Project) -> None:
    text = "-- runner: no-transaction\ninsert into log values ('a');\nselect 1 / 0;"
    steps.file("V2__i.sql", text)
    steps.run("migrate")
    steps.file("V2__i.sql", text.replace("'a'", "'changed'"))
    document = steps.run("migrate")
    assert (document["exit_code"], document["error"]["line"]) == (4, 2)
    assert "has been changed since" in document["error"]["message"]
    assert steps.query("select name from log") == [("a",)]


def test_finished_statements_that_were_removed_are_refused(steps: Project) -> None:
    start = "-- runner: no-transaction\ninsert into log values ('a');\n"
    steps.file("V2__i.sql", start + "insert into log values ('b');\nselect 1 / 0;")
    steps.run("migrate")
    steps.file("V2__i.sql", start)
    document = steps.run("migrate")
    assert document["exit_code"] == 4
    assert journal(steps)[:2] == ("applying", 2)


def test_settings_of_finished_statements_are_made_again_before_going_on(steps: Project) -> None:
    steps.query("create schema app; create table app.t (n int)")
    start = "-- runner: no-transaction\nset search_path = app;\n"
    steps.file("V2__i.sql", start + "select 1 / 0;\ncreate index concurrently i on t (n)")
    steps.run("migrate")
    steps.file("V2__i.sql", start + "select 1;\ncreate index concurrently i on t (n)")
    assert steps.run("migrate")["outcome"] == "applied"
    assert steps.query("select to_regclass('app.i') is not null") == [(True,)]


# ---- concurrent index builds


@pytest.mark.parametrize("exists", ["", "if not exists "])
def test_failed_unique_index_is_left_invalid_and_the_next_run_heals_it(
    steps: Project, exists: str
) -> None:
    steps.query("insert into t values (1, 2)")
    steps.file("V2__i.sql", f"create unique index concurrently {exists}i on t (n)")
    document = steps.run("migrate")
    assert (document["exit_code"], document["error"]["sqlstate"]) == (4, "23505")
    assert steps.query(VALID) == [(False,)]
    steps.query("delete from t where ctid = (select max(ctid) from t)")
    assert steps.run("migrate")["outcome"] == "applied"
    assert steps.query(VALID) == [(True,)]


def test_invalid_index_of_somebody_else_is_not_taken_for_the_finished_one(steps: Project) -> None:
    steps.query("insert into t values (1, 2)")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        steps.query("create unique index concurrently i on t (n)")
    steps.file("V2__i.sql", "create index concurrently if not exists i on t (n)")
    assert "dropping it" in steps.text("migrate")[2]
    assert steps.query(VALID) == [(True,)]


def test_failed_index_is_dropped_where_its_statement_was_corrected(steps: Project) -> None:
    steps.query("insert into t values (1, 2)")
    steps.file("V2__i.sql", "create unique index concurrently i on t (n)")
    steps.run("migrate")
    steps.file("V2__i.sql", "create index concurrently better on t (n)")
    assert steps.run("migrate")["outcome"] == "applied"
    assert steps.query("select to_regclass('i') is null, to_regclass('better') is not null") == [
        (True, True)
    ]


def test_valid_index_is_never_touched(steps: Project) -> None:
    steps.query("create index i on t (n)")
    before = steps.query("select 'i'::regclass::oid")
    steps.file("V2__i.sql", "create index concurrently i on t (n)")
    assert steps.run("migrate")["error"]["sqlstate"] == "42P07"
    assert steps.run("migrate")["error"]["sqlstate"] == "42P07"  # also where it failed before
    steps.file("V2__i.sql", "create index concurrently if not exists i on t (n)")
    assert steps.run("migrate")["outcome"] == "applied"
    assert steps.query("select 'i'::regclass::oid") == before


def test_index_of_another_table_with_the_same_name_is_never_touched(steps: Project) -> None:
    steps.query("insert into t values (1, 2); create schema other; create table other.t (n int)")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        steps.query("create unique index concurrently i on t (n)")
    steps.file("V2__i.sql", "create index concurrently i on other.t (n)")
    assert steps.run("migrate")["outcome"] == "applied"
    assert steps.query(VALID) == [(False,)]


@pytest.fixture
def building(
    steps: Project, bystander: Bystander, wait_for: WaitFor
) -> Iterator[Callable[[], None]]:
    """Have somebody else build index i; give a function that lets the build end."""
    bystander.cursor().execute("insert into t values (3, 4)")
    thread = threading.Thread(target=steps.query, args=("create index concurrently i on t (n)",))
    thread.start()
    wait_for("select exists (select from pg_index where indexrelid = to_regclass('i'))")

    def let_it_end() -> None:
        bystander.rollback()
        thread.join()

    yield let_it_end
    let_it_end()


def test_index_that_is_still_being_built_is_waited_for(
    steps: Project, building: Callable[[], None], wait_for: WaitFor
) -> None:
    before = steps.query("select 'i'::regclass::oid")
    steps.file("V2__i.sql", "create index concurrently if not exists i on t (n)")
    process = steps.start("migrate")
    assert process.stderr
    assert "still being built by another session" in process.stderr.readline()
    building()
    assert steps.finish(process)["outcome"] == "applied"
    assert steps.query("select 'i'::regclass::oid") == before
    assert steps.query(VALID) == [(True,)]


def test_index_that_is_still_being_built_at_the_deadline_is_left_alone(
    steps: Project, building: Callable[[], None]
) -> None:
    steps.file("V2__i.sql", "create index concurrently if not exists i on t (n)")
    document = steps.run("migrate", "--deadline", "5.5")
    assert document["exit_code"] == 8
    assert "another session was building" in document["error"]["message"]
    assert journal(steps) == ("applying", 0, None)
    building()
    assert steps.run("migrate")["outcome"] == "applied"
    assert steps.query(VALID) == [(True,)]


def test_lock_timeout_of_a_build_heals_and_tries_again(
    steps: Project, bystander: Bystander
) -> None:
    bystander.cursor().execute("insert into t values (3, 4)")
    steps.file("V2__i.sql", "-- runner: lock_timeout=100ms\ncreate index concurrently i on t (n)")
    document = steps.run("migrate", "--lock-attempts", "2")
    assert (document["exit_code"], document["error"]["sqlstate"]) == (4, "55P03")
    assert document["error"]["blockers"][0]["pid"] == bystander.info.backend_pid
    bystander.rollback()
    assert steps.run("migrate")["outcome"] == "applied"
    assert steps.query(VALID) == [(True,)]


# ---- statements in doubt


def test_index_in_doubt_that_was_built_is_not_built_again(
    steps: Project, wait_for: WaitFor
) -> None:
    steps.file("V2__i.sql", "create index concurrently i on t (n)")
    crash(steps, wait_for)
    before = steps.query("select 'i'::regclass::oid")
    assert steps.run("migrate")["outcome"] == "applied"
    assert steps.query("select 'i'::regclass::oid") == before


def test_dropped_index_in_doubt_counts_as_dropped(steps: Project, wait_for: WaitFor) -> None:
    steps.query("create index i on t (n)")
    steps.file("V2__i.sql", "drop index concurrently i")
    crash(steps, wait_for)
    assert journal(steps)[2] is not None
    assert "found finished" in steps.text("migrate")[2]
    assert journal(steps) == ("applied", 1, None)


def test_index_to_drop_that_never_was_stays_an_error(steps: Project) -> None:
    steps.file("V2__i.sql", "drop index concurrently nope")
    assert steps.run("migrate")["error"]["sqlstate"] == "42704"
    assert steps.run("migrate")["error"]["sqlstate"] == "42704"


def test_index_half_dropped_is_dropped(
    steps: Project, bystander: Bystander, wait_for: WaitFor
) -> None:
    steps.query("create index i on t (n)")
    steps.file("V2__i.sql", "drop index concurrently i")
    bystander.cursor().execute("insert into t values (3, 4)")
    process = steps.start("migrate")
    wait_for("select not indisvalid from pg_index where indexrelid = 'i'::regclass")
    process.kill()
    process.communicate()
    end_sessions(steps, wait_for)
    bystander.rollback()
    assert steps.run("migrate")["outcome"] == "applied"
    assert steps.query("select to_regclass('i') is null") == [(True,)]


@pytest.fixture
def partitioned(steps: Project) -> Project:
    steps.query(
        "create table p (n int) partition by range (n);"
        "create table p1 partition of p for values from (0) to (10);"
        "create table p2 partition of p for values from (10) to (20)"
    )
    return steps


def _version(project: Project) -> int:
    number: int = project.query("select current_setting('server_version_num')::int")[0][0]
    return number // 10000


@pytest.mark.parametrize("end", ["killed", "lock timeout"])
def test_half_detached_partition_is_finalized(
    partitioned: Project, bystander: Bystander, wait_for: WaitFor, end: str
) -> None:
    directive = "-- runner: lock_timeout=200ms\n" if end == "lock timeout" else ""
    path = partitioned.file(
        "V2__d.sql", directive + "alter table p detach partition p1 concurrently"
    )
    if _version(partitioned) < 14:
        assert partitioned.run("migrate")["error"]["sqlstate"] == "42601"
        return
    bystander.cursor().execute("select * from p")
    process = partitioned.start("migrate", "--lock-attempts", "2")
    wait_for("select inhdetachpending from pg_inherits where inhrelid = 'p1'::regclass")
    if end == "killed":
        process.kill()
        process.communicate()
        end_sessions(partitioned, wait_for)
    else:
        assert partitioned.finish(process)["error"]["file"] == str(path)
    bystander.rollback()
    assert partitioned.run("migrate")["outcome"] == "applied"
    assert partitioned.query(
        "select count(*) from pg_inherits where inhparent = 'p'::regclass"
    ) == [(1,)]


def test_detach_in_doubt_that_took_effect_is_not_run_again(
    partitioned: Project, wait_for: WaitFor
) -> None:
    if _version(partitioned) < 14:
        return
    partitioned.file("V2__d.sql", "alter table p detach partition public.p1 concurrently")
    crash(partitioned, wait_for)
    assert "found finished" in partitioned.text("migrate")[2]
    assert partitioned.history()[-1] == ("2", "applied")


def test_partition_to_detach_that_never_was_stays_an_error(partitioned: Project) -> None:
    partitioned.file("V2__d.sql", "alter table p detach partition t concurrently")
    assert partitioned.run("migrate")["exit_code"] == 4
    assert partitioned.run("migrate")["exit_code"] == 4


@pytest.mark.parametrize("what", ["index i", "table t", "table public.t"])
def test_leftovers_of_a_failed_reindex_are_dropped(
    steps: Project, bystander: Bystander, wait_for: WaitFor, what: str
) -> None:
    steps.query("create index i on t (n)")
    kind, name = what.split()
    steps.file("V2__r.sql", f"-- runner: lock_timeout=300ms\nreindex {kind} concurrently {name}")
    bystander.cursor().execute("insert into t values (3, 4)")
    document = steps.run("migrate", "--lock-attempts", "1")
    assert (document["exit_code"], document["error"]["sqlstate"]) == (4, "55P03")
    left = "select count(*) from pg_class where relname ~ '_cc(new|old)'"
    assert steps.query(left) == [(1,)]
    bystander.rollback()
    assert steps.run("migrate")["outcome"] == "applied"
    assert steps.query(left) == [(0,)]
    assert steps.query(VALID) == [(True,)]


def test_leftover_that_the_migrating_role_may_not_drop_stops_no_other_reindex(
    project: Project, bystander: Bystander, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a superuser may drop what is left of a table's TOAST, and RDS has none to log in as."""
    project.query("create role reindexer; grant all on schema public to reindexer")
    monkeypatch.setenv("DATABASE_ROLE", "reindexer")
    project.file("V1__t.sql", "create table t (note text);")
    project.run("migrate")
    project.file("V2__r.sql", "-- runner: lock_timeout=300ms\nreindex table concurrently t")
    bystander.cursor().execute("insert into t values ('x')")
    assert project.run("migrate", "--lock-attempts", "1")["error"]["sqlstate"] == "55P03"
    bystander.rollback()
    code, _, said = project.text("migrate")
    toast = "select count(*) from pg_class c where relname ~ '_ccnew' and relkind = 'i'"
    assert (code, project.query(toast)) == (0, [(1,)])
    assert re.search(r"pg_toast_\d+_index_ccnew is invalid, .+; it stays \(permission denied", said)
    project.query("alter table t alter note type text using note || ''")
    assert project.query(toast) == [(0,)]


def test_statement_that_only_the_server_knows_to_be_alone(partitioned: Project) -> None:
    partitioned.query("create index i on p (n)")
    partitioned.file("V2__r.sql", "-- runner: no-transaction\nreindex table p")
    assert partitioned.run("migrate")["outcome"] == "applied"


BATCHES = """\
-- runner: no-transaction
call batches();
insert into log values ('after');
"""


@pytest.fixture
def batches(steps: Project) -> Project:
    """Give a project with a procedure that commits after each of two rows."""
    steps.query(
        "create procedure batches() language plpgsql as $$ begin"
        " insert into log values ('1'); commit; insert into log values ('2'); commit; end $$"
    )
    return steps


def test_procedure_that_commits_runs_in_such_a_file(batches: Project) -> None:
    batches.file("V2__b.sql", BATCHES)
    assert batches.run("migrate")["outcome"] == "applied"
    assert batches.query("select name from log") == [("1",), ("2",), ("after",)]


@pytest.mark.parametrize(
    ("decision", "expected"), [("--done", ["1", "2"]), ("--again", ["1", "2", "1", "2"])]
)
def test_what_nobody_can_tell_stops_with_the_command_that_goes_on(
    batches: Project, wait_for: WaitFor, decision: str, expected: list[str]
) -> None:
    batches.file("V2__b.sql", BATCHES)
    crash(batches, wait_for)
    for _ in range(2):
        document = batches.run("migrate")
        assert (document["exit_code"], document["error"]["line"]) == (4, 2)
        assert "call batches()" in document["error"]["message"]
        assert f"runner repair {decision} 2 --yes" in document["error"]["fix"]
    shown = batches.run("repair", decision, "2")
    assert shown["outcome"] == "planned"
    assert "call batches()" in shown["data"][0]
    assert batches.run("repair", decision, "2", "--yes")["outcome"] == "applied"
    assert batches.run("migrate")["outcome"] == "applied"
    assert [name for (name,) in batches.query("select name from log")] == [*expected, "after"]


def test_statement_in_doubt_that_was_removed_stops_as_well(
    batches: Project, wait_for: WaitFor
) -> None:
    batches.file("V2__b.sql", BATCHES)
    crash(batches, wait_for)
    batches.file("V2__b.sql", "-- runner: no-transaction\nselect 'nothing of it'")
    document = batches.run("migrate")
    assert (document["exit_code"], journal(batches)[0]) == (4, "applying")


def test_procedure_that_failed_is_not_tried_again_by_itself(batches: Project) -> None:
    batches.query(
        "create procedure fails() language plpgsql as $$ begin insert into log values ('x');"
        " commit; raise 'busy' using errcode = '55P03'; end $$"
    )
    batches.file("V2__b.sql", "-- runner: no-transaction\ncall fails()")
    assert batches.run("migrate")["exit_code"] == 4
    assert batches.query("select count(*) from log") == [(1,)]


# ---- undoing


def test_undo_of_such_a_file(steps: Project) -> None:
    steps.file("V2__i.sql", "create index concurrently i on t (n)")
    steps.file("U2__i.sql", "drop index concurrently i")
    steps.run("migrate")
    document = steps.run("rollback", "--yes", "--steps", "1")
    assert (document["outcome"], document["applied"][0]["action"]) == ("applied", "undo")
    assert steps.history() == [("1", "applied")]
    assert steps.run("migrate")["outcome"] == "applied"


def test_half_undone_file_blocks_migrating_and_is_undone_further(steps: Project) -> None:
    steps.file("V2__i.sql", "create index concurrently i on t (n)")
    undo = "-- runner: no-transaction\ninsert into log values ('undone');\n"
    steps.file("U2__i.sql", undo + "drop index concurrently nope")
    steps.run("migrate")
    assert steps.run("rollback", "--yes", "--steps", "1")["exit_code"] == 4
    state, done, doubt = journal(steps)
    assert (state, done) == ("undoing", 1)
    assert doubt
    assert doubt["failed"]
    refused = steps.run("migrate")
    assert refused["exit_code"] == 6
    assert "half undone" in refused["error"]["details"][0]
    steps.file("U2__i.sql", undo + "drop index concurrently i")
    assert steps.run("rollback", "--yes", "--steps", "1")["outcome"] == "applied"
    assert steps.query("select name from log") == [("undone",)]
    assert steps.history() == [("1", "applied")]


def test_half_undone_version_goes_first_even_where_it_is_not_the_newest(steps: Project) -> None:
    for version in ("3", "2"):
        steps.file(f"V{version}__a.sql", f"-- runner: out-of-order\nselect {version}")
        steps.run("migrate")
    steps.file("U3__a.sql", "-- runner: no-transaction\nselect 1 / 0")
    steps.file("U2__a.sql", "select 2")
    assert steps.run("rollback", "--yes", "--to", "2")["exit_code"] == 4
    steps.file("U3__a.sql", "-- runner: no-transaction\nselect 1")
    document = steps.run("rollback", "--yes", "--steps", "1")
    assert [entry["version"] for entry in document["applied"]] == ["3"]


def test_half_applied_version_cannot_be_undone(steps: Project) -> None:
    steps.file("V2__i.sql", "-- runner: no-transaction\nselect 1;\nselect 1 / 0")
    steps.file("U2__i.sql", "select 1")
    steps.run("migrate")
    document = steps.run("rollback", "--yes", "--steps", "1")
    assert document["exit_code"] == 6
    assert "half applied" in document["error"]["details"][0]


# ---- the deadline


def test_deadline_between_statements_is_incomplete_and_goes_on(steps: Project) -> None:
    steps.file(
        "V2__i.sql",
        "-- runner: no-transaction\ninsert into log values ('a'); select pg_sleep(0.7);\n"
        "insert into log values ('b')",
    )
    document = steps.run("migrate", "--deadline", "5.6")
    assert (document["outcome"], document["exit_code"]) == ("incomplete", 8)
    assert steps.run("migrate")["outcome"] == "applied"
    assert steps.query("select name from log") == [("a",), ("b",)]


def test_build_cancelled_at_the_deadline_is_built_by_the_next_run(
    steps: Project, bystander: Bystander
) -> None:
    bystander.cursor().execute("insert into t values (3, 4)")
    steps.file(
        "V2__i.sql", "-- runner: no-transaction\nselect 1; create index concurrently i on t (n)"
    )
    document = steps.run("migrate", "--deadline", "5.6")
    assert (document["outcome"], document["exit_code"]) == ("incomplete", 8)
    bystander.rollback()
    assert steps.run("migrate")["outcome"] == "applied"
    assert steps.query(VALID) == [(True,)]


def test_statement_that_takes_longer_than_a_whole_run_needs_attention(steps: Project) -> None:
    steps.file("V2__i.sql", "-- runner: no-transaction\nselect pg_sleep(3)")
    document = steps.run("migrate", "--deadline", "5.5")
    assert (document["outcome"], document["exit_code"]) == ("failed", 4)
    assert "longer than a whole run" in " ".join(document["error"]["details"])
