"""Who bootstraps an account needs what the roles' operator policies say: all of it, and no more."""

import json
from collections.abc import Callable

import pytest

from local.stack import Stack
from tests.playbooks.plays import ACCOUNTS, Playbooks
from tests.policies.audit import several
from tests.policies.rendered import ROOT, rendered

# An account of its own, in which nothing was made yet.
NEW = "666677778888"


@pytest.fixture
def operator(stack: Stack) -> Callable[..., dict[str, str]]:
    """Make a user with the operator's policy, less some actions: the environment to act so."""
    policy = rendered(ROOT / "roles/account/templates/operator-policy.yml.j2", "prod")
    text = json.dumps({"Version": "2012-10-17", "Statement": policy.statements})

    def make(name: str, *without: str) -> dict[str, str]:
        document = json.loads(text.replace(ACCOUNTS["prod"], NEW))
        for statement in document["Statement"]:
            statement["Action"] = [a for a in several(statement["Action"]) if a not in without]
        iam = stack.client("iam", NEW)
        iam.create_user(UserName=name)
        asking = {"Effect": "Allow", "Action": "iam:SimulatePrincipalPolicy", "Resource": "*"}
        document["Statement"].append(asking)
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(document))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }

    return make


def test_the_operators_policy_suffices(
    playbook: Playbooks, operator: Callable[..., dict[str, str]]
) -> None:
    options = ("-e", f"account_id={NEW}")
    play = playbook("playbooks/bootstrap.yml", "prod", *options, **operator("whole"))
    assert play.status == 0, play.output


def test_what_the_operator_lacks_is_told_before_anything_is_made(
    playbook: Playbooks, operator: Callable[..., dict[str, str]]
) -> None:
    options = ("-e", f"account_id={NEW}")
    keys = operator("lacking", "iam:CreatePolicy", "iam:CreateRole")
    play = playbook("playbooks/bootstrap.yml", "prod", *options, **keys)
    assert play.status != 0
    assert play.count("changed") == 0
    assert "It lacks iam:CreatePolicy, iam:CreateRole. Use an administrator's" in play.message
