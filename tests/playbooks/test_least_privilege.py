"""The deploy role's policies hold what the plays need, and nothing that they do not.

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
OUTCOMES = ("network", "database", "runner", "bastion", "pipeline")
# What a role of ours takes is a policy of who deploys; of the pipeline, of its operators.
POLICIES = {outcome: f"schema-migrations-deploy-{outcome}" for outcome in OUTCOMES}
POLICIES["pipeline"] = "schema-migrations-pipeline-operator"
# moto has these, and enforces nothing.
UNENFORCED = {"codepipeline", "codecommit"}
REFUSED = {
    "AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation",
    "403",  # the answer to a HEAD has no body, and so no other code
}  # fmt: skip
# S3's operations are older than the names of their actions.
S3_ACTIONS = {
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListBucketInventoryConfigurations": "GetInventoryConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}
# What is granted although no request needs it here, and why.
STATED: dict[str, str] = {
    "codecommit:TagResource": "AWS asks for it when a repository is made with tags",
    "ec2:ModifyInstanceAttribute": "gives the bastion another type",
    "ec2:ModifyInstanceMetadataOptions": "mends the bastion's metadata options",
    "ec2:ModifyVpcEndpoint": "follows other subnets, and mends an endpoint's groups",
    "ec2:StopInstances": "an instance gets another type while it is stopped",
    "iam:CreateServiceLinkedRole": "RDS makes its role for who creates an account's first database",
    "iam:PutRolePermissionsBoundary": "mends a role that somebody changed",
    "iam:TagInstanceProfile": "AWS asks for it when a profile is made with tags",
    "iam:UpdateAssumeRolePolicy": "mends a role that somebody changed",
    "iam:UpdateRole": "mends a role that somebody changed",
    "kms:Decrypt": "S3 asks for it in the name of who looks at what is encrypted",
    "kms:GenerateDataKey": "S3 asks for it in the name of who writes what it encrypts",
    "lambda:ListTags": "without it GetFunction leaves a function's tags out",
    "rds:EnableHttpEndpoint": "for a Data API that somebody turned off",
    "rds:ModifyDBSubnetGroup": "follows other subnets",
    "sns:SetTopicAttributes": "mends a topic's policy that somebody changed",
}


def action(request: Request) -> str:
    """Return the IAM action of a request."""
    name = request.operation
    if request.service == "s3":
        name = S3_ACTIONS.get(name, name)
    return f"{request.service}:{name}"


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
def deploy_policies(provisioned: Stack) -> dict[str, dict[str, Any]]:
    """Give the policies of who deploys, by outcome."""
    iam, found = provisioned.client("iam", LOCAL), {}
    for outcome, name in POLICIES.items():
        arn = f"arn:aws:iam::{LOCAL}:policy/{name}"
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found[outcome] = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
    return {outcome: version["Document"] for outcome, version in found.items()}


def granted(policy: dict[str, Any]) -> set[str]:
    """Return the actions that a policy allows."""
    return {name for statement in policy["Statement"] for name in as_list(statement["Action"])}


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_what_a_role_calls_is_granted(
    requests: list[Request], deploy_policies: dict[str, dict[str, Any]], outcome: str
) -> None:
    called = {action(r) for r in requests if r.role == outcome}
    assert called - granted(deploy_policies[outcome]) == set()


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_what_is_granted_is_called(
    requests: list[Request], deploy_policies: dict[str, dict[str, Any]], outcome: str
) -> None:
    called = {action(r) for r in requests if r.role == outcome}
    known = [reference.action(name) for name in called]
    implied = {one for action in known if action for one in action.dependents}
    assert granted(deploy_policies[outcome]) - called - implied - STATED.keys() == set()


@pytest.mark.parametrize("role", ["preflight", "account", "pipeline_account"])
def test_readme_lists_what_an_administrators_role_calls(requests: list[Request], role: str) -> None:
    called = {action(r) for r in requests if r.role == role}
    assert called - listed((ROOT / f"roles/{role}/README.md").read_text()) == set()


@pytest.fixture(scope="session")
def samples(requests: list[Request]) -> dict[str, Request]:
    """Give a request of the deployment of `local` for each action that the emulator enforces."""
    return {
        action(r): r
        for r in requests
        if r.role in OUTCOMES and r.environment == "local" and r.service not in UNENFORCED
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


def test_each_action_that_is_taken_out_is_missed(
    provisioned: Stack,
    proband: str,
    deploy_policies: dict[str, dict[str, Any]],
    samples: dict[str, Request],
) -> None:
    iam = provisioned.client("iam", LOCAL)
    keys = provisioned.client("sts", LOCAL).assume_role(
        RoleArn=f"arn:aws:iam::{LOCAL}:role/{proband}", RoleSessionName="proof"
    )["Credentials"]
    not_missed = []
    for name, request in sorted(samples.items()):
        for outcome, policy in deploy_policies.items():
            text = json.dumps(without(policy, name))
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
