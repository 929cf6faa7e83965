"""A fleet by the role's own state machine, on an emulated AWS: real Lambdas, real databases."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from local.stack import Stack
from local.state import CLONE
from runner.engine.lock import key
from tests.aws import REGION, package_of_runner, trusting
from tests.local.known import until_known
from tests.policies.rendered import document
from tests.runner.project import Project

HERE, THERE = "333300004444", "333300005555"
TEMPLATES = CLONE / "roles/fleet/templates"
TENANTS = ["t_1", "t_2", "t_3", "t_4"]
NAME = "shop-fleet"
FUNCTION = "shop-runner"
BUCKET = "shop-files"


def function_arn(account: str) -> str:
    return f"arn:aws:lambda:{REGION}:{account}:function:{FUNCTION}"


VARIABLES = {
    "fleet_name": NAME,
    "fleet_account_id": HERE,
    "fleet_region": REGION,
    "fleet_bucket": BUCKET,
    "fleet_function": function_arn(HERE),
    "fleet_functions": [],
    "fleet_roles": [f"arn:aws:iam::{THERE}:role/shop-invoke"],
    "fleet_at_once": 2,
}


def package(folder: Path) -> bytes:
    """Return the function's package with a folder's migrations."""
    return package_of_runner({f"sql/{path.name}": path.read_bytes() for path in folder.iterdir()})


def make_function(stack: Stack, account: str) -> None:
    iam, client = stack.client("iam", account), stack.client("lambda", account)
    trust = json.dumps(trusting("lambda.amazonaws.com"))
    role = iam.create_role(RoleName="runner", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    read = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [read]})
    iam.put_role_policy(RoleName="runner", PolicyName="files", PolicyDocument=policy)
    until_known(
        client.create_function,
        FunctionName=FUNCTION,
        Runtime="python3.11",
        Handler="runner.handler.handle",
        Role=role,
        Timeout=60,
        Code={"ZipFile": package(CLONE / "sql")},
    )
    for alias in ("read", "live"):
        client.create_alias(FunctionName=FUNCTION, Name=alias, FunctionVersion="$LATEST")


def make_machine(stack: Stack, right: str) -> None:
    """Make a state machine and its role of the templates of the role `fleet`."""
    iam, states = stack.client("iam", HERE), stack.client("stepfunctions", HERE)
    name, given = f"{NAME}-{right}", {**VARIABLES, "item": right, "fleet_name": NAME}
    trust, policy, machine = (
        json.dumps(document(TEMPLATES / f"{each}.yml.j2", "dev", **given))
        for each in ("trust", "policy", "machine")
    )
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="fleet", PolicyDocument=policy)
    until_known(states.create_state_machine, name=name, definition=machine, roleArn=role)


@pytest.fixture(scope="module")
def made(stack: Stack) -> Iterator[Stack]:
    """Make functions in two accounts, the fleet's state machines in one of them."""
    stack.client("s3", HERE).create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    for account in (HERE, THERE):
        make_function(stack, account)
    for right in ("read", "live"):
        make_machine(stack, right)
        trust = trusting("lambda.amazonaws.com")
        trust["Statement"][0]["Principal"] = {"AWS": f"arn:aws:iam::{HERE}:role/{NAME}-{right}"}
        allowed = {
            "Effect": "Allow",
            "Action": "lambda:InvokeFunction",
            "Resource": f"{function_arn(THERE)}:{right}",
        }
        iam, name = stack.client("iam", THERE), f"shop-invoke-{right}"
        until_known(iam.create_role, RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_role_policy(RoleName=name, PolicyName="invoke", PolicyDocument=policy)
    yield stack
    for account in (HERE, THERE):
        stack.client("lambda", account).delete_function(FunctionName=FUNCTION)


class Fleet:
    """The functions on the test's database, and the fleet's commands by the state machines."""

    def __init__(self, stack: Stack, project: Project, login: dict[str, str]) -> None:
        self.stack, self.project, self.login = stack, project, login
        self.path = project.folder.parent / "targets.json"
        project.file("V1__t.sql", "create table t (n int)")
        project.file("V2__u.sql", "create table u (n int); insert into t values (1)")
        self.targets({"schema": schema} for schema in TENANTS)

    def targets(self, entries: Any) -> None:
        self.path.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))

    def deploy(self, account: str = HERE, timeout: int = 60, **variables: str) -> None:
        """Give a function the project's files, and variables beside its own."""
        client, name = self.stack.client("lambda", account), FUNCTION
        client.update_function_code(FunctionName=name, ZipFile=package(self.project.folder))
        client.get_waiter("function_updated_v2").wait(FunctionName=name)
        given = {"SCHEMAS": '["*"]', **self.login, **variables}
        client.update_function_configuration(
            FunctionName=name, Timeout=timeout, Environment={"Variables": given}
        )
        client.get_waiter("function_updated_v2").wait(FunctionName=name)

    def words(self, command: str, *options: str) -> list[str]:
        right = "live" if command == "migrate" else "read"
        machine = f"arn:aws:states:{REGION}:{HERE}:stateMachine:{NAME}-{right}"
        words = ["fleet", command, "--targets", str(self.path), "--state-machine", machine]
        return [*words, *(["--create-schema"] if command == "migrate" else []), *options]

    def __call__(self, command: str, *options: str) -> dict[str, Any]:
        return self.project.run(*self.words(command, *options))

    def newest(self) -> dict[str, Any]:
        """Return the newest execution of the machine that migrates."""
        machine = f"arn:aws:states:{REGION}:{HERE}:stateMachine:{NAME}-live"
        states = self.stack.client("stepfunctions", HERE)
        found = states.list_executions(stateMachineArn=machine)["executions"]
        newest: dict[str, Any] = max(found, key=lambda each: each["startDate"])
        return newest


