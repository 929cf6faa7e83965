"""Backfills: range after range of a key, each committed with its checkpoint."""

import contextlib
import copy
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from runner.database import connection as connecting
from runner.database.session import Session
from runner.deadline import Deadline
from runner.engine.conduct import Conduct
from runner.engine.progress import Silence
from runner.engine.throttle import Hours, Throttle
from runner.engine.waiting import Waiting
from tests.runner.project import Project

Bystander = psycopg2.extensions.connection
WaitFor = Callable[[str], None]

RANGE = "between current_setting('batch.first')::{0} and current_setting('batch.last')::{0}"
OURS = "from pg_stat_activity where application_name like 'schema-migrations/%'"


def backfill(key: str = "t.id", type_: str = "bigint", size: int = 10, table: str = "t") -> str:
    """Return a file that counts in each row how often it was done."""
    column = key.rpartition(".")[2]
    return (
        f"-- runner: batch={key}, batch_size={size}\n"
        f"update {table} set done = done + 1 where {column} {RANGE.format(type_)};\n"
    )


def checkpoint(project: Project, version: str = "2") -> dict[str, Any]:
    """Return the state of a backfill's row, and what it keeps."""
    state, steps = project.query(
        f"select state, steps[1] from schema_version where version = '{version}'"
    )[0]
    return {"state": state, **json.loads(steps.removeprefix("backfill "))}


def once(project: Project, count: int, table: str = "t") -> bool:
    """Return whether so many rows are there, each done once."""
    return project.query(f"select count(*), min(done), max(done) from {table}") == [(count, 1, 1)]


@pytest.fixture
def rows(project: Project) -> Project:
    """Give a project with 105 rows in t, whose keys have holes, and a backfill of them."""
    project.file(
        "V1__t.sql",
        "create table t (id bigint primary key, done int not null default 0);"
        "insert into t select 3 * g - 50 from generate_series(1, 105) g;",
    )
    project.run("migrate")
    project.file("V2__done.sql", backfill())
    return project


def stop(project: Project, after: int) -> None:
    """Let the batch after so many rows fail."""
    project.query(
        "create function stop() returns trigger language plpgsql as $$ begin"
        f" if new.id > (select id from t order by id offset {after} limit 1)"
        " then raise 'no further'; end if; return new; end $$;"
        "create trigger stop before update on t for each row execute function stop()"
    )


def gate(project: Project, where: str, when: str) -> None:
    """Let an update of a table stand still once something is so."""
    project.query(
        f"create function gate() returns trigger language plpgsql as $$ begin if {when}"
        " then perform pg_sleep(60); end if; return new; end $$;"
        f"create trigger g before update on {where} for each row execute function gate()"
    )


def test_backfill_does_each_row_once_and_tells_how_much_it_was(rows: Project) -> None:
    document = rows.run("migrate")
    (entry,) = document["applied"]
    assert once(rows, 105)
    assert entry["transactional"] is False
    far = entry["backfill"]
    assert (far["rows"], far["batches"], far["rows_left"]) == (105, 11, 0)
    assert (far["table"], far["key"], far["batch_size"]) == ("t", "id", 10)
    found = checkpoint(rows)
    assert (found["state"], found["last"], found["rows"]) == ("applied", "265", 105)
    assert rows.run("migrate")["outcome"] == "noop"


KEYS = {
    "negative integers": ("integer", "g - 40"),
    "uuid": ("uuid", "md5(g::text)::uuid"),
    "text with quotes": ("text", "'a''$$\\é' || g"),
    "timestamptz": ("timestamptz", "'infinity'::timestamptz - g * interval '0'"),
    "timestamps": ("timestamptz", "'2026-03-29 00:00Z'::timestamptz + g * interval '1 min'"),
    "numeric": ("numeric", "g * 1.10"),
    "date": ("date", "date '0001-01-01 BC' + g"),
    "domain": ("k", "g"),
}


@pytest.mark.parametrize("kind", KEYS)
def test_key_of_a_kind_is_gone_along_in_its_own_order(project: Project, kind: str) -> None:
    type_, value = KEYS[kind]
    unique = "" if kind == "timestamptz" else "unique"
    project.file(
        "V1__t.sql",
        "create domain k as int check (value > 0);"
        f"create table t (id {type_} not null {unique}, done int not null default 0);"
        "create index i on t (id, done);"
        f"insert into t select {value} from generate_series(1, 95) g",
    )
    project.file("V2__done.sql", backfill(type_=type_))
    document = project.run("migrate")
    assert document["exit_code"] == 0, document["error"]
    assert once(project, 95)
    assert document["applied"][1]["backfill"]["rows"] == 95


