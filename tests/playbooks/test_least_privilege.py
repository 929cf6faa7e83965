"""The policies of the roles that deploy and destroy hold what the plays need, and no more.

Every request of every play is recorded with the role that made it. What was called must be
granted; what is granted must have been called, or AWS asks for it in the name of one that was. Then
each action is taken out of the policies, one at a time, and the request that needs it is refused.
"""

import json
from collections.abc import Iterator
from typing import Any

import botocore.exceptions
import pytest
from botocore import xform_name

from local.stack import Stack
from tests.playbooks.identities import client
from tests.playbooks.plays import ACCOUNTS, ROOT, Play, Playbooks, Request
from tests.policies import reference
from tests.roles.readme import listed

LOCAL = ACCOUNTS["local"]
OUTCOMES = ("network", "database", "runner", "bastion", "fleet", "pipeline")
# The roles that act: what playbooks/destroy.yml does is done as the second one. What changes the
# pipeline is a policy of its operators.
KINDS = ("deploy", "destroy")
ACTING = [(kind, outcome) for kind in KINDS for outcome in OUTCOMES]
NAMES = {(kind, outcome): f"schema-migrations-{kind}-{outcome}" for kind, outcome in ACTING}
NAMES["deploy", "pipeline"] = "schema-migrations-pipeline-operator"
# moto has these, and enforces nothing.
UNENFORCED = {"codepipeline", "codecommit"}
REFUSED = {
    "AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation",
    "403",  # the answer to a HEAD has no body, and so no other code
}  # fmt: skip
# S3's operations are older than the names of their actions.
S3_ACTIONS = {
    "DeleteObjects": "DeleteObject",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListObjectsV2": "ListBucket",
    "ListBucketInventoryConfigurations": "GetInventoryConfiguration",
    "ListObjectVersions": "ListBucketVersions",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}
# What is granted although no request needs it here, and why.
STATED: dict[str, str] = {
    "cloudwatch:DeleteAlarms": "removes the alarms that an earlier release made of the builds",
    "cloudwatch:ListTagsForResource": "looks at them",
    "codebuild:DeleteProject": "the build that migrates, where the inventory has one",
    "codebuild:DeleteReport": "nothing says that a group goes with its reports without it",
    "codecommit:TagResource": "AWS asks for it when a repository is made with tags",
    "ec2:DisassociateRouteTable": "follows other subnets",
    "ec2:ModifyInstanceAttribute": "gives the bastion another type",
    "ec2:ModifyInstanceMetadataOptions": "mends the bastion's metadata options",
    "ec2:ModifyVpcEndpoint": "follows other subnets, and mends an endpoint's groups",
    "ec2:RevokeSecurityGroupIngress": "takes back a rule that somebody added",
    "ec2:StopInstances": "an instance gets another type while it is stopped",
    "iam:CreateServiceLinkedRole": "RDS makes its role for who creates an account's first database",
    "iam:DeleteRolePolicy": "takes off a policy that is no longer listed",
    "iam:PutRolePermissionsBoundary": "mends a role that somebody changed",
    "iam:TagInstanceProfile": "AWS asks for it when a profile is made with tags",
    "iam:UpdateRole": "mends a role that somebody changed",
    "kms:Decrypt": "S3 asks for it in the name of who looks at what is encrypted",
    "kms:GenerateDataKey": "S3 asks for it in the name of who writes what it encrypts",
    "lambda:ListTags": "without it GetFunction leaves a function's tags out",
    "rds:CreateDBClusterSnapshot": "before what may lose data, of a cluster: tests/pipeline",
    "rds:CreateDBSnapshot": "the same of an instance",
    "rds:DescribeDBClusterSnapshots": "waits until that is finished",
    "rds:DescribeDBSnapshots": "waits until that is finished",
    "rds:EnableHttpEndpoint": "for a Data API that somebody turned off",
    "rds:ModifyDBSubnetGroup": "follows other subnets",
    "s3:GetObject": "Lambda fetches signed code in the name of who deploys it",
    "sns:SetTopicAttributes": "mends a topic's policy that somebody changed",
}


def action(request: Request) -> str:
    """Return the IAM action of a request."""
    name = request.operation
    if request.service == "s3":
        name = S3_ACTIONS.get(name, name)
    service = "states" if request.service == "stepfunctions" else request.service
    return f"{service}:{name}"


@pytest.fixture(scope="session")
def requests(
    second: dict[str, Play],
    changed: list[Play],
    destroyed: Play,
    plain: dict[str, Play],
    playbook: Playbooks,
) -> list[Request]:
    """Give every request of the deployments of both engines, of changes and of the end.

    A runner that logs in through IAM takes more to deploy; its tests are beside its deployment.
    """
    return [r for r in playbook.requests() if r.role and r.environment != "iam"]


