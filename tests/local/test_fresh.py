"""What was made a moment ago is not known yet: the first call that names it is refused."""

import json
from typing import Any

import botocore.exceptions
import pytest

from local.stack import Stack

ACCOUNT = "565656565656"
Refused = botocore.exceptions.ClientError


def trust(*principals: str) -> str:
    """Return a trust policy for these roles."""
    statement = {"Effect": "Allow", "Principal": {"AWS": [*principals]}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def iam(stack: Stack) -> Any:
    """Give a client of IAM."""
    return stack.client("iam", ACCOUNT)


def test_a_group_is_unknown_to_the_first_call(stack: Stack) -> None:
    ec2 = stack.client("ec2", ACCOUNT)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    group, other = (
        ec2.create_security_group(VpcId=vpc, GroupName=name, Description="-")["GroupId"]
        for name in "ab"
    )
    way = {
        "IpProtocol": "tcp",
        "FromPort": 1,
        "ToPort": 1,
        "UserIdGroupPairs": [{"GroupId": other}],
    }
    for unknown in (group, other):
        with pytest.raises(Refused, match=f"InvalidGroup.NotFound.*'{unknown}' does not exist"):
            ec2.authorize_security_group_ingress(
                GroupId=unknown, IpPermissions=[way | {"UserIdGroupPairs": []}]
            )
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[way])


def test_a_role_that_is_trusted_is_unknown_to_the_first_call(iam: Any) -> None:
    root = f"arn:aws:iam::{ACCOUNT}:root"
    made = iam.create_role(RoleName="trusted", AssumeRolePolicyDocument=trust(root))["Role"]["Arn"]
    request = {"RoleName": "trusting", "AssumeRolePolicyDocument": trust(made)}
    with pytest.raises(
        Refused, match=r"MalformedPolicyDocument.*Invalid principal in policy: .AWS."
    ):
        iam.create_role(**request)
    iam.create_role(**request)
    iam.update_assume_role_policy(RoleName="trusting", PolicyDocument=trust(made, root))


def test_a_role_that_is_trusted_has_to_exist(iam: Any) -> None:
    nobody = f"arn:aws:iam::{ACCOUNT}:role/nobody"
    for _ in range(2):
        with pytest.raises(Refused, match="Invalid principal"):
            iam.create_role(RoleName="hopeful", AssumeRolePolicyDocument=trust(nobody))


def test_principals_come_back_as_iam_keeps_them(iam: Any) -> None:
    first, second = f"arn:aws:iam::{ACCOUNT}:root", "arn:aws:iam::676767676767:root"
    for given, kept in (([first], first), ([first, second], [second, first])):
        iam.create_role(RoleName="kept", AssumeRolePolicyDocument=trust(*given))
        document = iam.get_role(RoleName="kept")["Role"]["AssumeRolePolicyDocument"]
        assert document["Statement"][0]["Principal"]["AWS"] == kept
        iam.delete_role(RoleName="kept")
