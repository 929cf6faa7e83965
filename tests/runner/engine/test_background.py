"""Backfills in the background: the deployment goes on, and what needs them waits."""

from collections.abc import Callable

import psycopg2
import pytest

from tests.runner.project import Project

Bystander = psycopg2.extensions.connection
WaitFor = Callable[[str], None]

ENDS = "between current_setting('batch.first')::bigint and current_setting('batch.last')::bigint"
FILL = f"-- runner: batch=t.id, batch_size=10, background\nupdate t set n = id where id {ENDS};\n"


@pytest.fixture
def filling(project: Project) -> Project:
    """Give a project whose second version fills t in the background, with others after it."""
    project.file(
        "V1__t.sql",
        "create table t (id bigint primary key, n bigint); create table other (id int);"
        "insert into t select generate_series(1, 95)",
    )
    project.file("V2__fill.sql", FILL)
    project.file("V3__other.sql", "alter table other add a int")
    project.file("V4__not_null.sql", "alter table t alter n set not null; create table late ()")
    project.file("V5__view.sql", "create view v as select * from late")
    project.file("V6__needs.sql", "-- runner: needs=2\ncreate table needs ()")
    project.file("V7__free.sql", "create table free ()")
    project.file("R__r.sql", "create or replace view r as select n from t")
    return project


def held(document: dict) -> dict[str, str]:
    return {task["file"]: task["why"] for task in document["held"]}


def test_deployment_goes_on_and_what_needs_the_backfill_waits_and_says_why(
    filling: Project,
) -> None:
    document = filling.run("migrate")
    assert (document["exit_code"], document["outcome"]) == (0, "applied"), document["error"]
    assert [e["file"] for e in document["applied"]] == [
        "V1__t.sql", "V3__other.sql", "V7__free.sql",
    ]  # fmt: skip
    assert document["pending"] == []
    assert held(document) == {
        "V2__fill.sql": "goes on in the background: runner backfill",
        "V4__not_null.sql": "waits for V2__fill.sql, for it names t",
        "V5__view.sql": "waits for V4__not_null.sql, for it names late",
        "V6__needs.sql": "waits for V2__fill.sql, which it needs",
        "R__r.sql": "waits for V2__fill.sql, for it names t",
    }
    assert document["data"] is None  # nothing says that all files are in force
    again = filling.run("migrate")
    assert (again["outcome"], held(again)) == ("noop", held(document))


def test_backfill_is_finished_beside_and_what_waited_runs_though_it_is_older(
    filling: Project,
) -> None:
    filling.run("migrate")
    document = filling.run("backfill")
    assert [e["file"] for e in document["applied"]] == ["V2__fill.sql"], document["error"]
    assert filling.query("select count(*) from t where n = id") == [(95,)]
    assert filling.run("backfill")["outcome"] == "noop"
    rehearsed = filling.run("rehearse")["data"]["files"]
    document = filling.run("migrate")
    assert [e["file"] for e in rehearsed] == [e["file"] for e in document["applied"]]
    assert [e["file"] for e in document["applied"]] == [
        "V4__not_null.sql", "V5__view.sql", "V6__needs.sql", "R__r.sql",
    ]  # fmt: skip
    assert "held" not in document
    assert document["data"]["files"]


def test_file_of_another_branch_that_need_not_have_waited_is_out_of_order(
    filling: Project,
) -> None:
    filling.run("migrate")
    filling.run("backfill")
    filling.file("V3.5__branch.sql", "create table branch ()")
    document = filling.run("migrate")
    assert document["exit_code"] == 6
    assert "V3.5__branch.sql" in str(document["error"]["details"])
    assert "V4__not_null.sql" not in str(document["error"]["details"])


def test_migrate_runs_beside_a_backfill_and_two_backfills_exclude_each_other(
    filling: Project, bystander: Bystander, wait_for: WaitFor
) -> None:
    filling.run("migrate")
    with bystander.cursor() as cursor:
        cursor.execute("select from t where id = 40 for update")
    first = filling.start("backfill", "--lock-timeout", "60s")
    wait_for("select exists (select from pg_locks where not granted)")
    second = filling.run("backfill", "--lock-wait", "0")
    assert second["exit_code"] == 5
    filling.file("V8__more.sql", "create table more ()")
    document = filling.run("migrate")
    assert [e["file"] for e in document["applied"]] == ["V8__more.sql"]
    bystander.rollback()
    assert filling.finish(first)["outcome"] == "applied"
    assert filling.query("select count(*) from t where n = id") == [(95,)]


