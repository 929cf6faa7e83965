"""What an approver sees, and that nothing else is run."""

import time
from types import SimpleNamespace

import psycopg2
import pytest

from runner.engine import risk
from tests.runner.project import Project

_BIG = """
    create table orders (id bigint generated always as identity primary key, note text);
    insert into orders (note) select repeat('x', 1000) from generate_series(1, 80000);
    create table small (id int primary key);
    analyze;
"""


_WRITES = """
    insert into orders (note) select 'x' from generate_series(1, 1000);
    select pg_stat_force_next_flush();
"""


@pytest.fixture
def orders(project: Project) -> Project:
    """Give a database with a table of some 90 MB and a small one."""
    project.query(_BIG)
    return project


def test_plan_shows_locks_sizes_and_risk_of_the_target(orders: Project) -> None:
    orders.file("V1__type.sql", "alter table orders alter id type numeric")
    orders.file("V2__small.sql", "alter table small add b int")
    orders.file("V3__new.sql", "create table fresh (n int); create index on fresh (n)")
    document = orders.run("plan")
    assert (document["outcome"], document["exit_code"]) == ("planned", 0)
    first, second, third = document["data"]["files"]
    assert first["locks"] == [
        {"relation": "orders", "mode": "AccessExclusiveLock", "rewrite": True}
    ]
    assert first["relations"][0]["bytes"] > 80_000_000
    assert first["risks"][0].startswith("ACCESS EXCLUSIVE on orders, ")
    assert "table rewrite" in first["risks"][0]
    assert first["risk"] in {"notice", "block"}
    assert (second["risk"], third["risk"], third["locks"]) == ("none", "none", [])
    (calm,) = second["calm"]
    assert calm.startswith("ACCESS EXCLUSIVE on small, ")
    assert calm.endswith(", a moment: short, for the table is small")
    assert f"--   {calm}" in orders.text("plan")[1].splitlines()
    assert orders.query("select to_regclass('schema_version')") == [(None,)]


@pytest.mark.since(15)  # that a session tells its counts when asked
def test_what_was_written_before_the_plan_is_no_traffic(orders: Project) -> None:
    orders.query("select pg_stat_force_next_flush()")
    orders.file("V1__a.sql", "alter table orders add b int")
    (file,) = orders.run("plan")["data"]["files"]
    assert file["relations"][0]["writes_per_second"] == 0
    assert file["risk"] == "none"


@pytest.mark.since(15)
def test_what_is_written_meanwhile_is_traffic(
    orders: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile = SimpleNamespace(sleep=lambda _: orders.query(_WRITES), monotonic=time.monotonic)
    monkeypatch.setattr(risk, "time", meanwhile)
    orders.file("V1__a.sql", "alter table orders add b int")
    (file,) = orders.run("plan")["data"]["files"]
    assert file["relations"][0]["writes_per_second"] > 1
    assert file["risk"] == "notice"


def test_plan_names_code_it_cannot_read_and_what_is_irreversible(orders: Project) -> None:
    orders.file("V1__do.sql", "-- runner: irreversible: why not\ndo $$ begin end $$")
    (file,) = orders.run("plan")["data"]["files"]
    assert file["irreversible"] == "why not"
    assert "rehearse it" in file["risks"][0]


def test_plan_names_what_is_lost_with_how_much_it_is(orders: Project) -> None:
    orders.file("V1__lose.sql", "update orders set note = ''; alter table orders drop column note")
    (file,) = orders.run("plan")["data"]["files"]
    assert file["risk"] == "notice"
    assert [hazard["kind"] for hazard in file["hazards"]] == ["rows", "data", "clients"]
    assert "every row of orders (80,000 rows, " in file["hazards"][0]["text"]
    assert {hazard["text"] for hazard in file["hazards"]} <= {*file["risks"]}


def test_plan_does_not_call_lost_what_it_makes_itself(orders: Project) -> None:
    orders.file("V1__own.sql", "create table fresh (n int); delete from fresh; drop table fresh")
    (file,) = orders.run("plan")["data"]["files"]
    assert (file["risk"], file["hazards"]) == ("none", [])


def test_plan_names_the_longest_transaction(
    orders: Project, bystander: "psycopg2.extensions.connection"
) -> None:
    with bystander.cursor() as cursor:
        cursor.execute("select 42 as answer")
    longest = orders.run("plan")["data"]["longest_transaction"]
    assert longest["pid"] == bystander.info.backend_pid
    assert "42" in longest["query"]


def test_approved_plan_runs(project: Project) -> None:
    project.file("V1__a.sql", "create table a ()")
    digest = project.run("plan")["data"]["digest"]
    assert project.run("migrate", "--plan-digest", digest)["outcome"] == "applied"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("V1__a.sql", "create table a (n int)"),
        ("V2__b.sql", "create table b ()"),
        ("R__v.sql", "create view v as select 1 as one"),
    ],
    ids=["changed", "one more version", "one more repeatable"],
)
def test_anything_but_the_approved_plan_is_refused(project: Project, name: str, text: str) -> None:
    project.file("V1__a.sql", "create table a ()")
    digest = project.run("plan")["data"]["digest"]
    project.file(name, text)
    document = project.run("migrate", "--plan-digest", digest)
    assert document["exit_code"] == 7
    assert document["error"]["details"][0] == f"approved: {digest}"
    assert project.query("select to_regclass('a')") == [(None,)]


def test_plan_reads_as_text(orders: Project) -> None:
    orders.file("V1__type.sql", "alter table orders alter id type numeric")
    code, out, _ = orders.text("plan")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "-- apply V1__type.sql (new), in a transaction"
    assert lines[1].startswith("--   ACCESS EXCLUSIVE on orders")
    assert any(line.startswith("digest: sha256:") for line in lines)
