"""Whether the caller may do what policies say is known before anything is made."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from local.stack import Stack
from tests.modules.harness import Module

ACCOUNT = "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/shop"
WANTED = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["iam:CreateRole", "iam:PutRolePolicy"], "Resource": ROLE},
        {"Effect": "Allow", "Action": "kms:CreateKey", "Resource": "*"},
    ],
}
ASKING = ["iam:GetRole", "iam:SimulatePrincipalPolicy"]
Keys = dict[str, str]


def allowing(*actions: str) -> str:
    """Return a policy that allows actions on everything."""
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def user(stack: Stack, request: pytest.FixtureRequest) -> Callable[..., Keys]:
    """Make a user who may do some actions: the options that act as that user."""
    iam = stack.client("iam", ACCOUNT)
    name = f"user-{abs(hash(request.node.name))}"

    def make(*actions: str) -> Keys:
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=allowing(*actions))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}

    return make


@pytest.fixture
def session(stack: Stack) -> Callable[..., Keys]:
    """Take a role as IAM Identity Center names them: the options that act as its session."""
    iam, sts = stack.client("iam", ACCOUNT), stack.client("sts", ACCOUNT)
    trust: dict[str, Any] = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
                "Action": "sts:AssumeRole",
            }
        ],
    }

    def take(name: str, *actions: str) -> Keys:
        role = iam.create_role(
            RoleName=name,
            Path="/aws-reserved/sso.amazonaws.com/eu-central-1/",
            AssumeRolePolicyDocument=json.dumps(trust),
        )["Role"]
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=allowing(*actions))
        keys = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="somebody")["Credentials"]
        return {
            "access_key": keys["AccessKeyId"],
            "secret_key": keys["SecretAccessKey"],
            "session_token": keys["SessionToken"],
        }

    return take


def test_a_user_who_lacks_actions_is_told_all_of_them(
    module: Module, user: Callable[..., Keys]
) -> None:
    outcome = module("permissions", policies=[WANTED], **user(*ASKING, "iam:PutRolePolicy"))
    assert "It lacks iam:CreateRole, kms:CreateKey. Use an administrator's" in outcome.message


def test_a_user_who_may_do_all_goes_on_silently(module: Module, user: Callable[..., Keys]) -> None:
    outcome = module("permissions", policies=[WANTED], **user(*ASKING, "iam:*", "kms:*"))
    assert outcome["changed"] is False
    assert not outcome.warnings


def test_a_user_who_may_not_ask_goes_on_with_a_note(
    module: Module, user: Callable[..., Keys]
) -> None:
    outcome = module("permissions", policies=[WANTED], **user("sts:GetCallerIdentity"))
    assert outcome["changed"] is False
    (warning,) = outcome.warnings
    assert "it may not call simulate_principal_policy. Going on." in warning


def test_the_role_behind_a_session_is_asked_about(
    module: Module, session: Callable[..., Keys]
) -> None:
    keys = session("AWSReservedSSO_Some", *ASKING, "iam:*")
    outcome = module("permissions", policies=[WANTED], **keys)
    assert "It lacks kms:CreateKey." in outcome.message


def test_a_role_that_may_not_be_looked_up_goes_on_with_a_note(
    module: Module, session: Callable[..., Keys]
) -> None:
    outcome = module("permissions", policies=[WANTED], **session("AWSReservedSSO_None", "s3:*"))
    (warning,) = outcome.warnings
    assert "it may not call get_role. Going on." in warning


def test_root_is_not_asked_about(module: Module) -> None:
    outcome = module("permissions", policies=[WANTED])
    assert outcome["changed"] is False
    assert not outcome.warnings