def test_backfill_finishes_only_where_no_migrate_is_at_work(
    filling: Project, bystander: Bystander, wait_for: WaitFor
) -> None:
    """Both would give their rows of the history the same number."""
    filling.run("migrate")
    filling.file("V8__slow.sql", "select from other for update; select pg_sleep(60)")
    migrate = filling.start("migrate")
    wait_for("select exists (select from pg_stat_activity where wait_event = 'PgSleep')")
    document = filling.run("backfill", "--lock-wait", "0")
    assert document["exit_code"] == 5
    assert document["pending"][0]["file"] == "V2__fill.sql"
    filling.query(
        "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'"
    )
    filling.finish(migrate)
    assert filling.run("backfill")["outcome"] == "applied"


def test_only_what_a_migrate_has_begun_is_run(filling: Project) -> None:
    assert filling.run("migrate", "--target", "1")["exit_code"] == 0
    assert filling.run("backfill")["outcome"] == "noop"
    filling.run("migrate")
    filling.file("V2__fill.sql", FILL.replace("n = id", "n = 0"))
    assert filling.run("backfill")["exit_code"] == 6
    assert filling.query("select count(n) from t") == [(0,)]


def test_backfill_without_a_usable_key_is_refused_before_it_begins(filling: Project) -> None:
    filling.file("V2__fill.sql", FILL.replace("batch=t.id", "batch=other.id"))
    assert filling.run("migrate")["exit_code"] == 6


def test_plan_shows_what_begins_and_what_waits(filling: Project) -> None:
    filling.run("migrate", "--target", "1")
    before = filling.run("plan")
    (file, *_) = before["data"]["files"]
    assert (file["file"], file["backfill"]["background"]) == ("V2__fill.sql", True)
    assert "V4__not_null.sql" in held(before)
    digest = before["data"]["digest"]
    assert filling.run("migrate", "--plan-digest", digest)["exit_code"] == 0
    _, shown, _ = filling.text("plan")
    assert "left: V6__needs.sql waits for V2__fill.sql, which it needs" in shown


def test_plan_stays_approved_while_the_backfill_moves(filling: Project) -> None:
    filling.run("migrate")
    filling.file("V8__more.sql", "create table more ()")
    digest = filling.run("plan")["data"]["digest"]
    filling.query(
        "update schema_version set steps[1] = replace(steps[1], '\"rows\": 0', '\"rows\": 9')"
        " where version = '2'"
    )
    assert filling.run("migrate", "--plan-digest", digest)["outcome"] == "applied"


@pytest.mark.parametrize(
    ("name", "head", "why"),
    [
        ("V3__a.sql", "background", "is for a file with batch="),
        ("V3__a.sql", "needs=9", "no older V file has it"),
        ("V3__a.sql", "needs=3", "no older V file has it"),
        ("V3__a.sql", "needs=x", "a version is expected"),
        ("U2__fill.sql", "batch=t.id background", "an undo is waited for"),
        ("U2__fill.sql", "needs=1", "a U file needs nothing"),
    ],
)
def test_directive_that_is_none_is_refused(
    project: Project, name: str, head: str, why: str
) -> None:
    project.file("V2__fill.sql", FILL)
    project.file(name, f"-- runner: {head}\nselect 1 from t where id {ENDS};\n")
    assert why in str(project.run("validate")["error"]["details"])


def test_verify_proves_the_files_with_the_backfill_in_its_place(filling: Project) -> None:
    for number, down in enumerate(
        ["drop view if exists r; drop table t, other", "update t set n = null",
         "alter table other drop a",
         "alter table t alter n drop not null; drop table late", "drop view v",
         "drop table needs", "drop table free"], 1,
    ):  # fmt: skip
        (up,) = filling.folder.glob(f"V{number}__*.sql")
        filling.file(up.name.replace("V", "U", 1), down)
    document = filling.run("verify")
    assert document["exit_code"] == 0, document["error"]
