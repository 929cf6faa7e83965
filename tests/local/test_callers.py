"""Who asks is looked at: for roles that are given away, and for tags that are not everyone's."""

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import botocore.exceptions
import pytest
from botocore import xform_name

from local.stack import Stack
from tests.local.known import until_known
from tests.playbooks.identities import acting

ACCOUNT = "343434343434"
SERVANT = f"arn:aws:iam::{ACCOUNT}:role/servant"
FUNCTION = {
    "Runtime": "python3.11",
    "Handler": "f.handle",
    "Role": SERVANT,
    "Tags": {"Owner": "us"},
}
PROJECT = {
    "source": {"type": "CODEPIPELINE"},
    "artifacts": {"type": "CODEPIPELINE"},
    "environment": {
        "type": "ARM_CONTAINER",
        "image": "aws/codebuild/amazonlinux-aarch64-standard:3.0",
        "computeType": "BUILD_GENERAL1_SMALL",
    },
    "serviceRole": SERVANT,
}
TARGETS = [{"Id": "t", "Arn": f"arn:aws:sqs:eu-central-1:{ACCOUNT}:q", "RoleArn": SERVANT}]
Asking = Callable[..., Any]


def trust(principal: dict[str, str]) -> str:
    """Return who may act as a role."""
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def allowing(*actions: str, **more: Any) -> dict[str, Any]:
    """Return a statement that allows actions on everything."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*", **more}


@pytest.fixture(scope="module")
def _roles(stack: Stack) -> None:
    iam = stack.client("iam", ACCOUNT)
    service = {"Service": "lambda.amazonaws.com"}
    iam.create_role(RoleName="servant", AssumeRolePolicyDocument=trust(service))
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    iam.create_role(RoleName="asking", AssumeRolePolicyDocument=trust(root))


@pytest.fixture
def asking(stack: Stack, _roles: None) -> Asking:
    """Return what gives a client of a role with these statements."""

    def make(service: str, *statements: dict[str, Any]) -> Any:
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam = stack.client("iam", ACCOUNT)
        iam.put_role_policy(RoleName="asking", PolicyName="p", PolicyDocument=policy)
        return acting(stack, service, ACCOUNT, "asking")

    return make


def package() -> bytes:
    """Return a function's code."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("f.py", "def handle(event, context): pass\n")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("action", "request_"),
    [
        ("lambda:CreateFunction", {"FunctionName": "f", **FUNCTION}),
        ("codebuild:CreateProject", {"name": "build", **PROJECT}),
        ("events:PutTargets", {"Rule": "rule", "Targets": TARGETS}),
        (
            "iam:AddRoleToInstanceProfile",
            {"InstanceProfileName": "profile", "RoleName": "servant"},
        ),
    ],
)
def test_a_role_is_given_only_by_who_may_pass_it_there(
    stack: Stack, asking: Asking, action: str, request_: dict[str, Any]
) -> None:
    service, _, operation = action.partition(":")
    if service == "lambda":
        request_ = {**request_, "Code": {"ZipFile": package()}}
    stack.client("events", ACCOUNT).put_rule(Name="rule", ScheduleExpression="rate(1 day)")
    if service == "iam":
        stack.client("iam", ACCOUNT).create_instance_profile(InstanceProfileName="profile")
    principal = "ec2" if service == "iam" else service
    own = allowing(action, "lambda:TagResource")
    passing = {"Action": "iam:PassRole", "Effect": "Allow", "Resource": SERVANT}
    elsewhere = {"StringEquals": {"iam:PassedToService": "sns.amazonaws.com"}}
    here = {"StringEquals": {"iam:PassedToService": f"{principal}.amazonaws.com"}}
    for statements in ([own], [own, {**passing, "Condition": elsewhere}]):
        with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
            getattr(asking(service, *statements), xform_name(operation))(**request_)
    call = getattr(asking(service, own, {**passing, "Condition": here}), xform_name(operation))
    until_known(call, **request_)


def test_an_instance_gets_the_role_of_its_profile_from_who_may_pass_it(
    stack: Stack, asking: Asking
) -> None:
    iam = stack.client("iam", ACCOUNT)
    iam.create_instance_profile(InstanceProfileName="machine")
    iam.add_role_to_instance_profile(InstanceProfileName="machine", RoleName="servant")
    own = allowing("ec2:RunInstances", "ssm:GetParameters")
    request = {
        "ImageId": "ami-0c2023a1b2c3d4e60",
        "InstanceType": "t4g.nano",
        "MinCount": 1,
        "MaxCount": 1,
        "IamInstanceProfile": {"Name": "machine"},
    }
    with pytest.raises(botocore.exceptions.ClientError, match="UnauthorizedOperation"):
        asking("ec2", own).run_instances(**request)
    assert asking("ec2", own, allowing("iam:PassRole")).run_instances(**request)["Instances"]


def test_a_functions_tags_are_for_who_may_list_them(stack: Stack, asking: Asking) -> None:
    api = stack.client("lambda", ACCOUNT)
    until_known(api.create_function, FunctionName="tagged", Code={"ZipFile": package()}, **FUNCTION)
    request = {"FunctionName": "tagged"}
    assert api.get_function(**request)["Tags"] == {"Owner": "us"}
    assert "Tags" not in asking("lambda", allowing("lambda:GetFunction")).get_function(**request)
    both = allowing("lambda:GetFunction", "lambda:ListTags")
    assert asking("lambda", both).get_function(**request)["Tags"] == {"Owner": "us"}


def test_a_boundary_may_ask_for_a_resources_tags(stack: Stack, asking: Asking) -> None:
    iam, secrets = stack.client("iam", ACCOUNT), stack.client("secretsmanager", ACCOUNT)
    own, foreign = (
        secrets.create_secret(Name=n, SecretString="s", Tags=[{"Key": "Of", "Value": n}])["ARN"]
        for n in ("us", "them")
    )
    condition = {"StringEquals": {"aws:ResourceTag/Of": "us"}}
    statement = allowing("secretsmanager:GetSecretValue", Condition=condition)
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    boundary = iam.create_policy(PolicyName="boundary", PolicyDocument=document)["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName="asking", PermissionsBoundary=boundary)
    try:
        api = asking("secretsmanager", allowing("secretsmanager:GetSecretValue"))
        assert api.get_secret_value(SecretId=own)["SecretString"] == "s"
        with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
            api.get_secret_value(SecretId=foreign)
    finally:
        iam.delete_role_permissions_boundary(RoleName="asking")
