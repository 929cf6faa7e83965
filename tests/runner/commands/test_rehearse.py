"""What is pending is run on a copy of the database, measured, and nothing of it stays."""

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest

from runner.report.markdown import markdown
from runner.report.page import page
from tests.runner.project import Project


@pytest.fixture
def orders(project: Project) -> Project:
    """Give a project whose first file is applied and left rows."""
    project.file(
        "V1__orders.sql",
        "create table orders (id int primary key, email text);"
        "insert into orders select n, n || '@example.com' from generate_series(1, 100) n",
    )
    project.run("migrate")
    return project


def copies(project: Project) -> list[str]:
    """Return the databases of rehearsals that are there."""
    names = project.query("select datname from pg_database where datname like 'runner_rehearsal%'")
    return [name for (name,) in names]


def test_files_are_measured_on_a_copy_with_the_rows_and_the_target_stays_as_it_is(
    orders: Project,
) -> None:
    orders.file("V2__total.sql", "alter table orders add column total int")
    orders.file("V3__big.sql", "update orders set total = id")
    document = orders.run("rehearse")
    assert (document["outcome"], document["applied"], document["error"]) == ("planned", [], None)
    second, third = document["data"]["files"]
    assert (second["file"], second["locks"]) == (
        "V2__total.sql",
        [{"relation": "public.orders", "mode": "AccessExclusiveLock"}],
    )
    assert third["duration_ms"] >= 0
    assert document["data"]["grown_bytes"] > 0
    assert document["target"]["dbname"] == orders.url.rpartition("/")[2].partition("?")[0]
    assert orders.history() == [("1", "applied")]
    assert copies(orders) == []


def test_a_rehearsal_and_the_run_end_with_the_same_fingerprint(orders: Project) -> None:
    orders.file("V2__total.sql", "alter table orders add column total int")
    rehearsed = orders.run("rehearse")["data"]["fingerprint"]
    orders.run("migrate")
    assert orders.run("rehearse")["data"]["fingerprint"] == rehearsed


def test_where_nothing_is_pending_nothing_is_run(orders: Project) -> None:
    document = orders.run("rehearse")
    assert (document["outcome"], document["data"]["files"]) == ("planned", [])


SLOW = "lock table orders in access exclusive mode; do 'begin perform pg_sleep(0.3); end'"


@pytest.mark.parametrize(
    ("limits", "over"),
    [
        (["--held", "100ms"], ["V2__slow.sql held ACCESS EXCLUSIVE on public.orders for "]),
        (["--held", "1h"], []),
        (["--held", "100ms", "--above", "1GB"], []),
        (["--held", "100ms", "--above", "1kB"], ["V2__slow.sql held ACCESS EXCLUSIVE on "]),
        (["--took", "100ms"], ["all files took "]),
        (["--took", "1h"], []),
    ],
)
def test_what_goes_over_a_limit_fails_the_rehearsal_by_name(
    orders: Project, limits: list[str], over: list[str]
) -> None:
    orders.file("V2__slow.sql", SLOW)
    document = orders.run("rehearse", *limits)
    assert document["exit_code"] == (7 if over else 0)
    found = document["data"]["over"]
    assert [line.startswith(start) for line, start in zip(found, over, strict=True)] == [
        True for _ in over
    ]
    assert orders.history() == [("1", "applied")]


def test_an_error_on_the_copy_says_where_and_of_which_kind_and_nothing_of_the_data(
    orders: Project,
) -> None:
    orders.file(
        "V2__unique.sql",
        "do $$ begin raise notice 'first is %', (select email from orders limit 1); end $$;\n"
        "alter table orders add column half int;\n"
        "update orders set half = id / 2;\n"
        "create unique index on orders (half);",
    )
    document = orders.run("rehearse")
    error = document["error"]
    assert (error["sqlstate"], error["line"], document["exit_code"]) == ("23505", 4, 3)
    assert "unique violation" in error["message"]
    whole = json.dumps(document)
    assert "example.com" not in whole
    assert "(half)=(" not in whole
    assert copies(orders) == []


def test_what_the_server_says_meanwhile_stays_there(orders: Project) -> None:
    orders.file(
        "V2__say.sql",
        "do $$ begin raise notice 'first is %', (select email from orders limit 1); end $$",
    )
    code, out, err = orders.text("rehearse")
    assert (code, "example.com" in out + err) == (0, False)


def test_what_reaches_the_whole_server_is_refused_before_anything_runs(orders: Project) -> None:
    orders.file("V2__role.sql", "create role rehearsed_by_mistake")
    document = orders.run("rehearse")
    assert "reaches the whole server" in document["error"]["details"][0]
    assert orders.query("select 1 from pg_roles where rolname = 'rehearsed_by_mistake'") == []
    assert copies(orders) == []


