"""The emulated Step Functions has the limits of AWS's, and asks IAM for the machine's role."""

import io
import json
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import botocore.exceptions
import pytest

from local.stack import Stack
from tests.aws import REGION, trusting
from tests.local.known import until_known
from tests.policies.rendered import ROOT, document

ACCOUNT = "333300006666"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:each"
MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:each-live"
BUCKET = "each-files"
VARIABLES = {
    "item": "live",
    "fleet_name": "each",
    "fleet_account_id": ACCOUNT,
    "fleet_region": REGION,
    "fleet_bucket": BUCKET,
    "fleet_function": FUNCTION,
    "fleet_functions": [],
    "fleet_roles": [],
    "fleet_at_once": 2,
}
# Each target says what its function does.
HANDLER = """
import time
class RunFailed(Exception): pass
def handle(event, context):
    what = event["target"]["name"]
    if what == "large": return "x" * 262_143
    if what == "fails": raise RunFailed("y" * 40_000)
    if what == "sleeps": time.sleep(20)
    return what
"""


def rendered(name: str) -> str:
    return json.dumps(document(ROOT / f"roles/fleet/templates/{name}.yml.j2", "dev", **VARIABLES))


@pytest.fixture(scope="module")
def states(stack: Stack) -> Iterator[Any]:
    """Make a function and the machine that calls it; give a client."""
    iam, client = stack.client("iam", ACCOUNT), stack.client("lambda", ACCOUNT)
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as file:
        file.writestr("each.py", HANDLER)
    trust = json.dumps(trusting("lambda.amazonaws.com"))
    role = iam.create_role(RoleName="each", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    until_known(
        client.create_function,
        FunctionName="each",
        Runtime="python3.11",
        Handler="each.handle",
        Role=role,
        Timeout=60,
        Code={"ZipFile": package.getvalue()},
    )
    client.create_alias(FunctionName="each", Name="live", FunctionVersion="$LATEST")
    stack.client("s3", ACCOUNT).create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    role = iam.create_role(RoleName="each-live", AssumeRolePolicyDocument=rendered("trust"))
    iam.put_role_policy(RoleName="each-live", PolicyName="p", PolicyDocument=rendered("policy"))
    made = stack.client("stepfunctions", ACCOUNT)
    given = {"definition": rendered("machine"), "roleArn": role["Role"]["Arn"]}
    with pytest.raises(botocore.exceptions.ClientError, match="authorized to assume"):
        made.create_state_machine(name="each-live", **given)
    made.create_state_machine(name="each-live", **given)
    yield made
    made.delete_state_machine(stateMachineArn=MACHINE)
    client.delete_function(FunctionName="each")


class Machine:
    def __init__(self, stack: Stack, states: Any) -> None:
        self.states, self.s3 = states, stack.client("s3", ACCOUNT)
        self.iam = stack.client("iam", ACCOUNT)

    def start(self, *names: str, tolerated: object = 0, **more: Any) -> str:
        """Start an execution for targets of these names; return its ARN."""
        lines = "".join(f"{json.dumps({'name': name})}\n" for name in names)
        self.s3.put_object(Bucket=BUCKET, Key="fleets/each-live/list", Body=lines.encode())
        given = {
            "others": "fleets/each-live/list", "results": "fleets/each-live/results",
            "tolerated": tolerated, "command": "migrate", "run_id": "r", "options": {},
            "files": None, **more,
        }  # fmt: skip
        begun = self.states.start_execution(stateMachineArn=MACHINE, input=json.dumps(given))
        return str(begun["executionArn"])

    def end(self, arn: str) -> dict[str, Any]:
        until = time.monotonic() + 30
        while (found := self.states.describe_execution(executionArn=arn))["status"] == "RUNNING":
            assert time.monotonic() < until
            time.sleep(0.05)
        return dict(found)

    def counts(self, arn: str) -> dict[str, int]:
        (run,) = self.states.list_map_runs(executionArn=arn)["mapRuns"]
        found = self.states.describe_map_run(mapRunArn=run["mapRunArn"])["itemCounts"]
        return {name: number for name, number in found.items() if number}

    def results(self, arn: str) -> dict[str, list[dict[str, Any]]]:
        """Return what the execution's map run wrote, by the kind of it."""
        (run,) = self.states.list_map_runs(executionArn=arn)["mapRuns"]
        at = f"fleets/each-live/results/{run['mapRunArn'].rpartition(':')[2]}/manifest.json"
        files = json.loads(self._read(at))["ResultFiles"]
        return {
            kind: [json.loads(line) for file in of for line in self._read(file["Key"]).splitlines()]
            for kind, of in files.items()
        }

    def _read(self, key: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())


@pytest.fixture
def machine(stack: Stack, states: Any) -> Machine:
    return Machine(stack, states)


def test_as_many_may_fail_as_are_tolerated_and_what_came_of_each_is_written(
    machine: Machine,
) -> None:
    arn = machine.start("a", "fails", "large", "b", tolerated=2)
    assert machine.end(arn)["status"] == "SUCCEEDED"
    assert machine.counts(arn) == {"succeeded": 2, "failed": 2, "total": 4}
    found = machine.results(arn)
    assert sorted(json.loads(each["Output"]) for each in found["SUCCEEDED"]) == ["a", "b"]
    failed = {json.loads(each["Input"])["target"]["name"]: each for each in found["FAILED"]}
    assert failed["large"]["Error"] == "States.DataLimitExceeded"
    assert failed["fails"]["Error"] == "RunFailed"
    assert len(failed["fails"]["Cause"]) == 32_768


def test_one_more_ends_the_run_and_what_is_under_way_is_aborted(machine: Machine) -> None:
    arn = machine.start("sleeps", "fails", "a", "b")
    ended = machine.end(arn)
    assert ended["error"] == "States.ExceedToleratedFailureThreshold"
    assert machine.counts(arn) == {"aborted": 1, "failed": 1, "pending": 2, "total": 4}
    found = machine.results(arn)
    assert {each["Status"] for each in found["FAILED"]} == {"ABORTED", "FAILED"}
    assert len(found["PENDING"]) == 2


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"others": "fleets/each-live/none"}, "States.ItemReaderFailed"),
        ({"others": "fleets/each-read/list"}, "States.ItemReaderFailed"),
        ({"results": "fleets/each-read"}, "States.ResultWriterFailed"),
        ({"tolerated": "1"}, "States.Runtime"),
    ],
    ids=["no list", "another's list", "another's results", "no number"],
)
def test_what_cannot_be_read_or_written_fails_the_execution(
    machine: Machine, more: dict[str, Any], error: str
) -> None:
    assert machine.end(machine.start("a", **more))["error"] == error


