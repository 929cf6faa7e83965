"""A fleet by a state machine, simulated: `python -m benchmarks.machine [TARGETS]`.

The emulated Step Functions calls an emulated Lambda for each target, which answers as the runner
does and touches no database: one in twenty fails, as loudly as a line may. What is measured is this
machine's side of it, the coordinator: its memory and processor time, and how much went through S3.
"""

import argparse
import io
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from local.stack import Stack
from local.state import ACCOUNT, REGION, State

NAME, BUCKET = "many-fleet-live", "many-files"
HANDLER = """
import json
class RunFailed(Exception): pass
def handle(event, context):
    target = event["target"]
    number, error = int(target["schema"].rpartition("_")[2]), None
    member = {"name": target["name"], "target": {"schema": target["schema"]}, "state": "current",
              "exit_code": 0, "version": "50", "applied": 50, "pending": 0, "duration_ms": 900,
              "error": None}
    if number % 20 == 0:
        error = {"kind": "migration", "message": "m" * 400, "fix": "f" * 400,
                 "details": ["d" * 400] * 5, "hint": "h" * 400, "excerpt": "e" * 400}
        member |= {"state": "failed", "exit_code": 3, "applied": 0, "error": "m" * 300}
    line = {"result_version": 1, "command": "migrate", "run_id": event["run_id"],
            "outcome": "failed" if error else "applied", "files": "sha256:1", "digest": None,
            "tasks": [], "warnings": [], "error": error, "member": member}
    if error:
        raise RunFailed(json.dumps(line))
    return line
"""


def main() -> None:
    """Measure it."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("targets", type=int, nargs="?", default=10_000)
    count = arguments.parse_args().targets
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(State.of_tests(Path(folder, "state")))
        stack.up()
        try:
            _make(stack)
            _measure(stack, Path(folder), count)
        finally:
            stack.down()


def _make(stack: Stack) -> None:
    """Make function, bucket and state machine, of the role's own template."""
    from tests.policies.rendered import ROOT, document  # noqa: PLC0415 - half a second

    iam, package = stack.client("iam"), io.BytesIO()
    with zipfile.ZipFile(package, "w") as file:
        file.writestr("each.py", HANDLER)
    everything = [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
    policy = json.dumps({"Version": "2012-10-17", "Statement": everything})
    for service in ("lambda", "states"):
        who = {"Service": f"{service}.amazonaws.com"}
        trust = [{"Effect": "Allow", "Principal": who, "Action": "sts:AssumeRole"}]
        document_ = json.dumps({"Version": "2012-10-17", "Statement": trust})
        iam.create_role(RoleName=service, AssumeRolePolicyDocument=document_)
        iam.put_role_policy(RoleName=service, PolicyName="all", PolicyDocument=policy)
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:each"
    role = f"arn:aws:iam::{ACCOUNT}:role/"
    client, states = stack.client("lambda"), stack.client("stepfunctions")
    given = {
        "item": "live", "fleet_name": "many-fleet", "fleet_bucket": BUCKET,
        "fleet_function": function, "fleet_at_once": 4,
    }  # fmt: skip
    machine = document(ROOT / "roles/fleet/templates/machine.yml.j2", "dev", **given)
    stack.client("s3").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    for attempt in (1, 2):  # what is new is not known everywhere at once
        try:
            client.create_function(
                FunctionName="each", Runtime="python3.11", Handler="each.handle", Timeout=60,
                Role=f"{role}lambda", Code={"ZipFile": package.getvalue()},
            )  # fmt: skip
            break
        except client.exceptions.InvalidParameterValueException:
            assert attempt == 1
    client.create_alias(FunctionName="each", Name="live", FunctionVersion="$LATEST")
    for attempt in (1, 2):
        try:
            states.create_state_machine(
                name=NAME, definition=json.dumps(machine), roleArn=f"{role}states"
            )
            break
        except states.exceptions.ClientError:
            assert attempt == 1


def _measure(stack: Stack, folder: Path, count: int) -> None:
    targets, saved = folder / "targets.json", folder / "saved.json"
    machine = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{NAME}"
    command = [
        sys.executable, "-m", "runner", "fleet", "migrate", "--targets", str(targets),
        "--state-machine", machine, "--canary", "10", "--tolerate", "100%", "--save", str(saved),
        "--results", str(folder / "lines"),
    ]  # fmt: skip
    targets.write_text(json.dumps([{"schema": f"tenant_{n:05}"} for n in range(1, count + 1)]))
    began, most = time.monotonic(), 0
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            command, env={**os.environ, **stack.environment()}, stdout=said, stderr=said
        )
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            found = re.search(r"VmHWM:\s+(\d+)", status.read_text())
            most = int(found[1]) if found else most
            time.sleep(0.05)
    took, used = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    document = json.loads(saved.read_text())
    states = [member["state"] for member in document["data"]["members"]]
    print(
        f"exit code {process.returncode}, {states.count('current'):,} current,"
        f" {states.count('failed'):,} failed"
    )
    print(
        f"{took:.0f} s, coordinator: {most / 1024:.0f} MB,"
        f" {used.ru_utime + used.ru_stime:.1f} s of processor; result {saved.stat().st_size:,} B"
    )


if __name__ == "__main__":
    main()