def test_text_under_a_collation_that_takes_letters_for_equal_is_done_right(
    project: Project,
) -> None:
    project.file(
        "V1__t.sql",
        'create table t (id text collate "C" not null, done int not null default 0);'
        "create index i on t (id);"
        "insert into t select chr(65 + g % 50) || g % 7 from generate_series(1, 300) g",
    )
    project.file("V2__done.sql", backfill(type_="text", size=7))
    assert project.run("migrate")["exit_code"] == 0
    assert once(project, 300)


def test_rows_of_one_key_are_in_one_batch(project: Project) -> None:
    project.file(
        "V1__t.sql",
        "create table t (id int not null, done int not null default 0);"
        "create index i on t (id desc nulls first);"
        "insert into t select g / 40 from generate_series(1, 100) g",
    )
    project.file("V2__done.sql", backfill(type_="int", size=1))
    far = project.run("migrate")["applied"][1]["backfill"]
    assert (far["rows"], far["batches"]) == (100, 3)
    assert once(project, 100)


@pytest.mark.parametrize(("count", "batches"), [(0, 0), (1, 1)])
def test_small_table_takes_as_many_batches_as_it_needs(
    project: Project, count: int, batches: int
) -> None:
    project.file(
        "V1__t.sql",
        "create table t (id bigint primary key, done int default 0);"
        f"insert into t select generate_series(1, {count})",
    )
    project.file("V2__done.sql", backfill())
    far = project.run("migrate")["applied"][1]["backfill"]
    assert (far["rows"], far["batches"]) == (count, batches)


def test_names_that_need_quotes_and_a_partitioned_table_are_gone_along(project: Project) -> None:
    project.file(
        "V1__t.sql",
        'create schema "S x"; create table "S x"."T, y" ("Id" int primary key, done int default 0)'
        ' partition by hash ("Id");'
        'create table a partition of "S x"."T, y" for values with (modulus 2, remainder 0);'
        'create table b partition of "S x"."T, y" for values with (modulus 2, remainder 1);'
        'insert into "S x"."T, y" select generate_series(1, 55)',
    )
    project.file("V2__d.sql", backfill('"S x"."T, y"."Id"', "int", table='"S x"."T, y"'))
    document = project.run("migrate")
    assert document["exit_code"] == 0, document["error"]
    assert once(project, 55, '"S x"."T, y"')


def test_rows_that_come_above_while_it_runs_are_done(rows: Project) -> None:
    rows.query(
        "create table more as select 1 as n;"
        "create function more() returns trigger language plpgsql as $$ begin"
        " if (select count(*) from more) < 30 then insert into more values (1);"
        " insert into t select max(id) + 1 from t; end if; return null; end $$;"
        "create trigger more after update on t for each statement execute function more()"
    )
    assert rows.run("migrate")["exit_code"] == 0
    assert once(rows, 105 + rows.query("select count(*) - 1 from more")[0][0])


def test_failed_batch_keeps_those_before_it_and_the_next_run_goes_on_there(rows: Project) -> None:
    stop(rows, 30)
    document = rows.run("migrate")
    error = document["error"]
    assert (document["exit_code"], error["sqlstate"], error["line"]) == (4, "P0001", 2)
    assert "30 rows in 3 batches stay and are recorded" in " ".join(error["details"])
    assert "from 43 to 70" in " ".join(error["details"])
    assert document["pending"][0]["backfill"]["rows"] == 30
    assert rows.query("select count(*) from t where done = 1") == [(30,)]
    (entry,) = [one for one in rows.run("status")["data"] if one["version"] == "2"]
    assert (entry["state"], entry["backfill"]["rows"]) == ("half applied", 30)
    rows.query("drop function stop cascade")
    assert rows.run("migrate")["applied"][0]["backfill"]["batches"] == 11
    assert once(rows, 105)