@pytest.fixture
def fleet(
    made: Stack, project: Project, login: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Fleet:
    for name, value in made.environment(HERE).items():
        monkeypatch.setenv(name, value)
    return Fleet(made, project, login)


def states(found: dict[str, Any]) -> dict[str, str]:
    return {member["name"]: member["state"] for member in found["data"]["members"]}


def test_one_digest_approves_all_targets_and_a_second_run_finds_nothing_to_do(
    fleet: Fleet,
) -> None:
    fleet.deploy(REQUIRE_PLAN_DIGEST="true")
    (group,) = fleet("plan")["data"]["groups"]
    assert (group["targets"], group["files"]) == (4, ["V1__t.sql", "V2__u.sql"])
    refused = fleet("migrate")
    assert set(states(refused).values()) <= {"failed", "not started", "incomplete"}
    assert "approved plans only" in refused["error"]["details"][0]
    other = fleet("migrate", "--plan-digest", "fleet:sha256:0")
    assert other["error"]["kind"] == "refused"
    done = fleet("migrate", "--plan-digest", group["digest"], "--canary", "1")
    assert (done["error"], done["outcome"]) == (None, "applied")
    for member, schema in zip(done["data"]["members"], TENANTS, strict=True):
        assert member["target"]["schema"] == schema
        assert (member["state"], member["version"], member["applied"]) == ("current", "2", 2)
        assert fleet.project.history(schema) == [("1", "applied"), ("2", "applied")]
    assert done["data"]["files"].startswith("sha256:")
    assert fleet("migrate", "--plan-digest", group["digest"])["outcome"] == "noop"
    status = fleet("status", "--check")
    assert (status["exit_code"], set(states(status).values())) == (0, {"current"})


def test_target_that_cannot_be_done_is_a_line_and_one_of_another_account_is_reached(
    fleet: Fleet,
) -> None:
    fleet.project.query(
        "create schema foreign_history; create table foreign_history.schema_version (n int)"
    )
    fleet.deploy()
    fleet.deploy(THERE)
    there = {"function": function_arn(THERE), "role": f"arn:aws:iam::{THERE}:role/shop-invoke"}
    stranger = {**there, "role": f"arn:aws:iam::{THERE}:role/somebody"}
    gone = {"function": function_arn(HERE).replace(FUNCTION, "gone")}
    fleet.targets([
        {"schema": "foreign_history"}, {"schema": "t_1"},
        {"name": "there", "schema": "t_2", **there},
        {"name": "not ours", "schema": "t_3", **stranger},
        {"name": "gone", **gone},
    ])  # fmt: skip
    lines = fleet.path.with_name("lines")
    done = fleet("migrate", "--tolerate", "3", "--results", str(lines))
    assert states(done) == {
        "foreign_history": "differs", "t_1": "current", "there": "current", "not ours": "failed",
        "gone": "failed",
    }  # fmt: skip
    assert done["exit_code"] == 6  # the first one's
    told = {member["name"]: member["error"] for member in done["data"]["members"]}
    assert "not this runner's" in told["foreign_history"]
    assert "not authorized to perform: sts:AssumeRole" in told["not ours"]
    assert "not authorized to perform: lambda:InvokeFunction" in told["gone"]
    assert fleet.project.history("t_2") == [("1", "applied"), ("2", "applied")]
    assert len(lines.read_text().splitlines()) == 5


def test_canary_that_does_not_answer_keeps_the_others_from_being_started(fleet: Fleet) -> None:
    fleet.deploy(THERE, 10, DATABASE_URL="postgresql://u@127.0.0.1:1/d?sslmode=verify-full")
    dead = {"function": function_arn(THERE), "role": f"arn:aws:iam::{THERE}:role/shop-invoke"}
    fleet.targets([{"name": "dead", "schema": "t_0", **dead}, *({"schema": t} for t in TENANTS)])
    stopped = fleet("migrate", "--canary", "1", "--tolerate", "100%")
    assert list(states(stopped).values()) == ["unreachable", *["not started"] * 4]
    assert (stopped["exit_code"], stopped["error"]["kind"]) == (9, "unreachable")
    assert "a canary failed" in stopped["error"]["message"]


class Held:
    """The first target's lock, which keeps its run waiting."""

    def __init__(self, url: str, wait_for: Callable[[str], None]) -> None:
        self._session, self._wait_for = psycopg2.connect(url), wait_for
        self._session.cursor().execute(f"select pg_advisory_lock({key('t_1')})")

    def until_the_others_are_done(self) -> None:
        self._wait_for("select count(*) = 3 from pg_tables where tablename = 'u'")

    def release(self) -> None:
        self._session.close()


@pytest.fixture
def held(fleet: Fleet, wait_for: Callable[[str], None]) -> Iterator[Held]:
    fleet.deploy(timeout=30)
    lock = Held(fleet.project.url, wait_for)
    yield lock
    lock.release()


def test_fleet_that_is_stopped_goes_on_with_what_is_left(fleet: Fleet, held: Held) -> None:
    process = fleet.project.start(*fleet.words("migrate", "--run-id", "deploy-6"))
    held.until_the_others_are_done()
    process.send_signal(signal.SIGTERM)
    stopped = fleet.project.finish(process)
    assert list(states(stopped).values()) == ["incomplete", *["current"] * 3]
    assert (stopped["exit_code"], stopped["outcome"]) == (8, "incomplete")
    assert fleet.newest()["status"] == "ABORTED"
    held.release()
    going_on = fleet("migrate", "--run-id", "deploy-6")
    assert (going_on["error"], set(states(going_on).values())) == (None, {"current"})
    assert fleet.project.history("t_2") == [("1", "applied"), ("2", "applied")]


def test_fleet_whose_coordinator_was_killed_is_followed_again_by_its_run_id(
    fleet: Fleet, held: Held
) -> None:
    process = fleet.project.start(*fleet.words("migrate", "--run-id", "deploy 7"))
    held.until_the_others_are_done()
    process.kill()
    process.communicate()
    other = fleet("migrate", "--run-id", "deploy 7", "--tolerate", "1")
    assert "another --run-id" in other["error"]["fix"]
    held.release()
    done = fleet("migrate", "--run-id", "deploy 7")
    assert (done["error"], set(states(done).values())) == (None, {"current"})
    assert [member["applied"] for member in done["data"]["members"]] == [2] * 4


def test_files_that_are_sent_are_planned_in_every_target_and_shown_in_full(fleet: Fleet) -> None:
    fleet.deploy(FILES_BUCKET=BUCKET)
    fleet.deploy(THERE)  # has no bucket to take files from
    fleet("migrate")
    fleet.project.file("V3__v.sql", "alter table t add v int")
    fleet.project.file("V4__w.sql", "-- runner: after deploy\ndrop table u")
    planned = fleet("plan", "--send-files")
    assert planned["error"] is None, planned
    (group,) = planned["data"]["groups"]
    assert (group["targets"], group["files"], group["held"]) == (4, ["V3__v.sql"], 1)
    (seen,) = group["plan"]["files"]
    assert (seen["sql"], seen["locks"][0]["relation"]) == ("alter table t add v int", "t")
    assert fleet("plan")["data"]["groups"][0]["files"] == []  # its own are as they were
    there = {"function": function_arn(THERE), "role": f"arn:aws:iam::{THERE}:role/shop-invoke"}
    fleet.targets([{"schema": "t_1"}, {"name": "there", "schema": "t_9", **there}])
    elsewhere = fleet("plan", "--send-files")
    assert states(elsewhere) == {"t_1": "behind", "there": "failed"}
    assert "FILES_BUCKET" in elsewhere["data"]["members"][1]["error"]


def test_target_that_answers_to_the_machine_only_is_not_the_one_that_is_shown(fleet: Fleet) -> None:
    fleet.deploy()
    named = {"name": "named", "schema": "t_0", "function": function_arn(HERE)}
    fleet.targets([named, {"schema": "t_1"}])
    (group,) = fleet("plan")["data"]["groups"]
    assert (group["examples"], len(group["plan"]["files"])) == (["t_1", "named"], 2)
    fleet.targets([named])
    (group,) = fleet("plan")["data"]["groups"]
    assert (group["files"], "plan" in group) == (["V1__t.sql", "V2__u.sql"], False)


def test_machine_that_plans_with_files_of_its_own_is_not_believed(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was made before there were files to send."""
    fleet.deploy(FILES_BUCKET=BUCKET)
    fleet.project.file("V3__v.sql", "create table v (n int)")
    monkeypatch.setattr("runner.fleet.machine.Machine._sent", lambda *_: None)
    planned = fleet("plan", "--send-files")
    assert set(states(planned).values()) == {"failed"}
    assert "files of its own" in planned["data"]["members"][0]["error"]


def test_where_there_is_no_machine_yet_everything_is_new_and_its_digest_is_the_one_asked_for(
    fleet: Fleet,
) -> None:
    fleet.deploy(REQUIRE_PLAN_DIGEST="true")
    none = [word.replace(f":{NAME}-", ":none-yet-") for word in fleet.words("plan")]
    missing = fleet.project.run(*none)
    assert (missing["exit_code"], "there is no state machine" in missing["error"]["message"]) == (
        9, True,
    )  # fmt: skip
    first = fleet.project.run(*none, "--send-files", "--first")
    (group,) = first["data"]["groups"]
    assert (group["targets"], group["files"]) == (4, ["V1__t.sql", "V2__u.sql"])
    assert [file["file"] for file in group["plan"]["files"]] == group["files"]
    assert "everything is new" in first["warnings"][0]
    done = fleet("migrate", "--plan-digest", group["digest"])
    assert (done["error"], set(states(done).values())) == (None, {"current"})


def test_what_failed_is_tried_again_under_the_same_run_id_and_a_look_is_a_new_one(
    fleet: Fleet,
) -> None:
    fleet.project.query("create schema t_3; create table t_3.u (n int)")
    fleet.deploy()
    again = ("--run-id", "deploy-8", "--tolerate", "1")
    assert states(fleet("migrate", *again))["t_3"] == "failed"
    looked = fleet("status", "--run-id", "look-8")
    assert states(looked)["t_3"] == "behind"
    fleet.project.query("drop table t_3.u")
    done = fleet("migrate", *again)
    assert (done["error"], set(states(done).values())) == (None, {"current"})
    assert (done["data"]["held"], done["data"]["carried"]) == (0, done["data"]["files"])
    assert set(states(fleet("status", "--run-id", "look-8")).values()) == {"current"}


def test_what_a_machine_does_not_heed_is_told(fleet: Fleet) -> None:
    fleet.deploy()
    looked = fleet("status", "--lock-wait", "1", "--schema", "t_1")
    (said,) = looked["warnings"]
    assert said.startswith("--schema, --lock-wait: not heeded")


def test_what_of_files_is_sent_is_for_a_machine_only(fleet: Fleet) -> None:
    targets = ("--targets", str(fleet.path))
    for flag in ("--send-files", "--first"):
        refused = fleet.project.run("fleet", "plan", *targets, flag)
        assert refused["error"]["message"].startswith(f"{flag} is for a --state-machine")
