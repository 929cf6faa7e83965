"""Emulated builds in a VPC: what they take to begin, and what they reach."""

import json
from collections.abc import Callable
from typing import Any

import botocore.exceptions
import pytest

from local.stack import Stack
from tests.aws import NETWORK, make_builder, network_without_way_out

ACCOUNT = "555566669999"
# It lists the account's buckets by the gateway, and then its secrets, for which nothing is there.
LOOK = """
version: "0.2"
phases:
  build:
    commands:
      - python -c "import boto3; print(len(boto3.client('s3').list_buckets()['Buckets']), 'in all')"
      - echo "said $WORD"
      - AWS_MAX_ATTEMPTS=1 python -c "import boto3; boto3.client('secretsmanager').list_secrets()"
"""
Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def run(stack: Stack) -> Run:
    """Run a build to its end, with a role that has these rights, and return it."""
    iam, builds = stack.client("iam", ACCOUNT), stack.client("codebuild", ACCOUNT)
    builds.create_project(
        name="look",
        source={"type": "NO_SOURCE", "buildspec": LOOK},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "ARM_CONTAINER", "image": "i", "computeType": "BUILD_GENERAL1_SMALL"},
        serviceRole=make_builder(stack, ACCOUNT),
        vpcConfig=network_without_way_out(stack, ACCOUNT),
    )

    def running(rights: list[str], **request: Any) -> dict[str, Any]:
        statement = {"Effect": "Allow", "Action": rights, "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_role_policy(RoleName="builder", PolicyName="p", PolicyDocument=policy)
        identity = builds.start_build(projectName="look", **request)["build"]["id"]
        while True:
            (found,) = builds.batch_get_builds(ids=[identity])["builds"]
            if found["buildStatus"] != "IN_PROGRESS":
                return dict(found)

    return running


def test_a_role_without_the_network_begins_nothing(run: Run) -> None:
    build = run([name for name in NETWORK if "Permission" not in name])
    assert build["buildStatus"] == "FAILED"
    (phase,) = build["phases"]
    assert phase["phaseType"] == "PROVISIONING"
    assert "ec2:CreateNetworkInterfacePermission" in phase["contexts"][0]["message"]


def test_a_build_reaches_what_has_an_endpoint_and_nothing_else(run: Run, stack: Stack) -> None:
    word = {"name": "WORD", "value": "$(id) 'x'", "type": "PLAINTEXT"}
    rights = [*NETWORK, "s3:ListAllMyBuckets", "secretsmanager:ListSecrets"]
    build = run(rights, environmentVariablesOverride=[word])
    place = {f"log{k[0].upper()}{k[1:]}": build["logs"][k] for k in ("groupName", "streamName")}
    events = stack.client("logs", ACCOUNT).get_log_events(**place)["events"]
    said = "".join(event["message"] for event in events)
    assert "0 in all" in said
    assert "said $(id) 'x'" in said
    assert "Could not connect to the endpoint URL" in said
    assert build["buildStatus"] == "FAILED"


def test_a_call_that_comes_twice_starts_one_build(run: Run, stack: Stack) -> None:
    builds = stack.client("codebuild", ACCOUNT)
    twice = [
        builds.start_build(projectName="look", idempotencyToken="t")["build"]["id"] for _ in "ab"
    ]
    assert len(set(twice)) == 1


def test_variables_longer_than_codebuild_takes_are_refused(run: Run, stack: Stack) -> None:
    long = {"name": "WORD", "value": "x" * 5500, "type": "PLAINTEXT"}
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidInput"):
        stack.client("codebuild", ACCOUNT).start_build(
            projectName="look", environmentVariablesOverride=[long]
        )
