"""Many targets at once: each is done or told of, and none keeps another from being done."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg2.extensions import connection as Connection

from runner.commands import ways
from runner.errors import RunnerError
from tests.runner.project import Project

TENANTS = ["one", 'two "%s"', "three", "four", "five", "six"]


class Fleet:
    """A project whose targets are schemas of its database."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.path = project.folder.parent / "targets.json"
        project.file("V1__t.sql", "create table t (n int)")
        project.file("V2__u.sql", "create table u (n int); insert into t values (1)")

    def list(self, *more: dict[str, Any], schemas: list[str] = TENANTS) -> None:
        self.path.write_text(json.dumps([*({"schema": name} for name in schemas), *more]))

    def run(self, command: str, *options: str) -> dict[str, Any]:
        return self.project.run("fleet", command, "--targets", str(self.path), *options)

    def start(self, *options: str) -> "subprocess.Popen[str]":
        return self.project.start(
            "fleet", "migrate", "--targets", str(self.path), "--create-schema", *options
        )


@pytest.fixture
def fleet(project: Project) -> Fleet:
    """Give a project with targets; none of its schemas is there yet."""
    found = Fleet(project)
    found.list()
    return found


def states(document: dict[str, Any]) -> dict[str, str]:
    return {member["name"]: member["state"] for member in document["data"]["members"]}


def children(process: "subprocess.Popen[str]") -> list[int]:
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(word) for word in text.split()]


def test_every_target_gets_the_files_and_a_second_run_finds_nothing_to_do(fleet: Fleet) -> None:
    results = fleet.path.with_name("results")
    first = fleet.run("migrate", "--create-schema", "--at-once", "2", "--results", str(results))
    assert (first["error"], first["outcome"]) == (None, "applied")
    for member, name in zip(first["data"]["members"], TENANTS, strict=True):
        assert member["target"]["schema"] == name
        assert (member["state"], member["version"], member["applied"]) == ("current", "2", 2)
        assert fleet.project.history(name) == [("1", "applied"), ("2", "applied")]
    assert [text.partition("(")[2] for text in first["warnings"]] == ["and so in 5 other targets)"]
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert {line["name"]: line["warnings"] for line in lines}.keys() == set(TENANTS)
    second = fleet.run("migrate")
    assert (second["outcome"], set(states(second).values())) == ("noop", {"current"})
    status = fleet.run("status", "--check", "--drift")
    assert (status["exit_code"], set(states(status).values())) == (0, {"current"})


def test_target_that_cannot_be_done_is_a_line_and_stops_no_other(fleet: Fleet) -> None:
    project = fleet.project
    project.query(
        "create schema foreign_history; create table foreign_history.schema_version (n int);"
        "create schema newer; create schema broken; create table broken.u (n int)"
    )
    later = project.file("V3__later.sql", "select 1")
    assert project.run("migrate", "--schema", "newer")["error"] is None
    later.unlink()
    dead = {"name": "dead", "host": "127.0.0.1", "port": 1}
    fleet.list(dead, schemas=["foreign_history", "newer", "broken", *TENANTS])
    done = fleet.run("migrate", "--create-schema", "--tolerate", "4")
    assert states(done) == {
        "foreign_history": "differs", "newer": "differs", "broken": "failed", "dead": "unreachable",
        **dict.fromkeys(TENANTS, "current"),
    }  # fmt: skip
    assert done["exit_code"] == 6  # the first one's
    told = {member["name"]: member["error"] for member in done["data"]["members"]}
    assert "not this runner's" in told["foreign_history"]
    assert "newer than every file" in told["newer"]
    assert told["broken"].startswith("V2__u.sql: relation")
    assert "refused" in told["dead"]
    assert not any("\n" in line for line in told.values() if line)
    status = fleet.run("status")
    assert states(status)["broken"] == "behind"
    assert (states(status)["dead"], status["exit_code"]) == ("unreachable", 9)