@pytest.fixture(scope="session")
def policies(provisioned: Stack) -> dict[tuple[str, str], dict[str, Any]]:
    """Give the policies of the roles that deploy and destroy, by role and outcome."""
    iam, found = provisioned.client("iam", LOCAL), {}
    for kind, outcome in ACTING:
        arn = f"arn:aws:iam::{LOCAL}:policy/{NAMES[kind, outcome]}"
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        answer = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
        found[kind, outcome] = answer["Document"]
    return found


def called(requests: list[Request], kind: str, outcome: str) -> set[str]:
    """Return the actions that an outcome's tasks take as the role that deploys or destroys."""
    destroying = kind == "destroy"
    return {
        action(r) for r in requests if r.role == outcome and (r.playbook == "destroy") == destroying
    }


def granted(policy: dict[str, Any]) -> set[str]:
    """Return the actions that a policy allows."""
    allowed = [s for s in policy["Statement"] if s["Effect"] == "Allow"]
    return {name for statement in allowed for name in as_list(statement["Action"])}


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@pytest.mark.parametrize(("kind", "outcome"), ACTING)
def test_what_a_role_calls_is_granted(
    requests: list[Request],
    policies: dict[tuple[str, str], dict[str, Any]],
    kind: str,
    outcome: str,
) -> None:
    assert called(requests, kind, outcome) - granted(policies[kind, outcome]) == set()


@pytest.mark.parametrize(("kind", "outcome"), ACTING)
def test_what_is_granted_is_called(
    requests: list[Request],
    policies: dict[tuple[str, str], dict[str, Any]],
    kind: str,
    outcome: str,
) -> None:
    made = called(requests, kind, outcome)
    known = [reference.action(name) for name in made]
    implied = {one for action in known if action for one in action.dependents}
    assert granted(policies[kind, outcome]) - made - implied - STATED.keys() == set()


@pytest.mark.parametrize("role", ["preflight", "account", "pipeline_account", "signature"])
def test_readme_lists_what_a_role_that_does_not_deploy_calls(
    requests: list[Request], role: str
) -> None:
    called = {action(r) for r in requests if r.role == role}
    assert called - listed((ROOT / f"roles/{role}/README.md").read_text()) == set()


@pytest.fixture(scope="session")
def samples(requests: list[Request]) -> dict[str, dict[str, Request]]:
    """Give a request of `local` for each action that the emulator enforces, by acting role."""
    return {
        kind: {
            action(r): r
            for r in requests
            if r.role in OUTCOMES
            and r.environment == "local"
            and r.service not in UNENFORCED
            and (r.playbook == "destroy") == (kind == "destroy")
        }
        for kind in KINDS
    }


@pytest.fixture
def proband(provisioned: Stack) -> Iterator[str]:
    """Make a role that anybody of the account may act as, and that may do nothing yet."""
    iam, name = provisioned.client("iam", LOCAL), "proband"
    principal = {"AWS": f"arn:aws:iam::{LOCAL}:root"}
    trust = [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]
    document = {"Version": "2012-10-17", "Statement": trust}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))
    yield name
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=policy)
    iam.delete_role(RoleName=name)


def without(policy: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the policy without an action."""
    statements = [
        {**s, "Action": [a for a in as_list(s["Action"]) if a != name]} for s in policy["Statement"]
    ]
    return {**policy, "Statement": [s for s in statements if s["Action"]]}


@pytest.mark.parametrize("kind", KINDS)
def test_each_action_that_is_taken_out_is_missed(
    provisioned: Stack,
    proband: str,
    policies: dict[tuple[str, str], dict[str, Any]],
    samples: dict[str, dict[str, Request]],
    kind: str,
) -> None:
    iam = provisioned.client("iam", LOCAL)
    keys = provisioned.client("sts", LOCAL).assume_role(
        RoleArn=f"arn:aws:iam::{LOCAL}:role/{proband}", RoleSessionName="proof"
    )["Credentials"]
    not_missed = []
    for name, request in sorted(samples[kind].items()):
        for outcome in OUTCOMES:
            text = json.dumps(without(policies[kind, outcome], name))
            iam.put_role_policy(RoleName=proband, PolicyName=outcome, PolicyDocument=text)
        if ask(provisioned, keys, request) not in REFUSED:
            not_missed.append(name)
    assert not_missed == []


def ask(stack: Stack, keys: dict[str, str], request: Request) -> str:
    """Make a request with a session's keys; return the error's code, if it is an error."""
    asking = client(stack, request.service, keys)
    try:
        getattr(asking, xform_name(request.operation))(**request.params)
    except botocore.exceptions.ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""