@pytest.mark.parametrize(
    ("where", "when"),
    [
        ("t", "(select count(*) from t where done = 1) >= 40"),
        ("schema_version", "new.steps[1] like '%\"rows\": 40,%'"),
    ],
    ids=["in the file", "at the checkpoint"],
)
def test_killed_in_a_batch_no_row_is_done_twice_or_missed(
    rows: Project, wait_for: WaitFor, where: str, when: str
) -> None:
    gate(rows, where, when)
    process = rows.start("migrate")
    wait_for(f"select exists (select {OURS} and wait_event = 'PgSleep')")
    process.kill()
    process.communicate()
    rows.query(f"select pg_terminate_backend(pid) {OURS}")
    wait_for(f"select not exists (select {OURS})")
    rows.query("drop function gate cascade")
    assert 0 < checkpoint(rows)["rows"] < 105
    assert rows.run("migrate")["outcome"] == "applied"
    assert once(rows, 105)


def test_interrupt_stops_after_what_is_recorded(rows: Project, wait_for: WaitFor) -> None:
    gate(rows, "t", "(select count(*) from t where done = 1) >= 20")
    process = rows.start("migrate")
    wait_for(f"select exists (select {OURS} and wait_event = 'PgSleep')")
    process.send_signal(signal.SIGINT)
    document = rows.finish(process)
    assert document["exit_code"] == 130
    assert "stays and is recorded" in document["error"]["message"]
    assert checkpoint(rows)["rows"] == 20


def test_second_runner_that_lost_sight_of_the_lock_does_no_batch_again(rows: Project) -> None:
    """Somebody else moves the checkpoint while a batch is under way: the batch is rolled back."""
    rows.query(
        "create function other() returns trigger language plpgsql as $$ begin"
        ' update schema_version set steps = array[\'backfill {"checksum": "x", "last": null,'
        ' "rows": 0, "batches": 0, "ms": 0, "total": 1}\'] where version = \'2\';'
        " return null; end $$;"
        "create trigger o after update on t for each statement execute function other()"
    )
    document = rows.run("migrate")
    assert document["exit_code"] == 4
    assert "the history did not take" in document["error"]["message"]
    assert rows.query("select max(done) from t") == [(0,)]


def test_deadline_stops_between_batches_and_says_how_far_it_is(rows: Project) -> None:
    rows.query("insert into t select 1000 + g from generate_series(1, 395) g; analyze t")
    document = rows.run("migrate", "--deadline", "8", "--batch-pause", "200ms")
    assert (document["exit_code"], document["outcome"]) == (8, "incomplete")
    assert "stopped at the deadline after" in document["error"]["message"]
    assert "rows/s" in document["error"]["message"]
    (task,) = document["pending"]
    far = task["backfill"]
    assert far["basis"] == "statistics"
    assert far["rows"] + far["rows_left"] == pytest.approx(500, rel=0.1)
    assert rows.run("migrate")["outcome"] == "applied"
    assert once(rows, 500)


def test_batch_that_finds_a_lock_is_tried_again(
    rows: Project, bystander: Bystander, wait_for: WaitFor
) -> None:
    with bystander.cursor() as cursor:
        cursor.execute("select from t where id = 100 for update")
    process = rows.start("migrate", "--lock-timeout", "100ms")
    wait_for("select exists (select from pg_locks where not granted)")
    wait_for("select not exists (select from pg_locks where not granted)")
    bystander.rollback()
    document = rows.finish(process)
    assert document["exit_code"] == 0, document["error"]
    assert once(rows, 105)


def test_table_that_somebody_locks_is_waited_for_by_the_batch_and_by_no_look(
    rows: Project, bystander: Bystander, wait_for: WaitFor
) -> None:
    rows.query("analyze t")
    with bystander.cursor() as cursor:
        cursor.execute("lock table t in access exclusive mode")
    assert rows.run("plan")["exit_code"] == 0
    process = rows.start("migrate", "--lock-timeout", "300ms")
    wait_for("select exists (select from pg_locks where not granted)")
    assert rows.run("status")["exit_code"] == 0
    wait_for("select exists (select from schema_version where version = '2')")
    wait_for("select exists (select from pg_locks where not granted)")
    bystander.rollback()
    document = rows.finish(process)
    assert document["exit_code"] == 0, document["error"]
    assert once(rows, 105)


def test_deferred_constraint_fails_its_batch_and_no_other(rows: Project) -> None:
    rows.query(
        "create function late() returns trigger language plpgsql as $$ begin"
        " if new.id > 100 then raise 'too late'; end if; return null; end $$;"
        "create constraint trigger l after update on t deferrable initially deferred"
        " for each row execute function late()"
    )
    error = rows.run("migrate")["error"]
    assert (error["kind"], error["message"]) == ("attention", "too late")
    assert rows.query("select count(*) from t where done = 1") == [(checkpoint(rows)["rows"],)]


