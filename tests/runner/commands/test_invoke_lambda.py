"""Every way in which a call of the function can end, on the emulated Lambda: green is proved."""

import contextlib
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from local.stack import Stack
from runner import cli
from runner.commands import invoke as module
from runner.engine.lock import key
from tests.aws import package_of_runner, trusting
from tests.local.known import until_known
from tests.runner.project import Project

ACCOUNT = "111122223333"
NAME = "invoked"
ARN = f"arn:aws:lambda:eu-central-1:{ACCOUNT}:function:{NAME}"
ABSENT = f"{ARN}-of-another-name"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/{NAME}"
TRUST = trusting("lambda.amazonaws.com")
# Functions that are not the runner, or that something befalls before it can answer.
ELSE = """
import json, os, time
from runner.handler import handle

def late(event, context): time.sleep(60)
def killed(event, context): handle(event, context); os.kill(os.getpid(), 9)
def raises(event, context): raise RuntimeError("no")
def garbage(event, context): return "<html>"
def nothing(event, context): return None
def gateway(event, context): return {"statusCode": 200, "body": json.dumps(handle(event, context))}
def large(event, context): return {**handle(event, context), "warnings": ["x" * 7_000_000]}
def another(event, context): return handle({**event, "run_id": "another"}, context)
"""


def package(folder: Path) -> bytes:
    """Return the function's package with a folder's migrations."""
    files = {f"sql/{path.name}": path.read_bytes() for path in folder.iterdir()}
    broken = {"otherwise.py": ELSE, "broken.py": "import no_such_driver\n"}
    return package_of_runner({**files, **broken})


