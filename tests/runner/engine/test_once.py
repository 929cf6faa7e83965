"""In the Lambda a call under the same run id is done once, however often it comes."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from runner import handler
from runner.history import write
from tests.runner.project import Project
from tests.runner.schema import conforming

FUNCTION = "arn:aws:lambda:eu-central-1:111122223333:function:shop-dev-runner"
ALIASES = {"migrate": "live", "backfill": "live", "rollback": "admin", "plan": "read"}
Call = Callable[..., dict[str, Any]]


class Context:
    """What Lambda hands to a handler."""

    def __init__(self, command: str, seconds: float) -> None:
        self.invoked_function_arn = f"{FUNCTION}:{ALIASES[command]}"
        self._seconds = seconds

    def get_remaining_time_in_millis(self) -> float:
        return self._seconds * 1000


@pytest.fixture
def call(deployed: Project) -> Call:
    """Give a function that calls the handler on the project's files and returns the result."""

    def called(
        command: str, run_id: str = "r", *, seconds: float = 60, **options: Any
    ) -> dict[str, Any]:
        event = {"command": command, "run_id": run_id, "options": options}
        try:
            return conforming(handler.handle(event, Context(command, seconds)))
        except handler.RunFailed as failed:
            return conforming(json.loads(str(failed)))

    return called


def files(document: dict[str, Any]) -> list[str]:
    return [entry["file"] for entry in document["applied"]]


def log(project: Project) -> list[tuple[str, str]]:
    return project.query("select action, version from schema_version_log order by id")


def test_what_comes_twice_is_done_once_and_told_twice(project: Project, call: Call) -> None:
    project.file("V1__a.sql", "create table a ()")
    project.file("R__v.sql", "create or replace view v as select 1 as one")
    first, again = call("migrate"), call("migrate")
    assert (first["outcome"], again["outcome"]) == ("applied", "applied")
    assert files(again) == files(first) == ["V1__a.sql", "R__v.sql"]
    told = ("file", "checksum", "duration_ms", "locks", "why")
    for one, other in zip(first["applied"], again["applied"], strict=True):
        assert [one[name] for name in told] == [other[name] for name in told]
    assert log(project) == [("apply", "1"), ("repeat", "R__v")]


def test_rollback_that_comes_twice_undoes_no_more(project: Project, call: Call) -> None:
    for number in "123":
        project.file(f"V{number}__t.sql", f"create table t{number} ()")
        project.file(f"U{number}__t.sql", f"drop table t{number}")
    call("migrate")
    first, again = (call("rollback", "undo", steps=1, yes=True) for _ in "12")
    assert files(again) == files(first) == ["U3__t.sql"]
    assert project.history() == [("1", "applied"), ("2", "applied")]
    assert files(call("rollback", "another", steps=1, yes=True)) == ["U2__t.sql"]


def test_rollback_that_was_cut_by_its_deadline_goes_on_to_what_was_asked(
    project: Project, call: Call
) -> None:
    for number in "123":
        project.file(f"V{number}__t.sql", f"create table t{number} ()")
        project.file(f"U{number}__t.sql", f"drop table t{number}; select pg_sleep(1)")
    call("migrate")
    first = call("rollback", "undo", steps=2, yes=True, seconds=6.5)
    assert (first["outcome"], files(first)) == ("incomplete", ["U3__t.sql"])
    again = call("rollback", "undo", steps=2, yes=True)
    assert (again["outcome"], files(again)) == ("applied", ["U3__t.sql", "U2__t.sql"])
    assert project.history() == [("1", "applied")]


def test_approved_plan_that_was_cut_goes_on_with_its_digest(project: Project, call: Call) -> None:
    project.file("V1__a.sql", "create table a (); select pg_sleep(1)")
    project.file("V2__b.sql", "create table b (); select pg_sleep(1)")
    digest = call("plan")["data"]["digest"]
    first = call("migrate", plan_digest=digest, seconds=6.5)
    assert (first["outcome"], files(first)) == ("incomplete", ["V1__a.sql"])
    again = call("migrate", plan_digest=digest)
    assert (again["outcome"], files(again)) == ("applied", ["V1__a.sql", "V2__b.sql"])
    assert files(call("migrate", plan_digest=digest)) == files(again)