def test_what_a_function_makes_of_the_session_ends_with_its_batch(rows: Project) -> None:
    rows.query(
        "create function odd() returns bool language plpgsql as $$ begin"
        " perform set_config('search_path', 'nowhere', false);"
        " perform set_config('batch.last', '7', false);"
        " perform set_config('datestyle', 'German', false);"
        " create temp table left_over (n int); return true; end $$"
    )
    rows.file(
        "V2__done.sql",
        backfill() + f"select odd(), id from t where id {RANGE.format('bigint')} limit 1;\n",
    )
    document = rows.run("migrate")
    assert document["exit_code"] == 0, document["error"]
    assert once(rows, 105)


def test_notices_of_a_backfill_are_bounded(rows: Project) -> None:
    rows.query(
        "create function say() returns trigger language plpgsql as"
        " $$ begin raise notice '%', repeat('x', 5); raise notice 'y'; raise notice 'z';"
        " return new; end $$;"
        "create trigger s before update on t for each row execute function say()"
    )
    notices = rows.run("migrate")["applied"][0]["notices"]
    assert len(notices) == 201
    assert notices[-1] == "… and 115 more notices"


REFUSED = {
    "no table": ("x.id", "", "there is no table x"),
    "no column": ("t.no", "", "t has no column no"),
    "a view": ("v.id", "create view v as select id from t", "is a view"),
    "a column that may be null": (
        "t.a", "alter table t add a int; create index concurrently_not on t (a)", "may be null",
    ),
    "no index": ("t.a", "alter table t add a int not null default 0", "no index of public.t"),
    "second column of an index": (
        "t.a", "alter table t add a int not null default 0; create index i on t (id, a)",
        "no index of public.t begins with a",
    ),
    "a partial index": (
        "t.a", "alter table t add a int not null default 0; create index i on t (a) where a > 0",
        "no index of public.t begins with a",
    ),
    "an index in another order": (
        "t.a",
        "alter table t add a text not null default ''; create index i on t (a text_pattern_ops)",
        "no index of public.t begins with a",
    ),
    "a type whose text is not its value": (
        "t.a", "alter table t add a float8 not null default 0; create index i on t (a)",
        "of type double precision",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_key_that_is_none_is_refused_before_anything_runs(rows: Project, case: str) -> None:
    key, made, why = REFUSED[case]
    rows.query(made or "select 1")
    rows.file("V2__done.sql", "create table other (n int)")
    rows.file("V3__done.sql", backfill(key, table="t"))
    document = rows.run("migrate")
    assert (document["exit_code"], document["error"]["kind"]) == (6, "validation")
    assert why in document["error"]["message"]
    assert document["error"]["message"].startswith("V3__done.sql: ")
    assert document["error"]["fix"]
    assert rows.query("select to_regclass('other')") == [(None,)]


def test_index_that_an_earlier_file_makes_serves(rows: Project) -> None:
    rows.query("alter table t add a int; update t set a = id")
    rows.folder.joinpath("V2__done.sql").unlink()
    rows.file("V2__a.sql", "alter table t alter a set not null")
    rows.file("V3__i.sql", "create index concurrently i on t (a)")
    rows.file("V4__done.sql", backfill("t.a", "int"))
    document = rows.run("migrate")
    assert document["exit_code"] == 0, document["error"]
    assert once(rows, 105)


@pytest.fixture
def limited(rows: Project) -> Iterator[Project]:
    """Give the project as a login sees it that owns nothing, and whom policies bind."""
    name = f"limited_{os.urandom(4).hex()}"
    rows.query(
        f"create role {name} login password 'x'; grant all on schema public to {name};"
        f"grant {name} to current_user; alter table schema_version owner to {name};"
        f"alter table schema_version_log owner to {name};"
        f"alter table schema_version_snapshot owner to {name}"
    )
    other = copy.copy(rows)
    other.url = make_dsn(rows.url, user=name, password="x")
    yield other
    rows.query(f"drop owned by {name} cascade; drop role {name}")


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("grant select on t to public; alter table t enable row level security", "hide rows"),
        ("grant update on t to public", "may not read the key"),
    ],
)
def test_rows_that_the_login_may_not_see_are_no_backfill(
    rows: Project, limited: Project, made: str, why: str
) -> None:
    rows.query(made)
    document = limited.run("migrate")
    assert document["exit_code"] == 6, document["error"]
    assert why in document["error"]["message"]