def test_a_copy_that_somebody_made_is_used_and_stays(orders: Project) -> None:
    orders.file("V2__total.sql", "alter table orders add column total int")
    name = orders.url.rpartition("/")[2].partition("?")[0]
    there = orders.url.replace(name, f"{name}_clone")
    elsewhere = Project(orders.folder / "none", orders.url.replace(f"/{name}", "/postgres"))
    elsewhere.query(f"create database {name}_clone template {name}")
    try:
        document = orders.run("rehearse", "--copy", there)
        assert [file["file"] for file in document["data"]["files"]] == ["V2__total.sql"]
        assert Project(orders.folder / "clone", there).history()[-1] == ("2", "applied")
        assert orders.history() == [("1", "applied")]
    finally:
        elsewhere.query(f"drop database {name}_clone with (force)")


def test_the_target_itself_is_no_copy(orders: Project) -> None:
    orders.file("V2__total.sql", "alter table orders add column total int")
    error = orders.run("rehearse", "--copy", orders.url)["error"]
    assert "is no copy: it is the target itself" in error["message"]
    assert orders.history() == [("1", "applied")]


RUNNING = "select count(*) = 1 from pg_stat_activity where query ~ '^select pg_sleep'"


def test_a_database_in_use_is_refused_with_the_way_on(
    orders: Project, bystander: "psycopg2.extensions.connection"
) -> None:
    bystander.cursor().execute("select 1")
    error = orders.run("rehearse")["error"]
    assert "is in use, so it cannot be copied" in error["message"]
    assert "--copy URL" in error["fix"]


def test_a_copy_that_a_killed_rehearsal_left_is_dropped_by_the_next(
    orders: Project, wait_for: Callable[[str], None]
) -> None:
    orders.file("V2__wait.sql", "select pg_sleep(600)")
    killed = orders.start("rehearse")
    wait_for(RUNNING)
    killed.kill()
    killed.communicate(timeout=60)
    orders.query(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname like 'runner_rehearsal%'"
    )
    wait_for("select count(*) = 0 from pg_stat_activity where datname like 'runner_rehearsal%'")
    assert len(copies(orders)) == 1
    orders.file("V2__wait.sql", "select 1")
    orders.run("rehearse")
    assert copies(orders) == []


def test_a_rehearsal_that_is_interrupted_leaves_no_copy(
    orders: Project, wait_for: Callable[[str], None]
) -> None:
    orders.file("V2__wait.sql", "select pg_sleep(600)")
    stopped = orders.start("rehearse")
    wait_for(RUNNING)
    stopped.send_signal(signal.SIGINT)
    assert orders.finish(stopped)["exit_code"] == 130
    assert copies(orders) == []


def test_settings_and_rights_of_the_database_are_those_of_its_copy(orders: Project) -> None:
    name = orders.url.rpartition("/")[2].partition("?")[0]
    orders.query(f"alter database {name} set my.setting = 'a, \"b\"'")
    orders.query(f"grant temporary on database {name} to pg_monitor")
    orders.file(
        "V2__look.sql",
        "do $$ begin assert current_setting('my.setting') = 'a, \"b\"';"
        " assert (select datacl::text from pg_database where datname = current_database())"
        " like '%pg_monitor=T%'; end $$",
    )
    assert orders.run("rehearse")["error"] is None


def test_page_and_comment_show_what_a_rehearsal_measured(orders: Project) -> None:
    orders.file("V2__total.sql", "alter table orders add column total int")
    document = orders.run("rehearse")
    for shown in (page(document), markdown(document)):
        assert "Rehearsed" in shown
        assert "total.sql" in shown
        assert "ACCESS EXCLUSIVE" in shown
        assert "of temporary files, the copy grew by" in shown
        assert "temporary_bytes" not in shown


def test_page_and_comment_say_which_limit_a_rehearsal_went_over(orders: Project) -> None:
    orders.file("V2__slow.sql", SLOW)
    document = orders.run("rehearse", "--held", "100ms")
    for shown in (page(document), markdown(document)):
        assert "On a copy: the rehearsal went over 1 limit" in shown
        assert "100 ms is the limit" in shown


def test_a_plan_shows_what_its_rehearsal_measured_of_files_that_are_still_the_same(
    orders: Project, tmp_path: Path
) -> None:
    orders.file("V2__total.sql", "alter table orders add column total int")
    orders.file("V3__note.sql", "alter table orders add column note text")
    for command in ("rehearse", "plan"):
        if command == "plan":
            orders.file("V3__note.sql", "alter table orders add column note int")
        orders.run(command, "--save", str(tmp_path / f"{command}.json"))
    comment = tmp_path / "comment.md"
    orders.run(
        "report", str(tmp_path / "plan.json"),
        "--rehearsal", str(tmp_path / "rehearse.json"), "--markdown", str(comment),
    )  # fmt: skip
    second, third = (line for line in comment.read_text().splitlines() if "sql` |" in line)
    assert re.search(r"for \d+ ms on a copy", second)
    assert "expected to take a moment" in third