@pytest.fixture(scope="module")
def made(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Make the function with its aliases; give its client."""
    iam, client = stack.client("iam", ACCOUNT), stack.client("lambda", ACCOUNT)
    iam.create_role(RoleName=NAME, AssumeRolePolicyDocument=json.dumps(TRUST))
    until_known(
        client.create_function,
        FunctionName=NAME,
        Runtime="python3.11",
        Handler="runner.handler.handle",
        Role=ROLE,
        Timeout=60,
        Code={"ZipFile": package(tmp_path_factory.mktemp("none"))},
    )
    for alias in ("read", "live", "admin"):
        client.create_alias(FunctionName=NAME, Name=alias, FunctionVersion="$LATEST")
    yield client
    client.delete_function(FunctionName=NAME)
    iam.delete_role(RoleName=NAME)


Call = Callable[..., dict[str, Any]]


class Function:
    """The function on a database of its own, and what the pipeline calls it with."""

    def __init__(self, client: Any, project: Project, login: dict[str, str]) -> None:
        self.client = client
        self.login = login
        self.project = project

    def deploy(
        self, *, handler: str = "runner.handler.handle", timeout: int = 60, **variables: str
    ) -> None:
        """Give the function the project's files, and variables beside its own."""
        variables |= self.login
        self.client.update_function_code(FunctionName=NAME, ZipFile=package(self.project.folder))
        self.client.get_waiter("function_updated_v2").wait(FunctionName=NAME)
        self.client.update_function_configuration(
            FunctionName=NAME,
            Handler=handler,
            Timeout=timeout,
            Environment={"Variables": variables},
        )
        self.client.get_waiter("function_updated_v2").wait(FunctionName=NAME)

    def __call__(
        self, *arguments: str, run_id: str = "run-1", alias: str = "live", name: str = ARN
    ) -> dict[str, Any]:
        """Return the result of `runner invoke`."""
        out = io.StringIO()
        call = ["invoke", "--function", f"{name}:{alias}", "--run-id", run_id, "--json"]
        sql = ["--sql-dir", str(self.project.folder)]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            code = cli.main([*call, *sql, *(arguments or ("migrate",))])
        document: dict[str, Any] = json.loads(out.getvalue())
        assert document["exit_code"] == code
        if document["error"]:
            assert "\n" not in document["error"]["message"]
        return document

    def log(self) -> list[tuple[str]]:
        """Return which files were ever run, in their order."""
        if self.project.query("select to_regclass('schema_version_log')") == [(None,)]:
            return []
        return self.project.query("select file from schema_version_log order by id")


@pytest.fixture
def function(
    made: Any,
    stack: Stack,
    project: Project,
    login: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Function:
    """Give the function on an empty database, with a migration that was not deployed yet."""
    for name, value in stack.environment(ACCOUNT).items():
        monkeypatch.setenv(name, value)
    project.file("V1__a.sql", "create table a ()")
    return Function(made, project, login)


def test_success_and_no_op_are_green(function: Function) -> None:
    function.deploy()
    assert (function()["outcome"], function(run_id="run-2")["outcome"]) == ("applied", "noop")


def test_schema_is_migrated_where_the_function_serves_it(function: Function) -> None:
    function.deploy(SCHEMAS='["t_*"]')
    done = function("migrate", "--create-schema", "--schema", "t_1")
    assert (done["outcome"], done["target"]["schema"]) == ("applied", "t_1")
    other = function("--schema", "t_1", "status", "--check", alias="read")
    assert (other["exit_code"], other["target"]["schema"]) == (0, "t_1")
    for refused in (function("migrate"), function("migrate", "--schema", "public")):
        assert (refused["exit_code"], refused["error"]["kind"]) == (2, "configuration")
    assert function.project.query("select to_regclass('t_1.a')::text, to_regclass('a')") == [
        ("t_1.a", None)
    ]


def test_sql_error_is_red_with_its_place(function: Function) -> None:
    function.project.file("V1__a.sql", "create table a ();\nselect 1 / 0")
    function.deploy()
    document = function()
    assert (document["outcome"], document["exit_code"]) == ("failed", 3)
    assert (document["error"]["file"], document["error"]["line"]) == ("sql/V1__a.sql", 2)


def test_lock_that_another_run_holds_is_red_and_names_it(function: Function) -> None:
    function.deploy(timeout=10)
    with contextlib.closing(psycopg2.connect(function.project.url)) as other:
        other.cursor().execute(f"select pg_advisory_lock({key('public')})")
        document = function()
    assert document["exit_code"] == 5
    assert "held by" in document["error"]["details"][0]
    assert function.log() == []


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        ("otherwise.late", "failed outside the runner (Unhandled)"),
        ("otherwise.killed", "failed outside the runner (Unhandled)"),
        ("otherwise.raises", "failed outside the runner (Unhandled)"),
        ("otherwise.large", "failed outside the runner (Unhandled)"),
        ("broken.handle", "failed outside the runner (Unhandled)"),
        ("no_such_module.handle", "failed outside the runner (Unhandled)"),
        ("otherwise.garbage", "the answer is no result"),
        ("otherwise.nothing", "the answer is no result"),
        ("otherwise.gateway", "the answer is no result"),
        ("otherwise.another", "the result is of run_id 'another', not 'run-1'"),
    ],
    ids=[
        "timeout", "out of memory", "raised", "over 6 MB", "import error", "no handler", "garbage",
        "null", "an api gateway answer", "another run's result",
    ],
)  # fmt: skip
def test_answer_that_proves_nothing_is_red(function: Function, handler: str, said: str) -> None:
    function.deploy(handler=handler, timeout=3 if handler.endswith("late") else 60)
    document = function()
    assert (document["exit_code"], document["error"]["kind"]) == (1, "unproved")
    assert document["error"]["message"] == f"{ARN}:live: {said}"
    assert "aws logs tail /aws/lambda/invoked" in document["error"]["fix"]


def test_function_that_died_after_its_work_tells_it_when_asked_again(function: Function) -> None:
    function.deploy(handler="otherwise.killed")
    assert function()["error"]["kind"] == "unproved"
    function.deploy()
    document = function()
    assert (document["outcome"], len(document["applied"])) == ("applied", 1)
    assert function.log() == [("V1__a.sql",)]