TEXTS = {
    "no range": ("update t set done = 1", "it does not say 'batch.first' and 'batch.last'"),
    "one end": (
        "update t set done = 1 where id > current_setting('batch.first')::int",
        "it does not say 'batch.last'",
    ),
    "a second statement without": (
        f"update t set done = 1 where id {RANGE.format('int')}; delete from log",
        "it does not say",
    ),
    "another kind of statement": ("create index on t (done)", "CREATE is not run for each batch"),
    "rows above": (
        f"insert into t select id + 1000 from t where id {RANGE.format('int')}",
        "the backfill may meet again",
    ),
    "rows above, of the table by its schema": (
        f"insert into public.t select id + 1000 from t where id {RANGE.format('int')}",
        "the backfill may meet again",
    ),
    "another key": (
        f"update t set done = 1, id = id + 1 where id {RANGE.format('int')}",
        "the backfill may meet again",
    ),
}


@pytest.mark.parametrize("case", TEXTS)
def test_text_that_is_no_backfill_is_refused_offline(project: Project, case: str) -> None:
    text, why = TEXTS[case]
    project.file("V1__t.sql", f"-- runner: batch=t.id\n{text};\n")
    document = project.run("validate")
    assert document["exit_code"] == 6
    assert why in str(document["error"]["details"])


def test_range_outside_a_backfill_is_refused_offline(project: Project) -> None:
    project.file("V1__t.sql", f"update t set n = 1 where id {RANGE.format('int')};\n")
    assert "is set in a backfill only" in str(project.run("validate")["error"]["details"])


@pytest.mark.parametrize(
    ("name", "head", "why"),
    [
        ("V1__a.sql", "batch=t", "a table and its key are expected"),
        ("V1__a.sql", "batch=t.id batch_size=0", "a number from 1"),
        ("V1__a.sql", "batch_size=10", "is for a file with batch="),
        ("V1__a.sql", "no-transaction batch=t.id", "leave no-transaction out"),
        ("V1__a.sql", 'batch="t.id', "a table and its key are expected"),
        ("R__a.sql", "batch=t.id", "a backfill is a V or a U file"),
    ],
)
def test_directive_that_is_none_is_refused_by_the_folder(
    project: Project, name: str, head: str, why: str
) -> None:
    project.file(name, f"-- runner: {head}\nselect 1;\n")
    assert why in str(project.run("validate")["error"]["details"])


def half_way(project: Project) -> None:
    """Leave the backfill after 30 rows."""
    stop(project, 30)
    assert project.run("migrate")["exit_code"] == 4
    project.query("drop function stop cascade")


def test_file_changed_half_way_is_refused_until_repair_takes_it(rows: Project) -> None:
    half_way(rows)
    rows.file("V2__done.sql", backfill(size=50))
    document = rows.run("migrate")
    assert document["exit_code"] == 6
    assert "30 rows are done as it was" in str(document["error"]["details"])
    assert rows.run("repair", "--yes")["outcome"] == "applied"
    assert rows.run("migrate")["applied"][0]["backfill"]["batches"] == 5
    assert once(rows, 105)


def test_directive_taken_out_half_way_is_refused(rows: Project) -> None:
    half_way(rows)
    rows.file("V2__done.sql", "update t set done = 1")
    assert rows.run("migrate")["exit_code"] == 6
    rows.run("repair", "--yes")
    document = rows.run("migrate")
    assert "stopped half-way as a backfill and would go on as none" in str(document["error"])
    rows.run("repair", "--forget", "2", "--yes")
    assert rows.run("migrate")["outcome"] == "applied"


def test_undo_may_be_a_backfill_that_stops_and_goes_on(rows: Project) -> None:
    rows.file("U2__done.sql", backfill().replace("done + 1", "done - 1"))
    rows.run("migrate")
    rows.query(
        "create function stop() returns trigger language plpgsql as $$ begin"
        " if new.id > 100 then raise 'no further'; end if; return new; end $$;"
        "create trigger stop before update on t for each row execute function stop()"
    )
    assert rows.run("rollback", "--steps", "1", "--yes")["exit_code"] == 4
    assert checkpoint(rows)["state"] == "undoing"
    rows.file("U2__done.sql", "-- another\n" + backfill().replace("done + 1", "done - 1"))
    refused = rows.run("rollback", "--steps", "1", "--yes")
    assert "changed since it began to backfill" in str(refused["error"]["details"])
    rows.run("repair", "--yes")
    rows.query("drop function stop cascade")
    document = rows.run("rollback", "--steps", "1", "--yes")
    assert document["outcome"] == "applied", document["error"]
    assert rows.query("select min(done), max(done) from t") == [(0, 0)]
    assert rows.history() == [("1", "applied")]