def test_what_is_left_of_an_approved_plan_is_run_as_approved_only(
    project: Project, call: Call
) -> None:
    project.file("V1__a.sql", "create table a (); select pg_sleep(1)")
    project.file("V2__b.sql", "create table b (); select pg_sleep(1)")
    digest = call("plan")["data"]["digest"]
    call("migrate", plan_digest=digest, seconds=6.5)
    project.file("V2__b.sql", "create table another ()")
    again = call("migrate", plan_digest=digest)
    assert (again["outcome"], again["error"]["kind"]) == ("failed", "refused")
    assert project.query("select to_regclass('another')") == [(None,)]


def test_digest_of_one_run_serves_no_other(project: Project, call: Call) -> None:
    project.file("V1__a.sql", "create table a ()")
    digest = call("plan")["data"]["digest"]
    assert call("migrate", "one", plan_digest=digest)["outcome"] == "applied"
    assert call("migrate", "two", plan_digest=digest)["error"]["kind"] == "refused"


def test_failed_run_is_tried_again_under_its_id(project: Project, call: Call) -> None:
    project.file("V1__a.sql", "create table a ()")
    project.file("V2__b.sql", "create table b (c integer default (1 / (select 0)))")
    assert call("migrate")["error"]["kind"] == "migration"
    project.file("V2__b.sql", "create table b ()")
    again = call("migrate")
    assert (again["outcome"], files(again)) == ("applied", ["V1__a.sql", "V2__b.sql"])


def test_what_comes_while_the_first_still_runs_joins_it(
    project: Project, call: Call, wait_for: Callable[[str], None]
) -> None:
    project.file("V1__a.sql", "create table a (); select pg_sleep(1)")
    found: list[dict[str, Any]] = []
    first = threading.Thread(target=lambda: found.append(call("migrate")))
    first.start()
    wait_for("select to_regclass('schema_version_run') is not null")
    again = call("migrate")
    first.join()
    assert files(again) == files(found[0]) == ["V1__a.sql"]
    assert log(project) == [("apply", "1")]


def test_history_of_an_older_version_gets_what_it_lacks(project: Project, call: Call) -> None:
    project.file("V1__a.sql", "create table a ()")
    call("migrate")
    project.query("drop table schema_version_run")
    project.file("V2__b.sql", "create table b ()")
    assert call("migrate", "s")["outcome"] == "applied"
    assert project.query("select run_id from schema_version_run") == [("s",)]
    assert project.run("status", "--drift")["exit_code"] == 0


def test_runs_before_the_newest_are_forgotten(
    project: Project, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "_KEPT_RUNS", 2)
    for run in "123":
        project.file(f"V{run}__t.sql", f"create table t{run} ()")
        call("migrate", run)
    assert project.query("select run_id from schema_version_run order by 1") == [("2",), ("3",)]


def test_command_line_runs_what_it_is_told_as_often_as_it_is_told(project: Project) -> None:
    for number in "12":
        project.file(f"V{number}__t.sql", f"create table t{number} ()")
        project.file(f"U{number}__t.sql", f"drop table t{number}")
    project.run("--run-id", "ci", "migrate")
    for _ in range(2):
        project.run("--run-id", "ci", "rollback", "--yes", "--steps", "1")
    assert project.history() == []


def test_backfill_that_an_approved_call_began_keeps_the_same_call_from_nothing(
    project: Project, call: Call
) -> None:
    """What goes on in the background is never done by the call that began it."""
    project.query("create table t (id int primary key, n int)")
    ends = "current_setting('batch.first')::int and current_setting('batch.last')::int"
    project.file("V1__a.sql", "create table a ()")
    project.file(
        "V2__fill.sql",
        f"-- runner: batch=t.id, background\nupdate t set n = 1 where id between {ends}",
    )
    project.file("V3__b.sql", "create table b ()")
    digest = call("plan")["data"]["digest"]
    first, again = (call("migrate", plan_digest=digest) for _ in range(2))
    assert first["exit_code"] == again["exit_code"] == 0, again["error"]
    assert files(first) == files(again) == ["V1__a.sql", "V3__b.sql"]
    assert [task["file"] for task in again["held"]] == ["V2__fill.sql"]
    assert files(call("backfill", "other")) == ["V2__fill.sql"]
    assert call("backfill", "other")["outcome"] == "noop"