@pytest.fixture
def nobody(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Give a function that makes us a user without rights."""
    iam = stack.client("iam", ACCOUNT)
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]

    def become() -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])

    yield become
    iam.delete_access_key(UserName="nobody", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="nobody")


def test_caller_without_the_right_is_told_which_one(
    function: Function, nobody: Callable[[], None]
) -> None:
    function.deploy()
    nobody()
    document = function()
    assert (document["exit_code"], document["error"]["kind"]) == (9, "unreachable")
    assert document["error"]["fix"] == f"let this role lambda:InvokeFunction on {ARN}:live"
    assert function.log() == []


def test_function_that_is_not_there_is_red(function: Function) -> None:
    document = function(name=ABSENT)
    assert (document["exit_code"], document["error"]["kind"]) == (9, "unreachable")


def database(project: Project) -> str:
    """Return the name of a project's database."""
    return project.url.rpartition("/")[2].partition("?")[0]


@pytest.mark.parametrize("missing", ["function", "alias"])
def test_first_deployment_is_planned_as_new_and_migrates_by_that_digest(
    function: Function, missing: str
) -> None:
    function.project.file("R__v.sql", "create or replace view v as select 1 as one")
    absent = {"function": (ABSENT, "read"), "alias": (ARN, "coming")}[missing]
    first = ("--send-files", "--first", database(function.project), "plan")
    plan = function(*first, name=absent[0], alias=absent[1])
    assert (plan["outcome"], plan["exit_code"]) == ("planned", 0)
    assert [file["file"] for file in plan["data"]["files"]] == ["V1__a.sql", "R__v.sql"]
    assert plan["warnings"] == [f"there is no {absent[0]}:{absent[1]}: everything is new"]
    function.deploy()
    assert (
        function("--send-files", "plan", alias="read")["data"]["digest"] == (plan["data"]["digest"])
    )
    assert function("migrate", "--plan-digest", plan["data"]["digest"])["outcome"] == "applied"


def test_plan_of_a_first_deployment_serves_no_database_with_a_history(function: Function) -> None:
    first = ("--send-files", "--first", database(function.project), "plan")
    digest = function(*first, name=ABSENT, alias="read")["data"]["digest"]
    function.deploy()
    function(run_id="another")
    document = function("migrate", "--plan-digest", digest)
    assert (document["exit_code"], document["error"]["kind"]) == (7, "refused")


def test_denied_is_never_taken_for_a_first_deployment(
    function: Function, nobody: Callable[[], None]
) -> None:
    nobody()
    for name in (ARN, ABSENT):
        document = function("--send-files", "--first", "app", "plan", name=name, alias="read")
        assert (document["exit_code"], document["error"]["kind"]) == (9, "unreachable")
        assert "lambda:InvokeFunction" in document["error"]["fix"]


@pytest.mark.parametrize("call", [("--send-files", "--first", "app", "migrate"),
                                  ("--first", "app", "plan")])  # fmt: skip
def test_first_is_of_a_plan_of_files_that_are_sent_only(
    function: Function, call: tuple[str, ...]
) -> None:
    assert function(*call, name=ABSENT)["exit_code"] == 2


def test_alias_that_does_not_serve_the_command_is_red(function: Function) -> None:
    function.deploy()
    document = function("migrate", alias="read")
    assert (document["exit_code"], document["error"]["kind"]) == (2, "configuration")


def test_throttled_call_comes_again_until_it_is_let_in(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    function.deploy()
    function.client.put_function_concurrency(FunctionName=NAME, ReservedConcurrentExecutions=0)
    waited: list[float] = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        function.client.delete_function_concurrency(FunctionName=NAME)

    monkeypatch.setattr(module.time, "sleep", pause)
    assert function()["outcome"] == "applied"
    assert len(waited) == 1


def test_call_that_stays_throttled_is_red(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    function.deploy()
    function.client.put_function_concurrency(FunctionName=NAME, ReservedConcurrentExecutions=0)
    monkeypatch.setattr(module, "_READY_WAIT", -1)
    document = function()
    function.client.delete_function_concurrency(FunctionName=NAME)
    assert (document["exit_code"], document["error"]["kind"]) == (9, "unreachable")
    assert "TooManyRequestsException" in document["error"]["message"]
    assert function.log() == []


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an event hold next to nothing, so that any files are too large for it."""
    monkeypatch.setattr(module, "_IN_EVENT", 10)


@pytest.fixture
def bucket(stack: Stack) -> Iterator[str]:
    """Make a bucket that nobody was given a right to."""
    s3, name = stack.client("s3", ACCOUNT), "files-of-invoked"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield name
    for found in s3.list_objects_v2(Bucket=name).get("Contents", []):
        s3.delete_object(Bucket=name, Key=found["Key"])
    s3.delete_bucket(Bucket=name)


@pytest.fixture
def reader(stack: Stack, bucket: str) -> Iterator[None]:
    """Let the function's role read objects of the bucket, and nothing else."""
    iam = stack.client("iam", ACCOUNT)
    allowed = {
        "Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*",
    }  # fmt: skip
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_role_policy(RoleName=NAME, PolicyName="files", PolicyDocument=document)
    yield
    iam.delete_role_policy(RoleName=NAME, PolicyName="files")


def test_files_too_large_for_an_event_go_by_the_functions_bucket(
    function: Function, small: None, bucket: str, reader: None
) -> None:
    function.deploy(FILES_BUCKET=bucket)
    function.project.file("V2__b.sql", "create table b ()")
    plan = function("--send-files", "plan", alias="read")
    assert [file["file"] for file in plan["data"]["files"]] == ["V1__a.sql", "V2__b.sql"]
    assert function.log() == []


def test_function_that_may_not_read_the_object_says_what_it_lacks(
    function: Function, small: None, bucket: str
) -> None:
    function.deploy(FILES_BUCKET=bucket)
    document = function("--send-files", "plan", alias="read")
    assert (document["exit_code"], document["error"]["kind"]) == (9, "unreachable")
    assert f"let this role s3:GetObject on {bucket}" in document["error"]["fix"]


def test_object_that_is_not_what_its_name_says_is_no_plans_file(
    function: Function, small: None, bucket: str, reader: None, stack: Stack
) -> None:
    function.deploy(FILES_BUCKET=bucket)
    function("--send-files", "plan", alias="read")
    s3 = stack.client("s3", ACCOUNT)
    (found,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    s3.put_object(Bucket=bucket, Key=found["Key"], Body=b"of somebody else")
    event = {"command": "plan", "run_id": "r", "files": {"sha256": found["Key"]}}
    answer = function.client.invoke(FunctionName=f"{ARN}:read", Payload=json.dumps(event))
    assert "is not what its name says" in answer["Payload"].read().decode()


def test_files_too_large_for_an_event_are_refused_by_a_function_without_a_bucket(
    function: Function, small: None
) -> None:
    function.deploy()
    document = function("--send-files", "plan", alias="read")
    assert (document["exit_code"], document["error"]["kind"]) == (2, "configuration")
    assert "FILES_BUCKET" in document["error"]["message"]


def test_first_deployment_of_files_too_large_for_an_event_is_planned_as_new(
    function: Function, small: None
) -> None:
    plan = function("--send-files", "--first", "app", "plan", name=ABSENT, alias="read")
    assert (plan["outcome"], plan["exit_code"]) == ("planned", 0)


@contextlib.contextmanager
def losing_answers(port: int) -> Iterator[int]:
    """Pass what comes on to a port of this machine, and lose what is answered."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    caller, _ = listening.accept()
                    with caller, socket.create_connection(("127.0.0.1", port)) as to:
                        caller.settimeout(0.5)
                        with contextlib.suppress(TimeoutError):
                            while sent := caller.recv(65536):
                                to.sendall(sent)
                        to.recv(1)  # the answer has begun, so the work is done

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_lost_answer_is_red_and_asked_again_it_is_the_result_of_what_ran(
    function: Function, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    function.deploy()
    direct = stack.environment(ACCOUNT)["AWS_ENDPOINT_URL"]
    with losing_answers(int(direct.rpartition(":")[2])) as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        lost = function()
    assert (lost["exit_code"], lost["error"]["kind"]) == (1, "unproved")
    monkeypatch.setenv("AWS_ENDPOINT_URL", direct)
    again = function()
    assert [entry["file"] for entry in again["applied"]] == ["V1__a.sql"]
    assert function.log() == [("V1__a.sql",)]


def test_two_calls_of_one_run_run_it_once_and_both_tell_it(function: Function) -> None:
    function.project.file("V1__a.sql", "create table a (); select pg_sleep(2)")
    function.deploy()
    event = json.dumps({"command": "migrate", "run_id": "run-1", "options": {}}).encode()
    answers: list[Any] = []

    def call() -> None:
        answer = function.client.invoke(FunctionName=f"{ARN}:live", Payload=event)
        answers.append(json.loads(answer["Payload"].read()))

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer["outcome"] for answer in answers] == ["applied", "applied"]
    assert function.log() == [("V1__a.sql",)]