def test_role_that_may_not_call_the_function_fails_each_target(machine: Machine) -> None:
    policy = json.loads(rendered("policy"))
    policy["Statement"] = [each for each in policy["Statement"] if each["Sid"] != "Runner"]
    given = {"RoleName": "each-live", "PolicyName": "p"}
    machine.iam.put_role_policy(**given, PolicyDocument=json.dumps(policy))
    arn = machine.start("a", tolerated=1)
    assert machine.end(arn)["status"] == "SUCCEEDED"
    (failed,) = machine.results(arn)["FAILED"]
    machine.iam.put_role_policy(**given, PolicyDocument=rendered("policy"))
    assert "not authorized to perform: lambda:InvokeFunction" in failed["Cause"]


def test_definition_and_input_that_aws_would_not_take_are_refused(machine: Machine) -> None:
    change = machine.states.update_state_machine
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidDefinition"):
        change(stateMachineArn=MACHINE, definition='{"StartAt": "a", "States": {}}')
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidExecutionInput"):
        machine.start("a", options={"plan_digest": "x" * 262_144})


def test_name_of_an_execution_is_taken_once_but_by_who_asks_for_the_same(machine: Machine) -> None:
    start = machine.states.start_execution
    machine.start("sleeps")
    given = {
        "others": "fleets/each-live/list", "results": "fleets/each-live/results", "tolerated": 0,
        "command": "migrate", "run_id": "r", "options": {}, "files": None,
    }  # fmt: skip
    same = {"stateMachineArn": MACHINE, "name": "once", "input": json.dumps(given)}
    arn = start(**same)["executionArn"]
    assert start(**same)["executionArn"] == arn
    with pytest.raises(botocore.exceptions.ClientError, match="ExecutionAlreadyExists"):
        start(**{**same, "input": json.dumps({**given, "tolerated": 1})})
    machine.states.stop_execution(executionArn=arn)
    assert machine.end(arn)["status"] == "ABORTED"
    with pytest.raises(botocore.exceptions.ClientError, match="ExecutionAlreadyExists"):
        start(**same)