def test_errors_of_very_many_targets_are_cut_and_whole_in_the_results(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.commands.fleet._WHOLE", 1)
    fleet.list(schemas=["t_1", "t_2", "t_3"])
    results = fleet.path.with_name("results")
    fleet.project.file("V3__no.sql", f"do $$ begin raise exception '{'x' * 200}'; end $$")
    failed = fleet.run(
        "migrate", "--create-schema", "--tolerate", "3", "--at-once", "1", "--results", str(results)
    )
    assert [len(member["error"]) > 200 for member in failed["data"]["members"]] == [
        True,
        False,
        False,
    ]
    assert "3 targets have an error: 2 are cut" in " ".join(failed["warnings"])
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert all(len(line["error"]["message"]) == 200 for line in lines)


def test_no_other_starts_before_all_canaries_are_well(fleet: Fleet) -> None:
    fleet.project.query("create schema three; create table three.t (n int)")
    stopped = fleet.run("migrate", "--create-schema", "--canary", "3", "--tolerate", "50%")
    assert list(states(stopped).values()) == [
        "current", "current", "failed", "not started", "not started", "not started",
    ]  # fmt: skip
    assert "a canary failed" in stopped["error"]["message"]
    assert stopped["exit_code"] == 3


def test_no_more_start_after_more_failed_than_may(fleet: Fleet) -> None:
    fleet.project.query("create schema one; create table one.t (n int)")
    stopped = fleet.run("migrate", "--create-schema", "--at-once", "1")
    assert list(states(stopped).values()) == ["failed", *["not started"] * 5]
    going_on = fleet.run("migrate", "--create-schema", "--tolerate", "17%")  # of six: one
    assert list(states(going_on).values()) == ["failed", *["current"] * 5]


def test_one_approval_is_for_all_targets_in_the_same_state(fleet: Fleet) -> None:
    fleet.project.run("migrate", "--schema", "two", "--create-schema", "--target", "1")
    fleet.list(schemas=["one", "two", "three"])
    planned = fleet.run("plan")
    groups = planned["data"]["groups"]
    assert [(group["targets"], group["files"]) for group in groups] == [
        (2, ["V1__t.sql", "V2__u.sql"]), (1, ["V2__u.sql"]),
    ]  # fmt: skip
    digests = [group["digest"] for group in groups]
    partly = fleet.run("migrate", "--create-schema", "--plan-digest", digests[0], "--tolerate", "1")
    assert states(partly) == {"one": "current", "two": "failed", "three": "current"}
    assert "not what was approved" in partly["data"]["members"][1]["error"]
    # By itself, too: the digest says which state it approves.
    alone = ("migrate", "--schema", "two", "--plan-digest")
    assert fleet.project.run(*alone, digests[0])["exit_code"] == 7
    assert fleet.project.run(*alone, ",".join(digests))["error"] is None
    assert fleet.project.run("migrate", "--plan-digest", ",")["exit_code"] == 2


def test_first_target_of_each_state_is_planned_in_full(fleet: Fleet) -> None:
    begun = fleet.project.run("migrate", "--schema", "two", "--create-schema", "--target", "1")
    assert begun["error"] is None, begun
    fleet.list(schemas=["one", "two", "three"])
    planned = fleet.run("plan")
    groups = planned["data"]["groups"]
    seen = [[file["file"] for file in group["plan"]["files"]] for group in groups]
    assert seen == [["V1__t.sql", "V2__u.sql"], ["V2__u.sql"]]
    _, said, _ = fleet.project.text("fleet", "plan", "--targets", str(fleet.path))
    assert "as two sees it: " in said
    assert "create table u (n int);" in said


def test_target_that_cannot_be_planned_in_full_is_a_warning(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise RunnerError("no room")

    fleet.list(schemas=["one"])
    monkeypatch.setattr("runner.commands.ways.plan", refused)
    planned = fleet.run("plan")
    assert planned["warnings"][-1] == "one could not be planned in full: no room"
    assert (planned["error"], "plan" in planned["data"]["groups"][0]) == (None, False)


def test_files_that_wait_for_the_new_code_leave_targets_behind_and_the_fleet_green(
    fleet: Fleet,
) -> None:
    fleet.list(schemas=["a", "b"])
    fleet.project.file("V3__d.sql", "-- runner: after deploy\ndrop table u")
    for options, state in ((("--create-schema",), "behind"), (("--after-deploy",), "current")):
        document = fleet.run("migrate", *options)
        assert (document["error"], set(states(document).values())) == (None, {state})


def test_approval_holds_for_what_a_stopped_run_did_not_get_to_and_for_nothing_else(
    fleet: Fleet,
) -> None:
    project = fleet.project
    fleet.list(schemas=["one", "two"])
    project.query("create schema two; create table two.u (n int)")
    digest = fleet.run("plan")["data"]["groups"][0]["digest"]
    again = ("migrate", "--create-schema", "--plan-digest", digest, "--tolerate", "1")
    assert states(fleet.run(*again)) == {"one": "current", "two": "failed"}
    assert project.history("two") == [("1", "applied")]
    added = project.file("V3__later.sql", "select 1")
    assert states(fleet.run(*again)) == {"one": "failed", "two": "failed"}  # approved by nobody
    added.unlink()
    project.query("drop table two.u")
    done = fleet.run(*again)
    assert (done["error"], set(states(done).values())) == (None, {"current"})
    project.file("U2__u.sql", "drop table u")
    project.run("rollback", "--steps", "1", "--yes", "--schema", "two")
    assert states(fleet.run(*again)) == {"one": "current", "two": "failed"}  # it is another state


@pytest.fixture
def held(fleet: Fleet, bystander: Connection) -> Connection:
    """Keep `one` from being finished, whose schema is there."""
    fleet.project.query("create schema one; create table one.t (n int)")
    fleet.project.file("V1__t.sql", "create table if not exists t (n int); lock table t")
    bystander.cursor().execute("lock table one.t")
    return bystander


_WAITING = "select exists (select from pg_stat_activity where wait_event_type = 'Lock')"
_THREE_DONE = "select count(*) >= 3 from pg_class where relname = 'u'"


def test_worker_that_is_killed_is_one_failed_target(
    fleet: Fleet, held: Connection, wait_for: Callable[[str], None]
) -> None:
    process = fleet.start("--at-once", "1", "--tolerate", "1")
    wait_for(_WAITING)
    os.kill(children(process)[0], signal.SIGKILL)
    document = fleet.project.finish(process)
    held.rollback()
    assert list(states(document).values()) == ["failed", *["current"] * 5]
    assert "signal SIGKILL" in document["data"]["members"][0]["error"]
    assert fleet.run("migrate")["error"] is None


def test_fleet_that_is_killed_is_gone_on_with_and_nothing_is_lost(
    fleet: Fleet, held: Connection, wait_for: Callable[[str], None]
) -> None:
    process = fleet.start("--at-once", "2")
    wait_for(_WAITING)
    wait_for(_THREE_DONE)
    process.kill()
    process.communicate()
    held.rollback()
    document = fleet.run("migrate", "--create-schema")
    assert (document["error"], set(states(document).values())) == (None, {"current"})
    for name in TENANTS:
        assert fleet.project.history(name) == [("1", "applied"), ("2", "applied")]


def test_first_signal_lets_what_runs_end_and_the_second_cancels_it(
    fleet: Fleet, held: Connection, wait_for: Callable[[str], None]
) -> None:
    process = fleet.start("--at-once", "1", "--lock-timeout", "60s")
    wait_for(_WAITING)
    process.send_signal(signal.SIGINT)
    assert process.stderr
    assert "interrupted" in process.stderr.readline()
    assert fleet.project.query(_WAITING) == [(True,)]
    process.send_signal(signal.SIGINT)
    document = fleet.project.finish(process)
    held.rollback()
    assert list(states(document).values()) == ["failed", *["not started"] * 5]
    assert document["exit_code"] == 130


def test_files_that_change_meanwhile_end_the_fleet(
    fleet: Fleet, held: Connection, wait_for: Callable[[str], None]
) -> None:
    process = fleet.start("--at-once", "1", "--tolerate", "5")
    wait_for(_WAITING)
    fleet.project.file("V3__more.sql", "select 1")
    os.kill(children(process)[0], signal.SIGKILL)  # the next worker reads the folder anew
    document = fleet.project.finish(process)
    assert (document["exit_code"], "were changed" in document["error"]["message"]) == (2, True)


def test_list_of_results_that_cannot_be_written_stops_nothing(fleet: Fleet) -> None:
    document = fleet.run("migrate", "--create-schema", "--results", "/dev/full")
    assert set(states(document).values()) == {"current"}
    assert "--results is not whole: No space left on device" in document["warnings"]


def test_common_schema_and_a_targets_own_database(fleet: Fleet, bystander: Connection) -> None:
    name = bystander.info.dbname
    fleet.path.write_text(json.dumps([{"name": "shop", "dbname": name}, {"schema": "b"}]))
    options = ("--schema", "app", "--create-schema")
    document = fleet.run("migrate", *options)
    assert document["error"] is None
    assert [member["target"]["schema"] for member in document["data"]["members"]] == ["app", "b"]


def test_plan_of_a_target_that_was_changed_meanwhile_is_not_shown_for_the_others(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.list(schemas=["one", "two"])
    whole = ways.plan

    def late(*arguments: Any) -> Any:
        fleet.project.run("migrate", "--schema", "one", "--create-schema")
        fleet.project.run("migrate", "--schema", "two", "--create-schema")
        return whole(*arguments)

    monkeypatch.setattr(ways, "plan", late)
    planned = fleet.run("plan")
    (group,) = planned["data"]["groups"]
    assert (group["files"], "plan" in group) == (["V1__t.sql", "V2__u.sql"], False)
    assert planned["warnings"][-1].endswith("was changed meanwhile")


def test_where_nothing_is_to_run_a_plan_tells_which_runner_is_there(fleet: Fleet) -> None:
    fleet.list(schemas=["one"])
    fleet.run("migrate", "--create-schema")
    (group,) = fleet.run("plan")["data"]["groups"]
    assert (group["files"], group["plan"]["files"]) == ([], [])
    assert group["plan"]["runner"].startswith("sha256:")