def test_plan_shows_a_backfill_as_one(rows: Project) -> None:
    rows.query("analyze t")
    (file,) = rows.run("plan", "--batch-pause", "50%+200ms", "--batch-active", "9")["data"]["files"]
    assert file["backfill"]["rows_left"] == 105
    assert file["throttle"] == (
        "pauses for 50% of a batch's time and 200 ms after each, waits while more than 9 sessions"
        " work"
    )
    _, shown, _ = rows.text("plan")
    assert "a backfill, in batches of 10 rows of t by id, each committed, about 105 left" in shown


def hours(first: int, last: int) -> Hours:
    """Return hours that begin and end so many from now."""
    now = datetime.now(UTC)
    return Hours(*(f"{now + timedelta(hours=n):%H:%M}" for n in (first, last)))


@pytest.fixture
def waiting(rows: Project) -> Iterator[Callable[[Throttle], Waiting]]:
    """Give what lets a backfill wait for a throttle, and has half a second for it."""
    session = Session(connecting.target(rows.url), run_id="test", wait=0)
    yield lambda throttle: Waiting(session, Conduct(Deadline(5.5), Silence(), throttle=throttle))
    session.close()


def test_outside_its_hours_a_backfill_waits_until_its_deadline(
    waiting: Callable[[Throttle], Waiting],
) -> None:
    found = waiting(Throttle(hours=hours(1, 2)))
    assert not found.pause("V2__done.sql", 0)
    assert found.reason is not None
    assert found.reason.startswith("it works from")
    assert waiting(Throttle(hours=hours(-2, 3))).pause("V2__done.sql", 0)


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--batch-hours", "22:00-06:00 Mars/Olympus", 'time zone "Mars/Olympus" not recognized'),
        ("--batch-hours", "25:00-06:00", "is no range of hours"),
        ("--batch-pause", "5", "has no unit"),
    ],
)
def test_throttle_that_is_none_is_refused(rows: Project, option: str, value: str, why: str) -> None:
    document = rows.run("migrate", option, value)
    assert document["exit_code"] == 2
    assert why in document["error"]["message"]
    assert rows.query("select max(done) from t") == [(0,)]


def test_replicas_that_the_login_cannot_see_are_not_taken_for_none(limited: Project) -> None:
    limited.file("V2__done.sql", backfill())
    document = limited.run("migrate", "--batch-lag", "5s")
    assert document["error"]["fix"].startswith("grant pg_read_all_stats")


def test_lag_of_aurora_is_that_of_its_readers(
    rows: Project, waiting: Callable[[Throttle], Waiting]
) -> None:
    """They share the storage: nothing is streamed to them."""
    rows.query(
        "set allow_system_table_mods = on; create function pg_catalog.aurora_replica_status"
        "(out session_id text, out replica_lag_in_msec float8) returns setof record language sql"
        " as $$ values ('MASTER_SESSION_ID', 99999::float8), ('reader', 7000) $$"
    )
    found = waiting(Throttle(lag=5000))
    assert list(found._reasons()) == [("lag", "a replica is 7.0 s behind, more than 5.0 s")]
    assert list(waiting(Throttle(lag=8000))._reasons()) == []


def sleep(connection: Bystander) -> None:
    with contextlib.suppress(psycopg2.errors.QueryCanceled), connection.cursor() as cursor:
        cursor.execute("select pg_sleep(20)")


def test_sessions_at_work_let_a_backfill_wait(
    waiting: Callable[[Throttle], Waiting], bystander: Bystander
) -> None:
    found = waiting(Throttle(active=0))
    assert list(found._reasons()) == []
    work = threading.Thread(target=sleep, args=(bystander,))
    work.start()
    while not (reasons := list(found._reasons())):
        pass
    bystander.cancel()
    work.join()
    assert reasons == [("active", "1 other session at work, more than 0")]
