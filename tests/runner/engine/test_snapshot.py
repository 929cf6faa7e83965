"""What may lose data for good runs with a snapshot of before, where one is required."""

import pytest

from runner import handler
from tests.runner.project import Project
from tests.runner.test_handler import Context

ARN = "arn:aws:rds:eu-central-1:111122223333:cluster-snapshot:app-prod-before-1"


@pytest.fixture
def orders(project: Project) -> Project:
    """Give a project whose first file is applied and made a table."""
    project.file("V1__orders.sql", "create table orders (id int, note text)")
    project.file("U1__orders.sql", "drop table orders")
    project.run("migrate")
    return project


@pytest.mark.parametrize(
    ("sql", "lost"),
    [
        ("alter table orders drop column note", True),
        ("truncate orders", True),
        ("drop table orders", True),
        ("do $$ begin delete from orders; end $$", True),
        ("-- runner: irreversible: nobody reads it\ncomment on table orders is null", True),
        ("alter table orders add total int", False),
        ("create table b (); drop table b", False),
    ],
)
def test_only_what_may_lose_data_for_good_needs_a_snapshot(
    orders: Project, sql: str, lost: bool
) -> None:
    orders.file("V2__next.sql", sql)
    planned = orders.run("plan")["data"]["files"]
    assert [file["may_lose"] for file in planned] == [lost]
    document = orders.run("migrate", "--require-snapshot")
    assert (document["outcome"], "V2__next.sql" in str(document["error"])) == (
        ("failed", True) if lost else ("applied", False)
    )


def test_what_an_undo_drops_needs_a_snapshot_too(orders: Project) -> None:
    options = ("--steps", "1", "--yes", "--require-snapshot", "--snapshot")
    assert orders.run("rollback", *options, "none")["error"]["kind"] == "refused"
    assert orders.run("rollback", *options, ARN)["outcome"] == "applied"


def test_history_names_the_snapshot_of_before_a_run(orders: Project) -> None:
    orders.file("V2__next.sql", "drop table orders")
    orders.run("migrate", "--snapshot", ARN, "--require-snapshot")
    lines = orders.run("history")["data"]
    told = [line for line in lines if line["action"] == "snapshot"]
    assert [(line["details"], line["run_id"]) for line in told] == [
        ({"arn": ARN}, lines[-1]["run_id"])
    ]


def test_an_error_says_from_where_the_database_can_be_had_as_it_was(orders: Project) -> None:
    orders.file("V2__next.sql", "drop table orders; select 1/0")
    error = orders.run("migrate", "--snapshot", ARN)["error"]
    assert error["details"][-1] == f"the database as it was before this run: {ARN}"


@pytest.mark.parametrize("wrong", ["", "no", "arn:aws:s3:::bucket", f"{ARN}\nx"])
def test_what_is_no_snapshot_is_refused_before_anything_runs(orders: Project, wrong: str) -> None:
    orders.file("V2__next.sql", "drop table orders")
    assert orders.run("migrate", "--snapshot", wrong)["exit_code"] == 2
    assert len(orders.history()) == 1


@pytest.mark.parametrize("command", ["migrate", "rollback"])
def test_function_requires_a_snapshot_where_its_variable_says_so(
    deployed: Project, orders: Project, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders.file("V2__next.sql", "drop table orders")
    monkeypatch.setenv("REQUIRE_SNAPSHOT", "true")
    options = {"steps": 1, "yes": True} if command == "rollback" else {}
    event = {"command": command, "run_id": "r", "options": options}
    with pytest.raises(handler.RunFailed, match="no snapshot was taken before"):
        handler.handle(event, Context(alias="admin" if options else "live"))
